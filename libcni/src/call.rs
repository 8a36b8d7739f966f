//! One call of a plugin: the request of the runtime, checked.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Instant;

use serde_json::Value;

use crate::{
    AddResult, Code, ContainerId, Dns, Error, IfName, NetworkName, Result, Version, args, json,
};

/// The values of `CNI_COMMAND`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verb {
    /// Connect a container to the network.
    Add,
    /// Compare the attachment with what ADD made.
    Check,
    /// Disconnect a container from the network.
    Del,
    /// Remove what belongs to no valid attachment.
    Gc,
    /// Check that the plugin can serve an ADD.
    Status,
    /// List the versions that the plugin supports.
    Version,
    /// A verb of ferrocni: show what ADD would do, and change nothing.
    Plan,
    /// A verb of ferrocni: repair a live attachment without interrupting it.
    Repair,
    /// A verb of ferrocni: reconcile what the network has on this host with its configuration.
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

    /// Whether the verb only removes. Mistakes in the configuration do not stop such a verb.
    pub(crate) const fn removes(self) -> bool {
        matches!(self, Verb::Del | Verb::Gc)
    }

    /// Reads a verb; the case matters.
    ///
    /// # Errors
    ///
    /// [`Code::INVALID_ENVIRONMENT`] if there is no such verb.
    pub fn parse(text: &str) -> Result<Verb> {
        let found = Verb::ALL.into_iter().find(|verb| verb.as_str() == text);
        found.ok_or_else(|| Verb::unknown(text))
    }

    /// The error of a verb that a plugin does not know.
    pub(crate) fn unknown(text: &str) -> Error {
        Error::new(Code::INVALID_ENVIRONMENT, format!("unknown CNI_COMMAND: {text}"))
    }
}

impl FromStr for Verb {
    type Err = Error;

    /// As [`Verb::parse`].
    fn from_str(text: &str) -> Result<Verb> {
        Verb::parse(text)
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
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

impl Attachment {
    /// The attachment with these names, checked.
    ///
    /// # Errors
    ///
    /// As [`ContainerId::new`] and [`IfName::new`].
    pub fn new(container: &str, ifname: &str) -> Result<Attachment> {
        Ok(Attachment { container: container.parse()?, ifname: ifname.parse()? })
    }
}

/// One call of a plugin, with everything in it checked by the specification's rules.
///
/// The protocol makes it, and tests of plugins do ([`Call::new`]).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Call {
    /// The verb.
    pub verb: Verb,
    /// The configuration's `cniVersion`: results are printed in it.
    pub version: Version,
    /// The configuration's `name`.
    pub network: NetworkName,
    /// `CNI_CONTAINERID` and `CNI_IFNAME`. None for GC, STATUS and SYNC, which are about the
    /// network.
    pub attachment: Option<Attachment>,
    /// `CNI_NETNS`; `None` if it is empty or missing. ADD and CHECK always have it.
    pub netns: Option<String>,
    /// `CNI_ARGS`, `K=V` pairs in the order given; what is not a pair has an empty key. See
    /// [`Call::known_args`].
    pub args: Vec<(String, String)>,
    /// The folders of `CNI_PATH`.
    pub path: Vec<std::path::PathBuf>,
    /// The whole configuration. Of duplicate keys it has the last; see [`Call::text`].
    pub config: Value,
    /// The configuration as text, as it came on stdin; `None` if it did not come as text.
    pub(crate) text: Option<String>,
    /// `prevResult`, in the newest shape.
    pub prev: Option<AddResult>,
    /// GC: the attachments that are still wanted (`cni.dev/valid-attachments` or
    /// `cni.dev/attachments`).
    pub valid: Vec<Attachment>,
    /// The deadline of the call. Plugins that it delegates to are killed at the deadline.
    pub deadline: Instant,
}

impl Call {
    /// The text of the configuration, as the runtime sent it. It has what [`Call::config`] has
    /// lost, such as duplicate keys ([`json::entries`]).
    pub fn text(&self) -> Cow<'_, str> {
        match &self.text {
            Some(text) => Cow::Borrowed(text),
            None => Cow::Owned(self.config.to_string()),
        }
    }

    /// The IPAM plugin that the configuration names in `ipam.type`, unchecked; none if there is
    /// none.
    pub fn ipam_type(&self) -> Option<&str> {
        let name = json::get(json::get(&self.config, "ipam")?, "type")?;
        name.as_str().filter(|name| !name.is_empty())
    }

    /// The attachment the call is about.
    ///
    /// # Errors
    ///
    /// [`Code::INTERNAL`] for GC and STATUS, which are about a whole network.
    pub fn attachment(&self) -> Result<&Attachment> {
        self.attachment.as_ref().ok_or_else(|| {
            Error::internal(format!("{} is not about one attachment", self.verb.as_str()))
        })
    }

    /// The value of a key of `CNI_ARGS`; the last one counts, and an empty one is none.
    pub fn arg(&self, key: &str) -> Option<&str> {
        let found = self.args.iter().rev().find(|(found, _)| found == key);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// Insists on `CNI_ARGS` being well-formed and having only these keys, or `IgnoreUnknown=1`.
    /// Plugins that look into `CNI_ARGS` call this first; `plugin` is the name that the error gives
    /// them.
    ///
    /// # Errors
    ///
    /// [`Code::INVALID_ENVIRONMENT`] with the pairs that are wrong.
    pub fn known_args(&self, plugin: &str, known: &[&str]) -> Result<()> {
        args::check(&self.args, plugin, known)
    }

    /// The configuration's `dns`, which replaces that of the IPAM plugin as a whole. `None` if
    /// the configuration has no `dns` key, or one without a list and a domain.
    pub fn dns(&self) -> Option<Dns> {
        let given = json::get(&self.config, "dns")?;
        let dns: Dns = json::from_value(given).ok()?;
        let lists = ["nameservers", "search", "options"];
        let said =
            !dns.domain.is_empty() || lists.iter().any(|key| json::get(given, key).is_some());
        said.then_some(dns)
    }
}
