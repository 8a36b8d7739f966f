//! Libraries that many plugins share, and the failures that come from them and not from the plugin's
//! own code.

use std::fs;
use std::path::Path;

/// The path of the package `skel` of Go's CNI library, which is in each binary that has it.
const SKEL: &[u8] = b"containernetworking/cni/pkg/skel";

/// `(requirement, explanation)`: the failures that come from `skel`.
const OF_SKEL: &[(&str, &str)] = &[
    (
        "S2.ERR.2",
        "Go's skel prints errors without cniVersion: \
         https://github.com/containernetworking/cni/pull/408",
    ),
    (
        "S2.ENV.12",
        "Go's skel accepted the host's namespace until cni#890: \
         https://github.com/containernetworking/plugins/issues/714",
    ),
    (
        "S2.ENV.9",
        "Go's skel validates container IDs and interface names, and words these errors: \
         https://github.com/containernetworking/cni/pull/698",
    ),
];

/// Whether a program contains Go's `skel`.
pub fn has_skel(program: &Path) -> bool {
    let bytes = fs::read(program).unwrap_or_default();
    bytes.windows(SKEL.len()).any(|window| window == SKEL)
}

/// The explanation of a failure that comes from `skel`.
pub fn of_skel(requirement: &str) -> Option<&'static str> {
    OF_SKEL.iter().find(|(id, _)| *id == requirement).map(|(_, why)| *why)
}
