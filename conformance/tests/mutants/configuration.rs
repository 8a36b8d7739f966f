//! Defects in reading the configuration and the environment, and in errors.

use super::table::{Mutant, mutant};

/// The defective plugins.
pub const MUTANTS: &[Mutant] = &[
    // The configuration.
    mutant("loopback", "S1.JSON.2", "one code for all errors", "error '.code = 100'"),
    mutant(
        "loopback",
        "S1.JSON.3",
        "a signal on JSON that it cannot decode",
        "of ADD && ! has . && kill -SEGV $$; real",
    ),
    mutant(
        "loopback",
        "S1.JSON.4",
        "a buffer of 64 KiB",
        "IN=$(printf %s \"$IN\" | head -c 65536); real",
    ),
    mutant("loopback", "S1.TYPES.1", "a number as a name", "config '.name |= tostring'; real"),
    mutant(
        "ptp",
        "S1.TYPES.2",
        "the type alone as `ipam`",
        "config '.ipam |= if type == \"string\" then {type: ., subnet: \"10.1.2.0/24\"} else . \
         end'; real",
    ),
    mutant("loopback", "S1.NAME.1", "a default name", "config '.name //= \"default\"'; real"),
    mutant(
        "loopback",
        "S1.NAME.3",
        "names up to 64 characters",
        "has '.name | length > 64' && fail 7 'the name is too long'; real",
    ),
    mutant(
        "loopback",
        "S1.NAME.4",
        "code 4 for a name",
        "error 'if .code == 7 then .code = 4 else . end'",
    ),
    mutant(
        "loopback",
        "S1.VERSION.2",
        "GC with another code",
        "of GC && error '.code = 100'; real",
    ),
    mutant(
        "loopback",
        "S1.VERSION.3",
        "the newest version without `cniVersion`",
        "config '.cniVersion //= \"1.1.0\"'; real",
    ),
    mutant(
        "loopback",
        "S1.KEYS.1",
        "no unknown `args`",
        "has '.args.labels' && fail 7 'unknown args'; real",
    ),
    mutant(
        "loopback",
        "S1.KEYS.2",
        "no unknown capability",
        "has '.capabilities | keys[]' && fail 7 'unknown capability'; real",
    ),
    mutant(
        "loopback",
        "S1.KEYS.3",
        "no options in `dns`",
        "has '.dns.options' && fail 7 'unknown key options'; real",
    ),
    mutant("ptp", "S1.KEYS.4", "keys of this case only", "config 'del(.IPAM)'; real"),
    // The environment.
    mutant(
        "loopback",
        "S2.ENV.2,S2.ENV.9",
        "no variable in an error",
        "error '.msg = \"a variable is missing or wrong\" | .details = \"\"'",
    ),
    mutant(
        "loopback",
        "S2.ENV.3",
        "VERSION by default",
        "export CNI_COMMAND=${CNI_COMMAND:-VERSION}; real",
    ),
    mutant(
        "loopback",
        "S2.ENV.4",
        "commands in any case",
        "export CNI_COMMAND=$(echo \"$CNI_COMMAND\" | tr a-z A-Z); real",
    ),
    mutant(
        "loopback",
        "S2.ENV.6",
        "IDs up to 128 characters",
        "[ ${#CNI_CONTAINERID} -gt 128 ] && fail 4 'CNI_CONTAINERID is too long'; real",
    ),
    mutant(
        "loopback",
        "S2.ENV.7",
        "a path as the interface name",
        "export CNI_IFNAME=\"${CNI_IFNAME##*/}\"; real",
    ),
    mutant(
        "loopback",
        "S2.ENV.8",
        "interface names up to 10 characters",
        "[ ${#CNI_IFNAME} -gt 10 ] && fail 4 'CNI_IFNAME is too long'; real",
    ),
    mutant(
        "ptp",
        "S2.ENV.10",
        "a missing namespace is made",
        "of ADD && [ ! -e \"$CNI_NETNS\" ] && ip netns add \"${CNI_NETNS##*/}\" > /dev/null; real",
    ),
    mutant(
        "loopback",
        "S2.ENV.11,LINUX.NAME.4",
        "namespaces in one directory only",
        "case $CNI_NETNS in /proc/*|/run/netns-*) fail 4 CNI_NETNS;; esac; real",
    ),
    mutant(
        "ptp",
        "S2.ENV.12",
        "the host's own namespace is noticed too late",
        "of ADD && [ \"$(stat -Lc %i \"$CNI_NETNS\")\" = \"$(stat -Lc %i /proc/self/ns/net)\" ] && \
         { ip link add own type veth peer name \"$CNI_IFNAME\"; fail 4 CNI_NETNS; }; real",
    ),
    mutant(
        "loopback",
        "S2.ENV.13",
        "CNI_ARGS of Kubernetes is not known",
        "case $CNI_ARGS in *K8S_POD_UID*) fail 4 'CNI_ARGS: K8S_POD_UID';; esac; real",
    ),
    mutant(
        "loopback",
        "S2.ENV.14",
        "no unknown variable",
        "[ -n \"$CNI_UNKNOWN\" ] && fail 4 CNI_UNKNOWN; real",
    ),
    mutant("ptp", "S2.ENV.15", "the first of CNI_PATH", "CNI_PATH=${CNI_PATH%%:*}; real"),
    mutant(
        "loopback",
        "S2.ENV.16",
        "a working directory is required",
        "[ -d \"$(readlink /proc/$$/cwd)\" ] || fail 5 'no working directory'; real",
    ),
    // Errors.
    mutant(
        "loopback",
        "S2.ERR.1",
        "errors on standard error only",
        "OUT=$(real) || { echo \"$OUT\" >&2; exit 1; }; printf %s \"$OUT\"",
    ),
    mutant("loopback", "S2.ERR.2", "no version in errors", "error 'del(.cniVersion)'"),
    mutant(
        "loopback",
        "S2.ERR.4",
        "an error that is put together",
        "OUT=$(real) || fail 4 \"invalid: $CNI_IFNAME $CNI_CONTAINERID\"; printf %s \"$OUT\"",
    ),
    mutant(
        "loopback",
        "S2.ERR.5",
        "a signal on a list in `dns`",
        "has '.dns | arrays' && kill -SEGV $$; real",
    ),
    mutant(
        "loopback",
        "S2.ERR.6",
        "a signal on a text in `ips` of prevResult",
        "has '.prevResult.ips | strings' && kill -SEGV $$; real",
    ),
    mutant(
        "ptp",
        "S2.ERR.7",
        "a signal when it fails",
        "OUT=$(real) || kill -SEGV $$; printf %s \"$OUT\"",
    ),
    // VERSION.
    mutant(
        "loopback",
        "S2.VERSION.3",
        "VERSION wants an input",
        "of VERSION && [ -z \"$IN\" ] && fail 6 'no input'; real",
    ),
    mutant(
        "loopback",
        "S2.VERSION.4",
        "VERSION in another version",
        "of VERSION && { real | jq '.cniVersion = \"1.0.0\"'; exit; }; real",
    ),
    mutant(
        "loopback",
        "S2.VERSION.6",
        "VERSION sets lo down",
        "of VERSION && [ -e \"$CNI_NETNS\" ] && inside ip link set lo down; real",
    ),
];
