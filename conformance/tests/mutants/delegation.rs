//! Defects in chains, and in calls of an IPAM plugin.

use super::table::{Mutant, mutant};

/// The defective plugins.
pub const MUTANTS: &[Mutant] = &[
    mutant(
        "tuning",
        "S3.CHAIN.3,S3.CHAIN.5",
        "ADD succeeds with any prevResult",
        "OUT=$(real); S=$?; of ADD && [ $S != 0 ] && \
         { echo '{\"cniVersion\": \"1.1.0\"}'; exit 0; }; printf %s \"$OUT\"; exit $S",
    ),
    mutant(
        "tuning",
        "S3.CHAIN.7",
        "prevResult becomes the result",
        "OUT=$(real); S=$?; of ADD && [ $S = 0 ] && OUT=$(printf %s \"$IN\" | jq .prevResult); \
         printf %s \"$OUT\"; exit $S",
    ),
    mutant(
        "tuning",
        "S3.CHAIN.9",
        "DEL wants an address of each interface",
        "of DEL && has '.prevResult.interfaces[2]' && fail 7 'unknown interface'; real",
    ),
    mutant(
        "tuning",
        "S3.CHAIN.10",
        "DEL needs the interface",
        "of DEL && ! inside ip link show \"$CNI_IFNAME\" > /dev/null 2>&1 && \
         fail 3 'no interface'; real",
    ),
    mutant(
        "ptp",
        "S4.ADD.6",
        "no DEL of the IPAM plugin if the interface exists",
        "of ADD && inside ip link show \"$CNI_IFNAME\" > /dev/null 2>&1 && { \
         printf %s \"$IN\" | /run/testbed/kit/bin/kit-ipam > /dev/null; \
         fail 100 'it exists'; }; real",
    ),
    mutant(
        "ptp",
        "S4.ANSWER.4",
        "the version of the IPAM plugin",
        "of ADD && [ -e /run/testbed/kit/answers/ADD ] && result '.cniVersion = \"1.0.0\"'; real",
    ),
    mutant(
        "ptp",
        "S4.ENV.3",
        "GC has no trace",
        "of GC && unset TRACEPARENT TRACESTATE BAGGAGE; real",
    ),
];
