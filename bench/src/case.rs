//! The definition of a case. The cases themselves are in `cases.rs`.

/// One case, which is measured for every contestant that supports it.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// The name for `--only` and in the results.
    pub id: &'static str,
    /// The title.
    pub title: &'static str,
    /// The plugins of the network in the order of their chain, each with its configuration without
    /// name, version and type. `{number}` is the number of the container, `{port}` a unique port,
    /// `{address}` an address.
    pub chain: &'static [(&'static str, &'static str)],
    /// The version of the specification.
    pub version: &'static str,
    /// The measured calls, in this order.
    pub verbs: &'static [Verb],
    /// The preparation.
    pub prepared: &'static [Prepared],
    /// The peers that support it.
    pub peers: Peers,
    /// Variants of peers; only of those that support version 1.1.0.
    pub variants: &'static [Variant],
    /// The arguments of the floor: its KIND, and `masq` if it masquerades.
    pub floor: Option<&'static str>,
    /// The number of turns of each contestant.
    pub rounds: usize,
    /// The number of turns before, which are not counted.
    pub warm_up: usize,
    /// If not empty: the numbers of containers in a burst of ADDs and then DELs, and the numbers of
    /// parallel calls.
    pub bursts: &'static [(usize, usize)],
    /// Whether `--quick` includes it.
    pub quick: bool,
    /// Whether it needs the lab's kernel.
    pub lab: bool,
}

/// The defaults of a case.
pub const USUAL: Case = Case {
    id: "",
    title: "",
    chain: &[],
    version: "1.0.0",
    verbs: &[Verb::Add, Verb::Del],
    prepared: &[],
    peers: Peers::All,
    variants: &[],
    floor: None,
    rounds: 20,
    warm_up: 2,
    bursts: &[],
    quick: false,
    lab: false,
};

/// A measured call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    /// VERSION: the start of a process.
    Version,
    /// ADD.
    Add,
    /// CHECK.
    Check,
    /// DEL.
    Del,
    /// GC of [`STALE`] containers that the runtime has lost.
    Gc,
}

/// The number of containers that GC removes.
pub const STALE: usize = 100;

impl Verb {
    /// `CNI_COMMAND`.
    pub fn name(self) -> &'static str {
        match self {
            Verb::Version => "VERSION",
            Verb::Add => "ADD",
            Verb::Check => "CHECK",
            Verb::Del => "DEL",
            Verb::Gc => "GC",
        }
    }
}

/// The preparation before a measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prepared {
    /// A link `uplink`, with index 3000, that is up.
    Uplink,
    /// This number of addresses after the gateway's is allocated, in a network whose addresses
    /// begin with the first one.
    Taken(&'static str, u32),
    /// This number of other containers is attached.
    Joined(u32),
    /// Shell commands in the network namespace of the node.
    Shell(&'static str),
}

/// A variant of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variant {
    /// The addition to the label.
    pub label: &'static str,
    /// Additional keys for the first plugin.
    pub keys: &'static str,
    /// If not empty: the only program on the machine besides the plugins.
    pub tool: &'static str,
}

/// The peers that support a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peers {
    /// Every suite of plugins.
    All,
    /// Suites that support version 1.1.0 of the specification: not the distribution's.
    New,
    /// None: the feature exists only in this project.
    None,
}
