//! Remedies of `cnitool lint`: after following one, lint reports nothing and ADD works.

use std::fs;

use testbed::Pod;

use super::node::{Live, each};

/// A file of `tests/lint/broken`, the printed help, and the replacements of text that follow it.
type Row = (&'static str, &'static [&'static str], &'static [(&'static str, &'static str)]);

const SUBNET: &str = r#""subnet": "10.1.2.0/24""#;

const ROWS: &[Row] = &[
    (
        "boolean-as-text",
        &["write true, without quotation marks", "write true"],
        &[(r#""true""#, "true"), ("\"ipMasq\": 1", "\"ipMasq\": true")],
    ),
    ("bridge-name-too-long", &["names have 1 to 15 characters"], &[("kubernetes-pods0", "kube0")]),
    ("byte-order-mark", &["save it as UTF-8 without BOM"], &[("\u{feff}", "")]),
    ("capability-misspelt", &["must match exactly"], &[("portmappings", "portMappings")]),
    (
        "capability-unknown",
        &["its capabilities: mac, ipRanges, ips"],
        &[(r#", "deviceID": true"#, "")],
    ),
    ("comma-at-the-end", &["remove it"], &[(r#"/24","#, r#"/24""#), ("} },\n  ]", "} }\n  ]")]),
    ("comma-missing", &["write a comma after it"], &[("\"1.0.0\"", "\"1.0.0\",")]),
    (
        "data-dir",
        &["write an absolute path, such as /var/lib/cni/networks"],
        &[("run/../cni", "/run/cni")],
    ),
    (
        "down-with-addresses",
        &[r#"remove "ipam" or disableContainerInterface"#],
        &[(r#""disableContainerInterface": true,"#, "")],
    ),
    ("gateway-of-another-family", &["its own range set"], &[("fd00:1::1", "10.1.2.254")]),
    (
        "gateway-outside",
        &["write an address of the subnet, or omit it"],
        &[("10.1.3.1", "10.1.2.254")],
    ),
    (
        "gateway-without-subnet",
        &[r#"move it into its range in "ranges""#],
        &[
            (r#""gateway": "10.1.2.254","#, ""),
            (SUBNET, r#""subnet": "10.1.2.0/24", "gateway": "10.1.2.254""#),
        ],
    ),
    ("hairpin-and-promiscuous", &["remove one of them"], &[(r#""hairpinMode": true,"#, "")]),
    (
        "key-beside-ipam",
        &[r#"move it into "ipam""#, r#"move it beside "ipam""#],
        &[
            (r#""subnet": "10.1.2.0/24","#, r#""ipMasq": true,"#),
            (r#""host-local", "ipMasq": true,"#, r#""host-local","#),
        ],
    ),
    (
        "key-beside-plugins",
        &["move it into the object of a plugin"],
        &[
            (r#""ipMasq": true,"#, ""),
            (r#""type": "bridge","#, r#""type": "bridge", "ipMasq": true,"#),
        ],
    ),
    (
        "key-misspelt",
        &["isGateway: Gives the bridge", "remove or correct it"],
        &[("isGatway", "isGateway"), ("ipMasquerade", "ipMasq")],
    ),
    ("key-twice", &["remove one of them"], &[(",\n      \"isGateway\": false", "")]),
    ("masquerade-backend", &[r#"write one of "nftables", "iptables""#], &[("nftable", "nftables")]),
    ("name-with-slash", &["letters, digits,"], &[("pods/blue", "pods-blue")]),
    (
        "next-hop-unreachable",
        &["write an address of these subnets", "write an address of the same family"],
        &[("10.7.0.1", "10.1.2.7"), ("fd00::1", "10.1.2.8")],
    ),
    ("number-as-text", &["write 1500, without quotation marks"], &[(r#""1500""#, "1500")]),
    (
        "own-name",
        &["remove it from the plugin's object"],
        &[(r#""name": "other","#, ""), (r#""cniVersion": "0.3.1","#, "")],
    ),
    (
        "ptp-without-ipam",
        &[r#"add "ipam": { "type": "host-local", "subnet": ".." }"#],
        &[(
            "\"ipMasq\": true",
            r#""ipMasq": true, "ipam": { "type": "host-local", "subnet": "10.1.2.0/24" }"#,
        )],
    ),
    (
        "range-is-the-gateway",
        &["give the range more addresses"],
        &[(r#""rangeEnd": "10.1.2.1""#, r#""rangeEnd": "10.1.2.9""#)],
    ),
    (
        "range-outside",
        &["10.1.2.0/24 has 10.1.2.0 to 10.1.2.255", "write it as 10.1.2.3"],
        &[("10.1.3.10", "10.1.2.10"), ("10.1.2.300", "10.1.2.30")],
    ),
    (
        "range-reversed",
        &["rangeStart is the first address, rangeEnd the last"],
        &[("10.1.2.200", "10.1.2.50")],
    ),
    (
        "ranges-none",
        &[r#"add "ranges": [[{ "subnet": "10.1.2.0/24" }]]"#],
        &[("\"routes\"", r#""ranges": [[{ "subnet": "10.1.2.0/24" }]], "routes""#)],
    ),
    (
        "ranges-of-two-families",
        &["write a separate list for each family"],
        &[(r#"}, { "subnet": "fd00"#, r#"}], [{ "subnet": "fd00"#)],
    ),
    (
        "ranges-overlapping",
        &["give each address to one range only"],
        &[("10.1.0.0/16", "10.1.0.0/24"), (r#""isGateway": true,"#, "")],
    ),
    (
        "ranges-without-inner-list",
        &["put it between brackets"],
        &[(r#"[{ "subnet": "10.1.2.0/24" }]"#, r#"[[{ "subnet": "10.1.2.0/24" }]]"#)],
    ),
    (
        "route-without-dst",
        &[r#"add "dst": .."#],
        &[("{ \"gw\"", "{ \"dst\": \"10.8.0.0/16\", \"gw\"")],
    ),
    ("subnet-too-small", &["the prefix length is at most 30"], &[("/31", "/30")]),
    (
        "subnet-with-host-bits",
        &[r#"write "10.1.2.0/24""#, r#"write "fd00:1::/64""#],
        &[("10.1.2.1/24", "10.1.2.0/24"), ("fd00:1::5/64", "fd00:1::/64")],
    ),
    ("subnet-without-prefix", &["write it as 10.1.2.0/24"], &[("\"10.1.2.0\"", "\"10.1.2.0/24\"")]),
    (
        "two-addresses-in-old-version",
        &["set cniVersion to 1.0.0"],
        &[("0.2.0", "1.0.0"), (r#""isGateway": true,"#, "")],
    ),
    ("type-misspelt", &[r#"write "bridge", or install brigde"#], &[("brigde", "bridge")]),
    ("version-short", &[r#"write "1.0.0""#], &[("\"1.0\"", "\"1.0.0\"")]),
    ("version-with-v", &[r#"write "0.3.1""#], &[("v0.3.1", "0.3.1")]),
    (
        "word-without-quotes",
        &["write true"],
        &[("True", r#"true, "ipam": { "type": "host-local", "subnet": "10.1.2.0/24" }"#)],
    ),
];

fn broken(case: &str) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lint/broken");
    fs::read_to_string(format!("{folder}/{case}.conflist")).unwrap()
}

/// Lint of the only file of a folder, and ADD of its network.
fn lint(live: &Live, text: &str) -> crate::bed::Run {
    fs::create_dir_all("/run/net.d").unwrap();
    fs::write("/run/net.d/fixed.conflist", text).unwrap();
    live.cnitool(&[
        "lint",
        "--no-host",
        "--strict",
        "--path",
        &plugins(),
        "/run/net.d/fixed.conflist",
    ])
}

fn plugins() -> String {
    format!("{}:{}", testbed::bin().display(), testbed::reference().display())
}

fn add(live: &Live, name: &str) -> Pod {
    let pod = live.pod("fixed");
    let run =
        live.cnitool(&["add", name, "fixed", "--conf-dir", "/run/net.d", "--path", &plugins()]);
    assert_eq!(run.status, Some(0), "{name}: {}", run.stderr);
    pod
}

#[test]
fn every_help_of_lint_leads_to_a_network_that_works() {
    each(ROWS, |(case, helps, edits)| {
        let live = Live::new();
        live.remember();
        // The live containers are of another network.
        let broken = broken(case).replace("\"pods\"", "\"fixed\"").replace("cni0", "fixed0");
        let before = lint(&live, &broken);
        for help in *helps {
            assert!(before.stdout.contains(help), "{case}: {help}\n{}", before.stdout);
        }
        let mut text = broken;
        for (from, to) in *edits {
            assert!(text.contains(from), "{case}: {from} is not in {text}");
            text = text.replacen(from, to, 1);
        }
        let after = lint(&live, &text);
        assert_eq!((after.status, &*after.stdout), (Some(0), "1 file, clean\n"), "{case}: {text}");
        let name = if text.contains("pods-blue") { "pods-blue" } else { "fixed" };
        let pod = add(&live, name);
        let has_address = pod.sh("ip -o addr show eth0").contains("10.1.");
        assert_eq!(has_address, text.contains("10.1."), "{case}");
        live.assert_untouched(case);
    });
}

/// A command of lint's.
#[test]
fn a_plugin_that_is_not_executable() {
    let live = Live::with(&super::node::chained("pods", 88, "1.1.0"));
    live.remember();
    live.run(&["chmod", "644", "/run/bin/tail"]);
    let run = live.cnitool(&["lint", "--no-host"]);
    assert!(run.stdout.contains("help: chmod 755 /run/bin/tail"), "{}", run.stdout);
    live.shell("chmod 755 /run/bin/tail").ok();
    live.join("pods", "c1", &[]);
    live.assert_untouched("chmod");
}

/// A command about this host.
#[test]
fn a_bridge_with_an_address_of_an_older_configuration() {
    let live = Live::new();
    live.remember();
    live.sh("ip link add fixed0 type bridge; ip address add 10.1.9.1/24 dev fixed0; ip link set \
             fixed0 up");
    let text = broken("gateway-outside").replace("\"pods\"", "\"fixed\"").replace("cni0", "fixed0");
    let text = text.replace("10.1.3.1", "10.1.2.254");
    lint(&live, &text);
    let look = || live.cnitool(&["lint", "--path", &plugins(), "/run/net.d/fixed.conflist"]);
    let run = look();
    let command = "ip address del 10.1.9.1/24 dev fixed0";
    assert!(run.stdout.contains(command), "{}", run.stdout);
    live.run(&command.split(' ').collect::<Vec<_>>());
    assert_eq!(look().stdout, "1 file, clean\n");
    add(&live, "fixed");
    live.assert_untouched(command);
}
