//! Requests about nf_tables objects, each with the `nft(8)` command that it stands for, and batches
//! of them.

use netlink_packet_core::{NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_netfilter::NetfilterProtoFamily;
use netlink_packet_netfilter::nftables::{
    ChainAttribute, ChainMessage, DataAttribute, GenMessage, Hook, InetHookNumber, ListAttribute,
    NfTablesMessage, RuleAttribute, RuleMessage, SetAttribute, SetElementAttribute,
    SetElementFlags, SetElementList, SetElementMessage, SetFlags, SetMessage, TableAttribute,
    TableMessage, Verdict, VerdictAttribute,
};
use nix::libc;

use super::expr::Expression;
use super::reply::{Bound, Data, Element, comment_userdata};
use super::set::{Set, length, number};
use crate::Error;

/// A request, and the action to name if it is refused.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) action: String,
    pub(super) family: NetfilterProtoFamily,
    pub(super) flags: u16,
    pub(super) body: NfTablesMessage,
}

impl Request {
    /// The error for the kernel's refusal of this request.
    pub(super) fn refused(&self, errno: i32, said: String) -> Error {
        let error = Error::errno(&self.action, errno).said(said);
        match errno {
            libc::EPERM => error.hint("nf_tables needs CAP_NET_ADMIN in the host's user namespace"),
            libc::EOPNOTSUPP | libc::EPROTONOSUPPORT | libc::EAFNOSUPPORT => error.hint(
                "either the kernel lacks this part of nf_tables, or another object has this name: \
                     see `nft list ruleset`",
            ),
            _ => error,
        }
    }
}

/// Requests that are carried out atomically, as `nft -f` sends them.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) requests: Vec<Request>,
    /// Carry it out only if the ruleset has not changed since this generation.
    pub(super) generation: Option<u32>,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Whether the kernel refused `error`'s batch only because another process was faster, so that
    /// it is worth another try.
    pub(super) fn lost_race(error: &Error) -> bool {
        matches!(
            error.errno,
            libc::ENOENT | libc::EEXIST | libc::EBUSY | libc::EAGAIN | libc::EINTR | libc::ERESTART
        )
    }

    pub(super) fn push(&mut self, request: Request) {
        self.requests.push(request);
    }
}

/// Asks for the generation number of the ruleset.
pub(super) fn get_generation() -> Request {
    Request {
        action: "read the generation of nf_tables".to_owned(),
        family: NetfilterProtoFamily::Unspec,
        flags: 0,
        body: NfTablesMessage::GetGen(GenMessage { attributes: Vec::new() }),
    }
}

/// A table: `inet ferrocni`. Every request about an object in it starts here.
#[derive(Debug, Clone, Copy)]
pub(super) struct Table {
    pub(super) family: NetfilterProtoFamily,
    pub(super) name: &'static str,
}

/// The hook of a base chain.
#[derive(Debug, Clone, Copy)]
pub(super) struct Base {
    /// `nat`, `filter`.
    pub(super) kind: &'static str,
    pub(super) hook: InetHookNumber,
    pub(super) priority: i32,
}

/// The number of elements in one message: its list may have 64 KiB, and an element needs up to 24
/// bytes.
const OF_A_MESSAGE: usize = 2000;

/// `NF_ACCEPT`: the policy of a base chain.
const ACCEPT: u32 = 1;
/// `NFTNL_UDATA_SET_KEYBYTEORDER` (libnftnl/udata.h), four bytes, host order.
const HOST_ORDER: [u8; 6] = {
    let [a, b, c, d] = 1_u32.to_ne_bytes();
    [0, 4, a, b, c, d]
};

impl Table {
    fn request(self, action: impl Into<String>, flags: u16, body: NfTablesMessage) -> Request {
        Request { action: action.into(), family: self.family, flags, body }
    }

    /// The table as nft writes it: `inet ferrocni`.
    pub(super) fn nft(self) -> String {
        let family = match self.family {
            NetfilterProtoFamily::Inet => "inet",
            NetfilterProtoFamily::IPv4 => "ip",
            NetfilterProtoFamily::IPv6 => "ip6",
            NetfilterProtoFamily::Bridge => "bridge",
            _ => "netfilter",
        };
        format!("{family} {}", self.name)
    }

    /// `nft add table inet ferrocni`
    pub(super) fn add(self) -> Request {
        let attributes = vec![TableAttribute::Name(self.name.to_owned())];
        let body = NfTablesMessage::NewTable(TableMessage { attributes });
        self.request(format!("add nf_tables table {}", self.nft()), NLM_F_CREATE, body)
    }

    fn chain(self, name: &str) -> Vec<ChainAttribute> {
        vec![ChainAttribute::Table(self.name.to_owned()), ChainAttribute::Name(name.to_owned())]
    }

    /// `nft add chain inet ferrocni NAME`, with `base`
    /// `{ type nat hook postrouting priority 100; }`
    pub(super) fn add_chain(self, name: &str, base: Option<Base>) -> Request {
        let mut attributes = self.chain(name);
        if let Some(base) = base {
            attributes.extend([
                ChainAttribute::Hook(vec![
                    Hook::Number(base.hook.into()),
                    Hook::Priority(base.priority as u32),
                ]),
                ChainAttribute::Policy(ACCEPT),
                ChainAttribute::Type(base.kind.to_owned()),
            ]);
        }
        let body = NfTablesMessage::NewChain(ChainMessage { attributes });
        self.request(format!("add nf_tables chain {} {name}", self.nft()), NLM_F_CREATE, body)
    }

    /// `nft list chain inet ferrocni NAME`, without its rules
    pub(super) fn get_chain(self, name: &str) -> Request {
        let body = NfTablesMessage::GetChain(ChainMessage { attributes: self.chain(name) });
        self.request(format!("look for nf_tables chain {} {name}", self.nft()), 0, body)
    }

    /// `nft list chains inet`: the chains of every table of the family
    pub(super) fn get_chains(self) -> Request {
        let attributes = vec![ChainAttribute::Table(self.name.to_owned())];
        let body = NfTablesMessage::GetChain(ChainMessage { attributes });
        self.request(format!("list the nf_tables chains of {}", self.nft()), 0, body)
    }

    /// `nft delete chain inet ferrocni NAME`
    pub(super) fn delete_chain(self, name: &str) -> Request {
        let body = NfTablesMessage::DeleteChain(ChainMessage { attributes: self.chain(name) });
        self.request(format!("delete nf_tables chain {} {name}", self.nft()), 0, body)
    }

    /// `nft flush chain inet ferrocni NAME`
    pub(super) fn flush_chain(self, name: &str) -> Request {
        let attributes = self.rule(name);
        let body = NfTablesMessage::DeleteRule(RuleMessage { attributes });
        self.request(format!("flush nf_tables chain {} {name}", self.nft()), 0, body)
    }

    fn rule(self, chain: &str) -> Vec<RuleAttribute> {
        vec![RuleAttribute::Table(self.name.to_owned()), RuleAttribute::Chain(chain.to_owned())]
    }

    /// `nft add rule inet ferrocni CHAIN EXPRESSIONS`
    pub(super) fn add_rule(self, chain: &str, expressions: Vec<Expression>) -> Request {
        let mut attributes = self.rule(chain);
        attributes.push(RuleAttribute::Expressions(expressions));
        let body = NfTablesMessage::NewRule(RuleMessage { attributes });
        let action = format!("add a rule to nf_tables chain {} {chain}", self.nft());
        self.request(action, NLM_F_CREATE | NLM_F_APPEND, body)
    }

    /// The same, with a comment that names the owner
    pub(super) fn add_own_rule(
        self,
        chain: &str,
        expressions: Vec<Expression>,
        comment: &str,
    ) -> Request {
        let mut request = self.add_rule(chain, expressions);
        if let NfTablesMessage::NewRule(rule) = &mut request.body {
            rule.attributes.push(RuleAttribute::UserData(comment_userdata(comment)));
        }
        request
    }

    /// The same, before all other rules of the chain: `nft insert rule ...`
    pub(super) fn insert_own_rule(
        self,
        chain: &str,
        expressions: Vec<Expression>,
        comment: &str,
    ) -> Request {
        let request = self.add_own_rule(chain, expressions, comment);
        Request { flags: NLM_F_CREATE, ..request }
    }

    /// `nft -a list table inet ferrocni`: the rules of all its chains, or of one
    pub(super) fn get_rules(self, chain: Option<&str>) -> Request {
        let mut attributes = vec![RuleAttribute::Table(self.name.to_owned())];
        attributes.extend(chain.map(|chain| RuleAttribute::Chain(chain.to_owned())));
        let body = NfTablesMessage::GetRule(RuleMessage { attributes });
        self.request(format!("list the nf_tables rules of {}", self.nft()), 0, body)
    }

    /// `nft delete rule inet ferrocni CHAIN handle HANDLE`
    pub(super) fn delete_rule(self, chain: &str, handle: u64) -> Request {
        let mut attributes = self.rule(chain);
        attributes.push(RuleAttribute::Handle(handle));
        let body = NfTablesMessage::DeleteRule(RuleMessage { attributes });
        let action = format!("delete rule {handle} of nf_tables chain {} {chain}", self.nft());
        self.request(action, 0, body)
    }

    /// `nft add set bridge ferrocni NAME { type TYPE; }` or
    /// `nft add map … { type TYPE : verdict; }`
    pub(super) fn add_set(self, set: Set<'_>, id: u32) -> Request {
        let flags = match (set.data, set.ranges) {
            ([], false) => SetFlags::empty(),
            ([], true) => SetFlags::Interval,
            _ => SetFlags::Map,
        };
        let mut attributes = vec![
            SetAttribute::Table(self.name.to_owned()),
            SetAttribute::Name(set.name.to_owned()),
            SetAttribute::Id(id),
            SetAttribute::KeyType(number(set.key)),
            SetAttribute::KeyLen(length(set.key)),
            SetAttribute::Flags(flags),
        ];
        if !set.data.is_empty() {
            let (number, length) = (number(set.data), length(set.data));
            attributes.extend([SetAttribute::DataType(number), SetAttribute::DataLen(length)]);
        }
        if set.has_host_order() {
            attributes.push(SetAttribute::UserData(HOST_ORDER.to_vec()));
        }
        let body = NfTablesMessage::NewSet(SetMessage { attributes });
        self.request(format!("add nf_tables set {} {}", self.nft(), set.name), NLM_F_CREATE, body)
    }

    /// `nft list set bridge ferrocni NAME`, without its elements
    pub(super) fn get_set(self, set: Set<'_>) -> Request {
        let attributes = vec![
            SetAttribute::Table(self.name.to_owned()),
            SetAttribute::Name(set.name.to_owned()),
        ];
        let body = NfTablesMessage::GetSet(SetMessage { attributes });
        self.request(format!("look for nf_tables set {} {}", self.nft(), set.name), 0, body)
    }

    fn elements(
        self,
        set: Set<'_>,
        element: Option<Vec<SetElementAttribute>>,
    ) -> SetElementMessage {
        let mut attributes = vec![
            SetElementList::Table(self.name.to_owned()),
            SetElementList::Set(set.name.to_owned()),
        ];
        attributes.extend(
            element.map(|element| SetElementList::Elements(vec![ListAttribute::Element(element)])),
        );
        SetElementMessage { attributes }
    }

    /// `nft add element inet ferrocni SET { KEY comment COMMENT : jump CHAIN }`
    ///
    /// The kernel refuses an existing key: otherwise it would silently keep the old comment.
    pub(super) fn add_element(self, set: Set<'_>, element: &Element) -> Request {
        let Element { key, data, comment } = element;
        let mut attributes = vec![SetElementAttribute::Key(DataAttribute::Value(key.clone()))];
        attributes.extend(data.as_ref().map(|data| SetElementAttribute::Data(attribute(data))));
        attributes.push(SetElementAttribute::UserData(comment_userdata(comment)));
        let body = NfTablesMessage::NewSetElement(self.elements(set, Some(attributes)));
        let action = format!("add {comment} to nf_tables set {} {}", self.nft(), set.name);
        self.request(action, NLM_F_CREATE | NLM_F_EXCL, body)
    }

    /// `nft get element inet ferrocni SET { KEY }`
    pub(super) fn get_element(self, set: Set<'_>, key: Vec<u8>) -> Request {
        let key = vec![SetElementAttribute::Key(DataAttribute::Value(key))];
        let body = NfTablesMessage::GetSetElement(self.elements(set, Some(key)));
        self.request(format!("look into nf_tables set {} {}", self.nft(), set.name), 0, body)
    }

    /// `nft list set inet ferrocni SET`: its elements
    pub(super) fn get_elements(self, set: Set<'_>) -> Request {
        let body = NfTablesMessage::GetSetElement(self.elements(set, None));
        self.request(format!("list nf_tables set {} {}", self.nft(), set.name), 0, body)
    }

    /// `nft delete element inet ferrocni SET { KEY }`
    pub(super) fn delete_element(self, set: Set<'_>, key: Vec<u8>) -> Request {
        let key = vec![SetElementAttribute::Key(DataAttribute::Value(key))];
        let body = NfTablesMessage::DeleteSetElement(self.elements(set, Some(key)));
        self.request(
            format!("delete an element of nf_tables set {} {}", self.nft(), set.name),
            0,
            body,
        )
    }

    /// `nft delete set inet ferrocni SET`
    pub(super) fn delete_set(self, set: Set<'_>) -> Request {
        let attributes = vec![
            SetAttribute::Table(self.name.to_owned()),
            SetAttribute::Name(set.name.to_owned()),
        ];
        let body = NfTablesMessage::DeleteSet(SetMessage { attributes });
        self.request(format!("delete nf_tables set {} {}", self.nft(), set.name), 0, body)
    }

    /// `nft add element inet ferrocni SET { RANGE, ... }`, in messages of many ranges
    pub(super) fn add_ranges(self, set: Set<'_>, bounds: &[Bound]) -> Vec<Request> {
        let action = format!("add to nf_tables set {} {}", self.nft(), set.name);
        let message = |chunk: &[Bound]| {
            let body = NfTablesMessage::NewSetElement(self.bounds(set, chunk));
            self.request(action.clone(), NLM_F_CREATE | NLM_F_EXCL, body)
        };
        bounds.chunks(OF_A_MESSAGE).map(message).collect()
    }

    /// `nft delete element inet ferrocni SET { RANGE, ... }`, in messages of many ranges
    pub(super) fn delete_ranges(self, set: Set<'_>, bounds: &[Bound]) -> Vec<Request> {
        let action = format!("delete from nf_tables set {} {}", self.nft(), set.name);
        let message = |chunk: &[Bound]| {
            let body = NfTablesMessage::DeleteSetElement(self.bounds(set, chunk));
            self.request(action.clone(), 0, body)
        };
        bounds.chunks(OF_A_MESSAGE).map(message).collect()
    }

    fn bounds(self, set: Set<'_>, bounds: &[Bound]) -> SetElementMessage {
        let element = |bound: &Bound| {
            let key = DataAttribute::Value(bound.key.to_be_bytes().to_vec());
            let mut element = vec![SetElementAttribute::Key(key)];
            if bound.is_end {
                element.push(SetElementAttribute::Flags(SetElementFlags::IntervalEnd));
            }
            ListAttribute::Element(element)
        };
        let mut message = self.elements(set, None);
        message.attributes.push(SetElementList::Elements(bounds.iter().map(element).collect()));
        message
    }
}

fn attribute(data: &Data) -> DataAttribute {
    match data {
        Data::Value(value) => DataAttribute::Value(value.clone()),
        Data::Jump(chain) => DataAttribute::Verdict(vec![
            VerdictAttribute::Code(Verdict::Jump),
            VerdictAttribute::Chain(chain.clone()),
        ]),
    }
}
