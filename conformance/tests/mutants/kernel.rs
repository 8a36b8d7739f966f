//! Defects in the effects on the host.

use super::table::{Mutant, mutant};

/// The defective plugins.
pub const MUTANTS: &[Mutant] = &[
    mutant(
        "ptp",
        "LINUX.DEL.3",
        "a file for each container stays",
        "mkdir -p /var/lib/of-the-kit; touch /var/lib/of-the-kit/$CNI_CONTAINERID; real",
    ),
    mutant("loopback", "LINUX.DEL.1", "DEL leaves lo up", "of DEL && exit 0; real"),
    mutant("ptp", "LINUX.HOST.3", "a file in /tmp stays", "touch /tmp/$CNI_CONTAINERID; real"),
    mutant(
        "bridge",
        "NET.MASQ.1",
        "the host does not forward",
        "real; S=$?; echo 0 > /proc/sys/net/ipv4/ip_forward; exit $S",
    ),
    mutant("tuning", "S3.CHAIN.1", "a domain is lost", "result '.dns.search = []'"),
];
