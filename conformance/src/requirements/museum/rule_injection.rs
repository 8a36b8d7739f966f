//! Strings that are rules in the language of a firewall.

use serde_json::{Value, json};

use crate::fixture::{Call, Container, Fixture};
use crate::json::set;
use crate::profile::{Kind, Profile};
use crate::requirement::{AppliesTo, Level, Requirement, Versions};
use crate::verdict::{TestResult, ensure};

use super::sites::{mapping, publishes};

/// In names, which become comments, and in port mappings.
pub(super) const RULES: Requirement = Requirement {
    id: "GHSA-vchx-5pr6-ffx2.rules",
    source: "GHSA-vchx-5pr6-ffx2 (flannel), its kind: text that becomes rules instead of commands",
    statement: "A name, address or protocol of a call must not become a firewall rule of its own",
    level: Level::Expected,
    applies_to: AppliesTo::Where(writes_rules, "write firewall rules"),
    versions: Versions::Newest,
    test: rules,
};

/// Text that ends a rule and begins another one, for `nft` with and without quotes, and for
/// `iptables-restore`.
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

fn rules(fixture: &Fixture) -> TestResult {
    // A rule of another program.
    fixture.host.sh("nft add table inet others; nft add chain inet others c");
    let container = fixture.container("a");
    for config in configurations(fixture) {
        for (number, text) in TEXTS.into_iter().enumerate() {
            for (place, call) in calls(fixture, &container, &config, text) {
                call.verb("ADD");
                is_no_rule(fixture, "ADD", place, text)?;
                // DEL is slow in some suites, and reads the same strings.
                if number == 0 {
                    call.verb("DEL");
                    is_no_rule(fixture, "DEL", place, text)?;
                }
            }
        }
    }
    Ok(())
}

/// The mappings with rules in them, and other backends.
fn configurations(fixture: &Fixture) -> Vec<Value> {
    let variants = fixture.profile.variants.iter();
    let with_rules = variants.filter(|variant| {
        ["backend", "macspoofchk", "ingressPolicy"]
            .iter()
            .any(|key| variant.config.contains_key(*key))
    });
    let all = [None].into_iter().chain(with_rules.map(Some));
    all.map(|variant| fixture.complete(fixture.profile.config_of(variant))).collect()
}

fn calls<'a>(
    fixture: &'a Fixture,
    container: &Container,
    config: &Value,
    text: &str,
) -> Vec<(&'static str, Call<'a>)> {
    let call = |config: &Value| {
        let call = fixture
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
    let named = match publishes(&fixture.profile) {
        true => ports(plain.clone()),
        false => call(config),
    };
    let mut calls = vec![
        ("the network's name", named.clone().with(|cni| cni.key("name", text))),
        ("the container id", named.clone().with(|cni| cni.container(text))),
        ("the interface's name", named.clone().with(|cni| cni.ifname(text))),
    ];
    if publishes(&fixture.profile) && !text.contains('"') {
        let rest = text.trim_start_matches('x');
        let (mut address, mut protocol) = (plain.clone(), plain);
        // The text before must be a valid rule, too; otherwise the tool rejects all of it.
        set(&mut address, "hostIP", format!("192.0.2.9 accept{rest}"));
        set(&mut protocol, "protocol", format!("tcp dport 9 accept{rest}"));
        calls.push(("a mapping's host IP", ports(address)));
        calls.push(("a mapping's protocol", ports(protocol)));
    }
    if fixture.profile.kind == Kind::Chained && text.contains('"') {
        let mut prev = container.prev.clone().unwrap_or_default();
        if let Some(name) = prev.pointer_mut("/interfaces/0/name") {
            *name = json!(text);
        }
        calls.push(("an interface of the previous result", named.with(|cni| cni.prev(&prev))));
    }
    calls
}

fn is_no_rule(fixture: &Fixture, verb: &str, place: &str, text: &str) -> TestResult {
    let tables = fixture.host.run(&["nft", "list", "ruleset"]);
    let injected = tables.contains("table inet injected") || tables.contains("chain INJECTED {");
    let others = tables.contains("table inet others");
    let seen = match (injected, others) {
        (true, _) => "the rest of the text became rules",
        (false, false) => "rules of another program are gone",
        (false, true) => return Ok(()),
    };
    let done = format!("{verb} with {text:?} in {place}");
    ensure(false, done, "an error, or rules that contain it only as text", seen)
}
