//! One call of a plugin: what the runtime asked for, checked.

use std::time::Instant;

use serde_json::Value;

use crate::{
    AddResult, Addresses, ContainerId, Dns, Error, IfName, IpConfig, NetworkName, Result, Version,
    args, code, json,
};

/// What `CNI_COMMAND` can say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Join a container to the network.
    Add,
    /// Is everything still as ADD left it?
    Check,
    /// Take a container out of the network.
    Del,
    /// Remove what belongs to no valid attachment.
    Gc,
    /// Could an ADD be served?
    Status,
    /// Which versions does the plugin speak?
    Version,
    /// Ours: say what ADD would do and touch nothing.
    Plan,
    /// Ours: make the attachment again what ADD left, without taking it down.
    Repair,
    /// Ours: bring what the network has on this host in line with the configuration.
    Sync,
}

impl Verb {
    /// All of them, the specification's first.
    pub const ALL: [Verb; 9] = [
        Verb::Add,
        Verb::Check,
        Verb::Del,
        Verb::Gc,
        Verb::Status,
        Verb::Version,
        Verb::Plan,
        Verb::Repair,
        Verb::Sync,
    ];

    /// The verb as `CNI_COMMAND` spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Verb::Add => "ADD",
            Verb::Check => "CHECK",
            Verb::Del => "DEL",
            Verb::Gc => "GC",
            Verb::Status => "STATUS",
            Verb::Version => "VERSION",
            Verb::Plan => "PLAN",
            Verb::Repair => "REPAIR",
            Verb::Sync => "SYNC",
        }
    }

    /// Reads a verb; the case matters.
    ///
    /// # Errors
    ///
    /// [`code::INVALID_ENVIRONMENT`] if it is none.
    pub fn parse(text: &str) -> Result<Verb> {
        let found = Verb::ALL.into_iter().find(|verb| verb.as_str() == text);
        found.ok_or_else(|| {
            Error::new(code::INVALID_ENVIRONMENT, format!("unknown CNI_COMMAND: {text}"))
        })
    }
}

/// A container's interface on a network, as GC lists them.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct Attachment {
    /// The container.
    #[serde(rename = "containerID")]
    pub container: ContainerId,
    /// The interface inside it.
    pub ifname: IfName,
}

/// One call of a plugin, with everything in it checked by the specification's rules.
#[derive(Debug, Clone)]
pub struct Call {
    /// What is asked for.
    pub verb: Verb,
    /// The configuration's `cniVersion`: results are printed in it.
    pub version: Version,
    /// The configuration's `name`.
    pub network: NetworkName,
    /// `CNI_CONTAINERID` and `CNI_IFNAME`. None for GC, STATUS and SYNC, which are about the network.
    pub attachment: Option<Attachment>,
    /// `CNI_NETNS` as given; none if empty or not given. ADD and CHECK always have it.
    pub netns: Option<String>,
    /// `CNI_ARGS`, `K=V` pairs in the order given; what is not a pair has an empty key. See [`Call::known_args`].
    pub args: Vec<(String, String)>,
    /// The folders of `CNI_PATH`.
    pub path: Vec<std::path::PathBuf>,
    /// The whole configuration, as it came on stdin.
    pub config: Value,
    /// `prevResult`, in the newest shape.
    pub prev: Option<AddResult>,
    /// GC: the attachments that are still wanted (`cni.dev/valid-attachments` or `cni.dev/attachments`).
    pub valid: Vec<Attachment>,
    /// When the call has to be done: the plugins it delegates to are killed then.
    pub deadline: Instant,
}

impl Call {
    /// The IPAM plugin that the configuration names in `ipam.type`, unchecked; none if there is none.
    pub fn ipam_type(&self) -> Option<&str> {
        let name = json::get(json::get(&self.config, "ipam")?, "type")?;
        name.as_str().filter(|name| !name.is_empty())
    }

    /// The attachment the call is about.
    ///
    /// # Errors
    ///
    /// [`code::INTERNAL`] for GC and STATUS, which are about a whole network.
    pub fn attachment(&self) -> Result<&Attachment> {
        self.attachment.as_ref().ok_or_else(|| {
            Error::internal(format!("{} is not about one attachment", self.verb.as_str()))
        })
    }

    /// What `prevResult` says of the addresses of the attachment's interface, and its routes; nothing if there is none.
    pub fn prev_addresses(&self) -> Addresses {
        let (Some(prev), Some(attachment)) = (&self.prev, &self.attachment) else {
            return Addresses::default();
        };
        let is_ours = |ip: &IpConfig| {
            let interface = ip.interface.and_then(|index| prev.interfaces.get(index));
            interface.is_none_or(|interface| {
                !interface.sandbox.is_empty() && interface.name == attachment.ifname.as_str()
            })
        };
        let ips = prev.ips.iter().filter(|ip| is_ours(ip)).cloned().collect();
        Addresses(AddResult { ips, interfaces: Vec::new(), ..prev.clone() })
    }

    /// The value of a key of `CNI_ARGS`; the last one counts, and an empty one is none.
    pub fn arg(&self, key: &str) -> Option<&str> {
        let found = self.args.iter().rev().find(|(found, _)| found == key);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// Insists on `CNI_ARGS` being well-formed and having only these keys, or `IgnoreUnknown=1`. Plugins that look into
    /// `CNI_ARGS` call this first.
    ///
    /// # Errors
    ///
    /// [`code::INVALID_ENVIRONMENT`] with the pairs that are wrong.
    pub fn known_args(&self, known: &[&str]) -> Result<()> {
        args::check(&self.args, known)
    }

    /// The configuration's `dns`, which replaces that of the IPAM plugin as a whole. None unless one of its lists is
    /// there, even an empty one, or its domain is set.
    pub fn dns(&self) -> Option<Dns> {
        let given = json::get(&self.config, "dns")?;
        let dns: Dns = json::from_value(given).ok()?;
        let lists = ["nameservers", "search", "options"];
        let said =
            !dns.domain.is_empty() || lists.iter().any(|key| json::get(given, key).is_some());
        said.then_some(dns)
    }
}
