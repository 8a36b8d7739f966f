//! Defects in commands, their input and their errors.

use super::table::{Mutant, mutant};

/// A plugin that claims success and does nothing.
const NOTHING: &str = "of VERSION && { real; exit; }; of ADD && printf %s \"$IN\" | \
    jq '{cniVersion, interfaces: [], ips: []}'; exit 0";

/// The defective plugins.
pub const MUTANTS: &[Mutant] = &[
    // VERSION.
    mutant(
        "loopback",
        "S2.VERSION.1",
        "VERSION prints a list",
        "of VERSION && { echo '[\"1.1.0\"]'; exit 0; }; real",
    ),
    mutant(
        "loopback",
        "S2.VERSION.2",
        "VERSION wants CNI_IFNAME",
        "[ -z \"$CNI_IFNAME\" ] && \
         { echo '{\"code\": 4, \"msg\": \"CNI_IFNAME missing\"}'; exit 1; }; real",
    ),
    mutant(
        "tuning",
        "S2.VERSION.5",
        "a version that the specification does not have",
        "of VERSION && { real | jq -c '.supportedVersions += [\"1.3.0\"]'; exit; }; real",
    ),
    mutant(
        "tuning",
        "S2.VERSION.5",
        "a version that ADD refuses",
        "of ADD && has '.cniVersion == \"1.0.0\"' && \
         { echo '{\"code\": 1, \"msg\": \"version\"}'; exit 1; }; real",
    ),
    mutant(
        "ptp",
        "S2.VERSION.5",
        "a result in another version than asked",
        "has '.cniVersion == \"0.3.1\"' && result '.cniVersion = \"0.4.0\"'; real",
    ),
    // The configuration, the environment, errors.
    mutant(
        "bridge",
        "S1.JSON.1",
        "a configuration of its own",
        "has . || IN='{\"cniVersion\": \"1.1.0\", \"name\": \"n\", \"type\": \"bridge\"}'; real",
    ),
    mutant(
        "loopback",
        "S1.JSON.1",
        "a signal on what is no JSON",
        "of VERSION || has . || kill -SEGV $$; real",
    ),
    mutant("loopback", "S1.NAME.2", "any name", "config '.name |= \"n\"'; real"),
    mutant("loopback", "S1.VERSION.1", "any version", "config '.cniVersion = \"1.1.0\"'; real"),
    mutant(
        "loopback",
        "S2.ENV.1",
        "no container id",
        "export CNI_CONTAINERID=\"${CNI_CONTAINERID:-none}\"; real",
    ),
    mutant(
        "loopback",
        "S2.ENV.17",
        "CNI_ARGS is required",
        "of DEL && [ -z \"${CNI_ARGS+set}\" ] && \
         { echo '{\"code\": 4, \"msg\": \"CNI_ARGS\"}'; exit 1; }; real",
    ),
    mutant("loopback", "S2.ENV.5", "any container id", "export CNI_CONTAINERID=id; real"),
    mutant("host-local", "S2.ERR.3", "a code that is reserved", "error '.code = 57'"),
    // Commands.
    mutant("bridge", "S2.ADD.2", "CNI_IFNAME is not respected", "export CNI_IFNAME=net0; real"),
    mutant(
        "bridge",
        "S2.DEL.3",
        "DEL again is an error",
        "D=/run/testbed/del-$CNI_CONTAINERID; of DEL && \
         { [ -e $D ] && { echo '{\"code\": 3, \"msg\": \"unknown\"}'; exit 1; }; touch $D; }; \
         real",
    ),
    mutant(
        "bridge",
        "S2.DEL.5",
        "DEL needs CNI_NETNS",
        "of DEL && [ -z \"$CNI_NETNS\" ] && \
         { echo '{\"code\": 4, \"msg\": \"CNI_NETNS\"}'; exit 1; }; real",
    ),
    mutant(
        "bridge",
        "S2.CHECK.1",
        "CHECK always fails",
        "of CHECK && { echo '{\"code\": 100, \"msg\": \"no\"}'; exit 1; }; real",
    ),
    mutant(
        "bridge",
        "S2.CHECK.14",
        "CHECK repairs",
        "of CHECK && CNI_COMMAND=REPAIR real > /dev/null; real",
    ),
    mutant(
        "bridge",
        "S2.GC.2",
        "GC removes everything",
        "of GC && config '.[\"cni.dev/valid-attachments\"] = [] | .[\"cni.dev/attachments\"] = \
         []'; real",
    ),
    mutant(
        "bridge",
        "S2.STATUS.8",
        "STATUS is error 51 when no address is left",
        "config '.ipam.statusWhenFull = \"unavailable\"'; of STATUS && error '.code = 51'; real",
    ),
    mutant(
        "bridge",
        "S2.STATUS.8",
        "STATUS goes on to be an error when addresses are free again",
        "of STATUS && [ -e /var/lib/cni/networks ] && \
         { echo '{\"code\": 50, \"msg\": \"no\"}'; exit 1; }; real",
    ),
    mutant(
        "ptp",
        "S2.DEL.1,S2.DEL.2,S2.DEL.7,S2.CHECK.1,S2.GC.5,S5.INTERFACES.5,S5.IPS.4,S5.IPS.5,\
         LINUX.DEL.1,LINUX.DEL.2,LINUX.NAME.2,RACE.ADD.1,RACE.DEL.1",
        "ADD and DEL do nothing",
        NOTHING,
    ),
];
