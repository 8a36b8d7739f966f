//! One call of a plugin: what the runtime asked for, checked.

use serde_json::Value;

use crate::{AddResult, ContainerId, IfName, NetworkName, Version};

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
    /// `CNI_CONTAINERID` and `CNI_IFNAME`. None for GC and STATUS, which are about the network.
    pub attachment: Option<Attachment>,
    /// `CNI_NETNS` as given; none if empty or not given. ADD and CHECK always have it.
    pub netns: Option<String>,
    /// `CNI_ARGS`, `K=V` pairs in the order given.
    pub args: Vec<(String, String)>,
    /// The folders of `CNI_PATH`.
    pub path: Vec<std::path::PathBuf>,
    /// The whole configuration, as it came on stdin.
    pub config: Value,
    /// `prevResult`, in the newest shape.
    pub prev: Option<AddResult>,
    /// GC: the attachments that are still wanted (`cni.dev/valid-attachments` or `cni.dev/attachments`).
    pub valid: Vec<Attachment>,
}
