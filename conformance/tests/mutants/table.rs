//! Defective plugins; in this file those with defects in results and delegation.

/// The crash tests kill plugins before each system call with such a number.
pub const CRASH_EVERY: &str = "48";

/// A plugin with one defect: a shell script around the real plugin.
///
/// The shell has the functions `real` (runs the real plugin with the configuration in `$IN`),
/// `config` (changes the configuration with jq), `result` and `error` (run the real plugin and
/// change the result or the error). `of VERB` tests the command of the call.
#[derive(Debug, Clone, Copy)]
pub struct Mutant {
    /// The defect.
    pub name: &'static str,
    /// The plugin.
    pub plugin: &'static str,
    /// The lines of the script.
    pub script: &'static str,
    /// The requirements that must detect it, separated by commas.
    pub caught_by: &'static str,
    /// The versions of the specification in which it is tested.
    pub versions: &'static str,
    /// The mode of the plugin's file.
    pub mode: u32,
    /// The text of the real plugin, if no suite has it.
    pub real: Option<&'static str>,
    /// What is replaced in this text, and by what. Then there is no script around the plugin.
    pub edits: &'static [(&'static str, &'static str)],
    /// The same number for this plugin.
    pub crash_every: &'static str,
}

impl Mutant {
    /// The same plugin, tested in these versions.
    pub const fn in_versions(self, versions: &'static str) -> Mutant {
        Mutant { versions, ..self }
    }

    /// The requirements that must detect it.
    pub fn ids(&self) -> impl Iterator<Item = &'static str> {
        self.caught_by.split(',')
    }
}

/// A defective plugin, tested in the newest version.
pub const fn mutant(
    plugin: &'static str,
    caught_by: &'static str,
    name: &'static str,
    script: &'static str,
) -> Mutant {
    Mutant {
        name,
        plugin,
        script,
        caught_by,
        versions: "1.1.0",
        mode: 0o755,
        real: None,
        edits: &[],
        crash_every: CRASH_EVERY,
    }
}

/// The defective plugins. Those that take longest come first.
pub const MUTANTS: &[Mutant] = &[
    mutant("bridge", "S4.DEL.1", "DEL hangs", "of DEL && sleep 1000; real"),
    // Output.
    mutant("bridge", "S5.VERSION.1", "a line before the result", "of ADD && echo attaching; real"),
    mutant(
        "bridge",
        "S5.INTERFACES.1",
        "a line after the result",
        "real; S=$?; of ADD && echo done; exit $S",
    ),
    mutant(
        "bridge",
        "S5.VERSION.1",
        "a result of another version",
        "result '.cniVersion = \"0.2.0\"'",
    ),
    mutant(
        "macvlan",
        "S5.INTERFACES.2",
        "another sandbox",
        "result '(.interfaces[] | select(.sandbox)).sandbox = \"/proc/1/ns/net\"'",
    ),
    mutant(
        "ptp",
        "S5.INTERFACES.3",
        "the sandbox's real path",
        "result --arg p \"$(readlink -f \"$CNI_NETNS\")\" '(.interfaces[] | \
         select(.sandbox)).sandbox = $p'",
    ),
    mutant(
        "bridge",
        "S5.INTERFACES.4",
        "a host interface that is not there",
        "result '.interfaces += [{name: \"veth404\"}]'",
    ),
    mutant(
        "bridge",
        "S5.INTERFACES.5",
        "host interfaces are not told",
        "result '.interfaces |= map(select(.sandbox))'",
    ),
    mutant(
        "ptp",
        "S5.INTERFACES.6",
        "a wrong MAC",
        "result '.interfaces[0].mac = \"02:00:00:00:00:01\"'",
    ),
    mutant(
        "bridge",
        "S5.IPS.1",
        "an address without a prefix",
        "result '.ips[].address |= sub(\"/.*\"; \"\")'",
    ),
    mutant(
        "bridge",
        "S5.IPS.1",
        "a gateway of the other family",
        "result '.ips[0].gateway = \"fd00::1\"'",
    ),
    mutant("bridge", "S5.IPS.2", "no version in an old result", "result 'del(.ips[].version)'")
        .in_versions("0.4.0"),
    mutant("bridge", "S5.IPS.3", "an index out of range", "result '.ips[].interface = 9'"),
    mutant("bridge", "S5.IPS.3", "an index as text", "result '.ips[].interface |= tostring'"),
    mutant("bridge", "S5.IPS.4", "an index of another interface", "result '.ips[].interface = 1'"),
    mutant(
        "macvlan",
        "S5.IPS.4",
        "an address that is not on the link",
        "result '.ips[0].address = \"10.1.2.250/24\"'",
    ),
    mutant("bridge", "S5.IPS.5", "no index", "result 'del(.ips[].interface)'"),
    mutant("bridge", "S5.IPS.6", "an address is not told", "result '.ips |= .[1:]'"),
    mutant(
        "bridge",
        "S5.ROUTES.1",
        "a route to nowhere",
        "result '.routes += [{dst: \"default\"}]'",
    ),
    mutant("bridge", "S5.ROUTES.2", "routes are not told", "result 'del(.routes)'"),
    mutant("macvlan", "S5.ROUTES.3", "a route's MTU is not told", "result 'del(.routes[]?.mtu)'"),
    mutant(
        "bridge",
        "S5.DNS.1",
        "a name server that is no list",
        "result '.dns = {nameservers: \"192.0.2.53\"}'",
    ),
    mutant("macvlan", "S5.DNS.2", "the IPAM plugin's dns is lost", "result '.dns = {}'")
        .in_versions("0.4.0"),
    mutant("bridge", "S5.DNS.3", "the IPAM plugin's dns is lost", "result '.dns = {}'"),
    mutant("bridge", "S5.DNS.4", "the configuration's dns is lost", "config 'del(.dns)'; real"),
    mutant("bridge", "S5.KEYS.1", "an MTU as text", "result '.interfaces[].mtu = \"1500\"'"),
    mutant("bridge", "S5.KEYS.2", "new keys in old results", "result '.interfaces[].mtu = 1500'")
        .in_versions("0.4.0"),
    mutant(
        "host-local",
        "S5.IPAM.1",
        "an IPAM plugin that speaks of interfaces",
        "result '.interfaces = [{name: \"eth0\"}]'",
    ),
    // Chains.
    mutant(
        "loopback",
        "S3.CHAIN.2",
        "a prevResult is an error",
        "of ADD && has '.prevResult' && \
         { echo '{\"code\": 7, \"msg\": \"prevResult unexpected\"}'; exit 1; }; real",
    ),
    mutant(
        "bridge",
        "S3.CHAIN.4",
        "DEL wants a prevResult",
        "of DEL && ! has '.prevResult' && \
         { echo '{\"code\": 7, \"msg\": \"no prevResult\"}'; exit 1; }; real",
    ),
    mutant(
        "bridge",
        "S3.CHAIN.6",
        "a signal on a prevResult that is text",
        "has '.prevResult | strings' && kill -SEGV $$; real",
    ),
    mutant(
        "bridge",
        "S3.CHAIN.11",
        "CHECK wants all addresses on one interface",
        "of CHECK && config '.prevResult.ips[].interface = 2'; real",
    ),
    // Delegation.
    mutant(
        "bridge",
        "S4.FIND.1",
        "CNI_PATH from its end",
        "export CNI_PATH=$(echo \"$CNI_PATH\" | tr : '\\n' | tac | paste -sd:); real",
    ),
    mutant(
        "bridge",
        "S4.FIND.2",
        "an error on standard error only",
        "OUT=$(real); S=$?; [ $S = 0 ] || { echo \"$OUT\" >&2; exit $S; }; printf %s \"$OUT\"",
    ),
    mutant(
        "bridge",
        "S4.FIND.3",
        "the last part of a path as the type",
        "config '.ipam.type? |= sub(\".*/\"; \"\")'; real",
    ),
    mutant("bridge", "S4.ENV.1", "a variable is lost", "unset KIT_MARK; real"),
    mutant("ptp", "S4.ENV.2", "CNI_ARGS is lost in CHECK", "of CHECK && unset CNI_ARGS; real"),
    mutant("bridge", "S4.CONFIG.1", "the configuration gets a key", "config '.extra = 1'; real"),
    mutant(
        "bridge",
        "S4.CONFIG.2",
        "prevResult gets a key",
        "of CHECK && config '.prevResult.extra = 1'; real",
    ),
    mutant(
        "bridge",
        "S4.ADD.1",
        "ADD is done twice",
        "of ADD && real > /dev/null && CNI_COMMAND=DEL real; real",
    ),
    mutant("bridge", "S4.ADD.2", "an error with exit status 0", "real; exit 0"),
    mutant("ptp", "S4.ADD.2", "an error without msg", "error 'del(.msg)'"),
    mutant(
        "bridge",
        "S4.ADD.3",
        "an error of its own instead",
        "error '.code = 999 | .msg = \"no addresses\" | .details = \"\"'",
    ),
    mutant(
        "bridge",
        "S4.DEL.1",
        "DEL does not call the IPAM plugin",
        "of DEL && config 'del(.ipam) | .isGateway = false | .ipMasq = false'; real",
    ),
    mutant(
        "bridge",
        "S4.DEL.2",
        "DEL hides what failed",
        "of DEL && { real > /dev/null; exit 0; }; real",
    ),
    mutant(
        "bridge",
        "S4.DEL.3",
        "DEL calls the IPAM plugin once",
        "D=/run/testbed/del-$CNI_CONTAINERID; of DEL && { [ -e $D ] && exit 0; touch $D; }; real",
    ),
    mutant("bridge", "S4.CHECK.1", "CHECK always succeeds", "of CHECK && exit 0; real"),
    mutant(
        "bridge",
        "S4.CHECK.2",
        "CHECK hides what failed",
        "of CHECK && { real > /dev/null; exit 0; }; real",
    ),
    mutant(
        "bridge",
        "S4.GC.2",
        "GC hides what failed",
        "of GC && { real > /dev/null; exit 0; }; real",
    ),
    mutant(
        "ptp",
        "S4.STATUS.2",
        "STATUS hides what failed",
        "of STATUS && { real > /dev/null; exit 0; }; real",
    ),
    mutant("bridge", "S4.STDERR.1", "nothing on standard error", "real 2> /dev/null"),
    mutant(
        "bridge",
        "S4.ANSWER.1",
        "nonsense becomes an empty result",
        "real > /run/testbed/out || { of ADD && echo '{\"cniVersion\": \"1.1.0\"}'; exit 0; }; \
         cat /run/testbed/out",
    ),
    mutant(
        "bridge",
        "S4.ANSWER.2",
        "a signal when it fails",
        "OUT=$(real) || kill -SEGV $$; printf %s \"$OUT\"",
    ),
];
