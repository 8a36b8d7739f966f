//! Address management plugins that fail.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Value, json};
use testbed::assert_same;

use crate::{AGAIN, Bed, CONFIG, DECODE, INTERNAL, for_each_plugin, refused};

#[test]
fn an_ipam_plugin_that_is_the_plugin_itself() {
    for_each_plugin(|bed| {
        let plugin = bed.config["type"].as_str().unwrap();
        let call = bed.call().conf(bed.config(json!({ "ipam": { "type": plugin } })));
        // STATUS of ipip first checks whether the kernel has tunnels.
        let verbs = ["ADD", "CHECK", "PLAN", "STATUS"];
        let verbs = if plugin == "ipip" { &verbs[..3] } else { &verbs };
        for verb in verbs.iter().copied() {
            let call = match verb {
                "CHECK" => call.clone().prev(&json!({ "cniVersion": "1.1.0" })),
                _ => call.clone(),
            };
            let text = format!("ipam.type is {plugin}, which manages no addresses");
            refused(&bed.node, &call, verb, CONFIG, &text);
        }
        call.del().ok();
        // Neither through another plugin.
        let other = if plugin == "ptp" { "bridge" } else { "ptp" };
        let call = bed.call().conf(bed.config(json!({ "ipam": { "type": other } })));
        let text = format!("ipam.type is {other}, which manages no addresses");
        refused(&bed.node, &call, "ADD", CONFIG, &text);
    });
}

/// Writes a program called `lying` into a separate directory, for use as an IPAM plugin.
fn lying(script: &str) -> Value {
    let folder = Path::new("/run/plugins");
    fs::create_dir_all(folder).unwrap();
    let program = folder.join("lying");
    fs::write(
        &program,
        format!("#!/bin/sh\ncat >/dev/null\necho $CNI_COMMAND >>/run/plugins.log\n{script}\n"),
    )
    .unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    json!({ "ipam": { "type": "lying" } })
}

#[test]
fn ipam_plugins_that_fail_hang_or_lie() {
    for_each_plugin(try_ipam_plugins_that_fail_hang_or_lie);
}

#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn try_ipam_plugins_that_fail_hang_or_lie(bed: &Bed) {
    let answer = |json: &str| format!("[ $CNI_COMMAND = ADD ] && echo '{json}'; exit 0");
    let on_add = |script: &str| format!("[ $CNI_COMMAND = ADD ] || exit 0; {script}");
    for (script, code, text) in [
        (on_add("echo '{\"code\": 123, \"msg\": \"no way\"}'; exit 1"), 123, "no way"),
        (on_add("exit 3"), INTERNAL, "exit status 3"),
        (on_add("echo oops >&2; exit 3"), INTERNAL, "oops"),
        (on_add("echo garbage; exit 1"), INTERNAL, "garbage"),
        (on_add("kill -SEGV $$"), INTERNAL, "SIGSEGV"),
        (on_add("sleep 1000"), AGAIN, "in time"),
        (on_add("exit 0"), DECODE, "printed nothing"),
        (answer("garbage"), DECODE, "JSON"),
        (answer("{}"), INTERNAL, "IPAM plugin returned missing IP config"),
        (answer("null"), INTERNAL, "IPAM plugin returned missing IP config"),
        (
            answer("{\"ips\": [{\"address\": \"0.0.0.0/0\"}]}"),
            INTERNAL,
            "no address for a container",
        ),
        (
            answer("{\"ips\": [{\"address\": \"224.0.0.5/24\"}]}"),
            INTERNAL,
            "no address for a container",
        ),
        (answer("{\"ips\": [{\"address\": \"10.1.2.256/24\"}]}"), DECODE, "ips[0].address"),
        (
            answer("{\"ips\": [{\"address\": \"10.1.2.3/24\", \"gateway\": \"fd00::1\"}]}"),
            INTERNAL,
            "another family",
        ),
        (
            answer("{\"ips\": [{\"address\": \"10.1.2.3/24\"}, {\"address\": \"10.1.2.3/24\"}]}"),
            INTERNAL,
            "twice",
        ),
        (
            answer("{\"cniVersion\": \"0.2.0\", \"ip4\": {\"ip\": \"10.1.2.3/24\"}}"),
            DECODE,
            "0.2.0",
        ),
        (
            answer(
                "{\"ips\": [{\"address\": \"10.1.2.3/24\"}], \"routes\": [{\"dst\": \
                 \"10.7.0.0/16\", \"gw\": \"10.99.0.1\"}]}",
            ),
            INTERNAL,
            "add the route 10.7.0.0/16 via 10.99.0.1 dev eth0",
        ),
    ] {
        if bed.config["type"] == "ipip" && text.starts_with("add the route") {
            continue; // This comes after the tunnel, which needs another kernel.
        }
        let config = bed.config(lying(&script));
        fs::write("/run/plugins.log", "").unwrap();
        let before = bed.node.state();
        let path = format!("/run/plugins:{}", testbed::bin().display());
        let outcome =
            bed.call().conf(&config).env("CNI_PATH", path).env("FERROCNI_TIMEOUT", "0.5").add();
        let (seen, msg, details) = outcome.err();
        assert!(
            seen == code && format!("{msg} {details}").contains(text),
            "{script}: expected {code} {text}\n{outcome}"
        );
        let asked = fs::read_to_string("/run/plugins.log").unwrap();
        // All its reservations are released.
        assert_eq!(asked, "ADD\nDEL\n", "{script}\n{outcome}");
        fs::write("/run/plugins.log", "").unwrap();
        assert_same!(before, bed.node.state(), "{script}");
    }
}
