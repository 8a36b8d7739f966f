//! What a case is made of. The cases themselves are in `cases.rs`.

/// One thing that is measured of every contestant that can do it.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// Its name, for `--only` and in the results.
    pub id: &'static str,
    /// Its name for people.
    pub title: &'static str,
    /// The plugins of the network in the order of their chain, each with its configuration: the keys without name, version
    /// and type. `{number}` is the container's number, `{port}` a port of its own, `{address}` an address.
    pub chain: &'static [(&'static str, &'static str)],
    /// The version of the specification.
    pub version: &'static str,
    /// What is measured, in this order.
    pub verbs: &'static [Verb],
    /// What is there before.
    pub prepared: &'static [Prepared],
    /// The peers that can do it.
    pub peers: Peers,
    /// Peers beside themselves in other ways; only those that speak the version 1.1.0.
    pub variants: &'static [Variant],
    /// What the floor makes for it: its KIND, and `masq` if it masquerades.
    pub floor: Option<&'static str>,
    /// How often everybody has a turn.
    pub rounds: usize,
    /// How many turns nobody counts come first.
    pub warm_up: usize,
    /// If not empty: how many containers come and then go, and how many of them at a time.
    pub bursts: &'static [(usize, usize)],
    /// Whether `--quick` has it.
    pub quick: bool,
    /// Whether it needs the lab's kernel.
    pub lab: bool,
}

/// What a case has unless it says otherwise.
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

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    /// The versions that a plugin speaks: the start of a process.
    Version,
    /// A container comes.
    Add,
    /// Is everything as it should be?
    Check,
    /// A container goes.
    Del,
    /// [`STALE`] containers that the runtime has forgotten go.
    Gc,
}

/// How many containers GC removes.
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

/// What is there before anything is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prepared {
    /// A link `uplink`, with index 3000, that is up.
    Uplink,
    /// So many addresses after the gateway's are taken, of a network whose addresses begin with the first one.
    Taken(&'static str, u32),
    /// So many other containers have joined.
    Joined(u32),
    /// Lines of shell in the node's network namespace.
    Shell(&'static str),
}

/// Another way of a peer to do a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variant {
    /// What is added to the label.
    pub label: &'static str,
    /// More keys for the first plugin.
    pub keys: &'static str,
    /// If not empty: the only program that the machine has besides the plugins.
    pub tool: &'static str,
}

/// Which peers can do a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peers {
    /// Every suite of plugins.
    All,
    /// Those that speak the version 1.1.0 of the specification: not the distribution's.
    New,
    /// None: it is an idea of ours.
    None,
}
