//! Correct plugins that do something unusual. The kit must not report a failure of them.

use super::table::{Mutant, mutant};

/// The plugins. `caught_by` has the requirements that must pass, separated by commas.
pub const UNUSUAL: &[Mutant] = &[mutant(
    "ptp",
    "S2.ADD.1,S2.DEL.3,S2.DEL.6,LINUX.ADD.12,LINUX.DEL.2,LINUX.DEL.3,LINUX.HOST.3,RACE.DEL.1",
    "state in a directory of its own, and a log",
    "D=/var/lib/of-the-kit/$CNI_CONTAINERID-$CNI_IFNAME; mkdir -p ${D%/*}; \
         echo $CNI_COMMAND >> /var/log/of-the-kit.log; of ADD && [ -e $D ] && \
         { echo '{\"code\": 100, \"msg\": \"added already\"}'; exit 1; }; \
         real; S=$?; of ADD && [ $S = 0 ] && touch $D; of DEL && rm -f $D; exit $S",
)];
