//! The image of the conformance kit, which scripts/package-image makes.

use std::fs;

use e2e::{Machine, Podman, client};

#[test]
fn the_kit_tests_plugins_from_its_image() {
    let machine = Machine::new();
    let podman = Podman::new(&machine);
    let before = machine.state();
    let archive = fs::read_dir(client("kit", "")).unwrap().next().unwrap().unwrap().path();
    let loaded = podman.run(&["load", "--input", archive.to_str().unwrap()]);
    let image = loaded.trim().rsplit(' ').next().unwrap();
    assert!(image.contains("cni-conformance:"), "{loaded}");
    // All programs that the kit needs are in the image, or the tests would say so.
    let run = ["run", "--rm", "--privileged", "--network", "none"];
    let plugins = ["--volume", "/opt/cni/bin:/plugins:ro", image, "run", "--bin-dir", "/plugins"];
    let only = ["--plugins", "ptp,host-local", "--only", "S2.ADD,NET.PING,NET.MASQ", "--strict"];
    let shown = podman.run(&[&run[..], &plugins, &only].concat());
    assert!(shown.contains("claim: cni-linux-1: "), "{shown}");
    assert!(shown.contains(" 0 failed, 0 not testable here"), "{shown}");
    assert_eq!(machine.changes(&before), "");
}
