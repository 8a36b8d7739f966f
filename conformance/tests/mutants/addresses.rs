//! Defects of IPAM plugins.

use super::table::{Mutant, mutant};

/// The defective plugins.
pub const MUTANTS: &[Mutant] = &[
    mutant("host-local", "IPAM.ADD.1", "one range set only", "result '.ips |= .[:1]'"),
    mutant(
        "host-local",
        "IPAM.ADD.2",
        "always the same address",
        "result '.ips[0].address = \"10.1.2.2/24\"'",
    ),
    mutant(
        "host-local",
        "IPAM.ADD.3",
        "an address twice among many",
        "result '.ips[0].address |= sub(\"2.1./\"; \"2.10/\")'",
    ),
    mutant(
        "host-local",
        "IPAM.ADD.4",
        "the network's address",
        "result '.ips[0].address = \"10.1.2.0/29\"'",
    ),
    mutant(
        "host-local",
        "IPAM.ADD.5",
        "the gateway is not respected",
        "config 'del(.ipam.ranges[][].gateway)'; real",
    ),
    mutant(
        "host-local",
        "IPAM.ADD.6",
        "no bounds",
        "config 'del(.ipam.ranges[][].rangeEnd)'; real",
    ),
    mutant(
        "host-local",
        "IPAM.ADD.7",
        "one range of a set only",
        "config '.ipam.ranges |= map(.[:1])'; real",
    ),
    mutant("host-local", "IPAM.ADD.8", "all networks are one", "config '.name = \"one\"'; real"),
    mutant("host-local", "IPAM.FULL.1", "success when it is full", "real; exit 0"),
    mutant(
        "host-local",
        "IPAM.FULL.2",
        "a failed ADD keeps addresses",
        "of ADD && { OUT=$(real) && { printf %s \"$OUT\"; exit 0; }; config '.ipam.ranges |= \
         .[:1]'; real > /dev/null; echo '{\"code\": 100, \"msg\": \"full\"}'; exit 1; }; real",
    ),
    mutant(
        "host-local",
        "IPAM.SAME.1",
        "a second address",
        "of ADD && { OUT=$(real) && { printf %s \"$OUT\"; exit 0; }; export CNI_IFNAME=again; }; \
         real",
    ),
    mutant("host-local", "IPAM.DEL.1", "nothing is released", "of DEL && exit 0; real"),
    mutant(
        "host-local",
        "IPAM.DEL.2",
        "all of a container are released",
        "of DEL && CNI_IFNAME=net1 real; real",
    ),
    mutant(
        "host-local",
        "IPAM.DEL.3",
        "DEL again is an error",
        "D=/run/testbed/del-$CNI_CONTAINERID; of DEL && { [ -e $D ] && { echo '{\"code\": 3, \
         \"msg\": \"unknown\"}'; exit 1; }; touch $D; }; real",
    ),
    mutant(
        "host-local",
        "IPAM.DEL.4",
        "the first free address",
        "of DEL && rm -f /var/lib/cni/networks/*/last_reserved_ip.*; of DEL && { real; rm -f \
         /var/lib/cni/networks/*/last_reserved_ip.*; exit 0; }; real",
    ),
    mutant("host-local", "IPAM.CHECK.1", "CHECK always succeeds", "of CHECK && exit 0; real"),
    mutant(
        "host-local",
        "IPAM.CHECK.1",
        "CHECK always fails",
        "of CHECK && { echo '{\"code\": 100, \"msg\": \"no\"}'; exit 1; }; real",
    ),
    mutant("host-local", "IPAM.GC.1", "GC does nothing", "of GC && exit 0; real"),
    mutant(
        "host-local",
        "IPAM.GC.2",
        "GC releases everything",
        "of GC && config '.[\"cni.dev/valid-attachments\"] = [] | .[\"cni.dev/attachments\"] = \
         []'; real",
    ),
    mutant("host-local", "IPAM.REQUEST.1", "CNI_ARGS is not read", "unset CNI_ARGS; real"),
    mutant(
        "host-local",
        "IPAM.REQUEST.2,IPAM.REQUEST.6",
        "runtimeConfig is not read",
        "config 'del(.runtimeConfig)'; real",
    ),
    mutant("host-local", "IPAM.ADD.9", "no routes", "result 'del(.routes)'"),
    mutant(
        "host-local",
        "IPAM.ADD.10",
        "a default range instead of an invalid one",
        "OUT=$(real); S=$?; of ADD && [ $S != 0 ] && { config '.ipam.ranges = \
         [[{subnet: \"10.1.2.0/24\"}]]'; real; exit; }; printf %s \"$OUT\"; exit $S",
    ),
    mutant(
        "host-local",
        "IPAM.SAME.2",
        "a failed ADD releases what an earlier one allocated",
        "real; S=$?; of ADD && [ $S != 0 ] && CNI_COMMAND=DEL real; exit $S",
    ),
    mutant("host-local", "IPAM.REQUEST.3", "`args` is not read", "config 'del(.args)'; real"),
    mutant(
        "host-local",
        "IPAM.REQUEST.4,IPAM.REQUEST.5",
        "another address if the requested one is not free",
        "OUT=$(real); S=$?; of ADD && [ $S != 0 ] && [ -n \"$CNI_ARGS\" ] && \
         { unset CNI_ARGS; real; exit; }; printf %s \"$OUT\"; exit $S",
    ),
    mutant(
        "host-local",
        "IPAM.FILES.1",
        "a file of another name is an error",
        "ls /run/testbed/addresses/*/*.txt > /dev/null 2>&1 && fail 100 'unknown file'; real",
    ),
];
