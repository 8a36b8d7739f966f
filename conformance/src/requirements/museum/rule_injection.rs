//! Strings that a firewall's language would take for rules.

use serde_json::{Value, json};

use crate::bench::{Bench, Call, Container, set};
use crate::profile::{Kind, Profile};
use crate::requirement::{Level, Of, Requirement, Verdict, Versions, ensure};

use super::sites::{mapping, publishes};

/// In names, which end up in comments, and in the mappings of ports.
pub(super) const RULES: Requirement = Requirement {
    id: "GHSA-vchx-5pr6-ffx2.rules",
    source: "GHSA-vchx-5pr6-ffx2 (flannel), its kind: text that becomes rules instead of commands",
    says: "No name, address or protocol of a call becomes a firewall rule of its own",
    level: Level::Must,
    of: Of::That(writes_rules, "write firewall rules"),
    versions: Versions::Newest,
    test: rules,
};

/// Text that ends a rule, and begins another one. As `nft` takes it, with and without quotes, and as `iptables-restore`.
const TEXTS: [&str; 4] = [
    "x\"
add table inet injected
#",
    "x; add table inet injected; #",
    "x\"
:INJECTED - [0:0]
#",
    "x
:INJECTED - [0:0]
#",
];

fn writes_rules(profile: &Profile) -> bool {
    let keys = ["ipMasq", "macspoofchk", "ingressPolicy"];
    publishes(profile) || keys.iter().any(|key| profile.config_with(key).is_some())
}

fn rules(bench: &Bench) -> Verdict {
    // A rule of somebody else's.
    bench.host.sh("nft add table inet others; nft add chain inet others c");
    let container = bench.container("a");
    for config in configurations(bench) {
        for (number, text) in TEXTS.into_iter().enumerate() {
            for (place, call) in calls(bench, &container, &config, text) {
                call.verb("ADD");
                is_no_rule(bench, "ADD", place, text)?;
                // DEL is slow in some suites, and reads the same.
                if number == 0 {
                    call.verb("DEL");
                    is_no_rule(bench, "DEL", place, text)?;
                }
            }
        }
    }
    Ok(())
}

/// Those with rules in them, and other backends.
fn configurations(bench: &Bench) -> Vec<Value> {
    let variants = bench.profile.variants.iter();
    let with_rules = variants.filter(|variant| {
        ["backend", "macspoofchk", "ingressPolicy"]
            .iter()
            .any(|key| variant.config.contains_key(*key))
    });
    let all = [None].into_iter().chain(with_rules.map(Some));
    all.map(|variant| bench.complete(bench.profile.config_of(variant))).collect()
}

fn calls<'a>(
    bench: &'a Bench,
    container: &Container,
    config: &Value,
    text: &str,
) -> Vec<(&'static str, Call<'a>)> {
    let call = |config: &Value| {
        let call = bench
            .call_with(config)
            .with(|cni| cni.container(&container.id).netns(&container.pod).ifname("eth0"));
        match &container.prev {
            Some(prev) => call.with(|cni| cni.prev(prev)),
            None => call,
        }
    };
    let ports = |mapping: Value| {
        let mut config = config.clone();
        set(&mut config, "runtimeConfig", json!({ "portMappings": [mapping] }));
        call(&config)
    };
    let plain = mapping(8080, 80, "tcp");
    let named = match publishes(&bench.profile) {
        true => ports(plain.clone()),
        false => call(config),
    };
    let mut calls = vec![
        ("the network's name", named.clone().with(|cni| cni.key("name", text))),
        ("the container id", named.clone().with(|cni| cni.container(text))),
        ("the interface's name", named.clone().with(|cni| cni.ifname(text))),
    ];
    if publishes(&bench.profile) && !text.contains('"') {
        let rest = text.trim_start_matches('x');
        let (mut address, mut protocol) = (plain.clone(), plain);
        // What comes before must be a rule as well, or all of it is refused.
        set(&mut address, "hostIP", format!("192.0.2.9 accept{rest}"));
        set(&mut protocol, "protocol", format!("tcp dport 9 accept{rest}"));
        calls.push(("a mapping's host IP", ports(address)));
        calls.push(("a mapping's protocol", ports(protocol)));
    }
    if bench.profile.kind == Kind::Chained && text.contains('"') {
        let mut prev = container.prev.clone().unwrap_or_default();
        if let Some(name) = prev.pointer_mut("/interfaces/0/name") {
            *name = json!(text);
        }
        calls.push(("an interface of the previous result", named.with(|cni| cni.prev(&prev))));
    }
    calls
}

fn is_no_rule(bench: &Bench, verb: &str, place: &str, text: &str) -> Verdict {
    let tables = bench.host.run(&["nft", "list", "ruleset"]);
    let injected = tables.contains("table inet injected") || tables.contains("chain INJECTED {");
    let others = tables.contains("table inet others");
    let seen = match (injected, others) {
        (true, _) => "the rest of the text became rules",
        (false, false) => "somebody else's rules are gone",
        (false, true) => return Ok(()),
    };
    let done = format!("{verb} with {text:?} in {place}");
    ensure(false, done, "an error, or rules in which it is nothing but text", seen)
}
