//! `lint` handles any text, and all positions that it reports are inside the file.

use proptest::prelude::*;

use super::files::Place;
use super::*;

const GOOD: [&str; 3] = [
    include_str!("../../tests/lint/good/dual-stack.conflist"),
    include_str!("../../tests/lint/good/newest-of-several.conflist"),
    include_str!("../../tests/lint/broken/ipip-peers.conflist"),
];

/// Checks a text as each kind of file. Returns the number of errors.
fn look(bytes: &[u8]) -> usize {
    let mut errors = 0;
    for kind in [Kind::List, Kind::Single, Kind::Part] {
        let read = syntax::read(0, bytes);
        let (path, shown) = (PathBuf::from("it.conflist"), "it.conflist".to_owned());
        let (place, text, root) = (Place::Whole, read.text, read.root);
        let files = [File { path, shown, kind, place, text, root }];
        let options = Options {
            paths: Vec::new(),
            folders: Vec::new(),
            with_plugins: false,
            with_host: false,
            conf_dir: PathBuf::new(),
            cache_dir: PathBuf::new(),
            strict: false,
            json: false,
        };
        let problems = found(&options, &files, read.problems);
        errors += problems.iter().filter(|it| it.severity == Severity::Error).count();
        let shown = report::for_people(&files, &problems, false, 100);
        assert!(!shown.contains(|c: char| c.is_control() && c != '\n'), "{shown:?}");
        let json: serde_json::Value =
            serde_json::from_str(&report::for_programs(&files, &problems)).unwrap();
        let lines = files[0].text.split('\n').count();
        for found in json.as_array().unwrap() {
            let line = usize::try_from(found["line"].as_u64().unwrap()).unwrap();
            assert!((1..=lines).contains(&line), "{found} of {lines} lines");
        }
    }
    errors
}

#[test]
fn files_cut_off_anywhere_are_refused() {
    for good in GOOD {
        let whole = good.trim_end().len();
        for end in 0..whole {
            assert!(look(&good.as_bytes()[..end]) > 0, "{:?}", &good[..end]);
        }
    }
    assert_eq!(look(GOOD[0].replace("conflist", "").as_bytes()), 1, "as a single plugin");
}

#[test]
fn files_with_one_other_byte() {
    const OTHERS: [u8; 10] = *b"\"{],\\/0\n\0\xff";
    for good in GOOD {
        for at in 0..good.len() {
            for byte in [OTHERS[at % OTHERS.len()], OTHERS[at / OTHERS.len() % OTHERS.len()]] {
                let mut bytes = good.as_bytes().to_vec();
                bytes[at] = byte;
                look(&bytes);
            }
        }
    }
}

#[test]
fn files_that_are_deep_and_long() {
    for text in ["[", "{\"a\":", "[{\"plugins\":", "/*", "\"", "{\"ipam\":{\"ranges\":[["] {
        look(text.repeat(100_000).as_bytes());
    }
    look(format!("{}1{}", "[".repeat(400), "]".repeat(400)).as_bytes());
    look(format!("/**/{}1{}", "[".repeat(400), "]".repeat(400)).as_bytes());
    look(format!("{{ \"name\": \"{}\" }}", "x".repeat(1 << 20)).as_bytes());
}

/// Relevant keys, and unusual ones.
const KEYS: &[&str] = &[
    "type",
    "Type",
    "name",
    "cniVersion",
    "cniVersions",
    "plugins",
    "ipam",
    "subnet",
    "ranges",
    "rangeStart",
    "rangeEnd",
    "gateway",
    "routes",
    "dst",
    "gw",
    "capabilities",
    "mac",
    "vlan",
    "vlanTrunk",
    "minID",
    "maxID",
    "isGateway",
    "ipMasq",
    "ipMasqBeyond",
    "hostRoutes",
    "peers",
    "podCIDRs",
    "node",
    "mtu",
    "\u{1b}[31m",
    "\u{e9}",
    "bridge",
    "dataDir",
    "runtimeConfig",
    "ipRanges",
];

/// Relevant values, and unusual ones.
fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("\"host-local\"".to_owned()),
        Just("\"bridge\"".to_owned()),
        Just("\"10.1.2.0/24\"".to_owned()),
        Just("\"fd00::/0\"".to_owned()),
        Just("\"0.0.0.0/0\"".to_owned()),
        Just("\"::1\"".to_owned()),
        Just("\"255.255.255.255/32\"".to_owned()),
        Just("99999999999999999999999999999999999999999".to_owned()),
        Just("-1e400".to_owned()),
        Just("true".to_owned()),
        Just("null".to_owned()),
        "\"[a-z.\u{e9}\u{1f600}]{0,4}\"",
        any::<i64>().prop_map(|number| number.to_string()),
    ]
}

/// JSON of these keys and values in any order.
fn anything() -> impl Strategy<Value = String> {
    let key = prop::sample::select(KEYS);
    word().prop_recursive(6, 60, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5)
                .prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec((key.clone(), inner), 0..6).prop_map(|members| {
                let members: Vec<String> = members
                    .iter()
                    .map(|(key, value)| format!("{:?}: {value}", key.replace('\u{1b}', "\u{7f}")))
                    .collect();
                format!("{{{}}}", members.join(",\n"))
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        look(&bytes);
    }

    #[test]
    fn any_text(text in "[{}\\[\\]\":,a\u{e9}\u{1f600}\u{202e}\n\r\t /*\\\\0-9.]{0,80}") {
        look(text.as_bytes());
    }

    #[test]
    fn any_document(text in anything()) {
        look(text.as_bytes());
    }
}
