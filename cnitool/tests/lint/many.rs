//! However many mistakes a file has, the output stays readable and the run short.

use serde_json::{Value, json};

use crate::Bed;

fn network(name: &str, plugins: Value) -> String {
    json!({ "cniVersion": "1.0.0", "name": name, "plugins": plugins }).to_string()
}

fn ranges(sets: Value) -> String {
    network("n", json!([{ "type": "bridge", "ipam": { "type": "host-local", "ranges": sets } }]))
}

fn many<T>(count: usize, one: impl Fn(usize) -> T) -> Vec<T> {
    (0..count).map(one).collect()
}

/// Files of some 3 kB in one line, and files with one line for each value; the rule; and the number
/// of findings.
fn files() -> Vec<(String, &'static str, usize)> {
    let range = json!({ "subnet": "10.1.2.0/24" });
    let keys = many(300, |number| (format!("k{number}"), json!(1)));
    let keys: serde_json::Map<_, _> =
        keys.into_iter().chain([("type".to_owned(), json!("bridge"))]).collect();
    let route = json!({ "dst": "10.8.0.1/16" });
    let ipam = json!({ "type": "host-local", "subnet": "10.1.2.0/24", "routes": many(100, |_| route.clone()) });
    vec![
        (ranges(json!(many(100, |_| json!([range])))), "overlapping-ranges", 99),
        (ranges(json!([many(100, |_| range.clone())])), "overlapping-ranges", 99),
        (ranges(json!(many(100, |_| json!([{ "subnet": "10.1.2.7/24" }])))), "host-bits", 100),
        (network("n", json!(many(100, |_| json!({ "type": "brigde" })))), "unknown-plugin", 100),
        (network("n", json!([keys])), "unknown-key", 300),
        (network("n", json!([{ "type": "bridge", "ipam": ipam }])), "duplicate-route", 99),
    ]
}

#[test]
fn the_report_about_a_file_of_3_kb_has_a_few_kb() {
    for (text, rule, count) in files() {
        let pretty = serde_json::to_string_pretty(&serde_json::from_str::<Value>(&text).unwrap());
        for text in [text.clone(), pretty.unwrap()] {
            let bed = Bed::new();
            bed.write("n.conflist", &text);
            let people = bed.lint(&["--no-host", "n.conflist"]);
            let length = people.stdout.len();
            assert!((500..16_000).contains(&length), "{rule}: {length} of {}", text.len());
            let more = format!("{} more of this kind ({rule}) in this file", count - 10);
            assert!(people.stdout.contains(&more), "{rule}: {}", people.stdout);
            let programs = bed.lint(&["--no-host", "--json", "n.conflist"]);
            assert!(
                (500..16_000).contains(&programs.stdout.len()),
                "{rule}: {}",
                programs.stdout.len()
            );
            let all: Value = serde_json::from_str(&programs.stdout).unwrap();
            let of_rule = all.as_array().unwrap().iter().filter(|it| it["rule"] == rule);
            let total: u64 = of_rule.map(|it| it["count"].as_u64().unwrap_or(1)).sum();
            assert_eq!(total, count as u64, "{rule}");
            // Findings that are not shown are counted all the same.
            let severity = all[0]["severity"].as_str().unwrap();
            let shown = people.stdout.lines().last().unwrap();
            let counts = all.as_array().unwrap().iter().filter(|it| it["severity"] == severity);
            let counts: u64 = counts.map(|it| it["count"].as_u64().unwrap_or(1)).sum();
            assert!(shown.contains(&format!("{counts} {severity}s")), "{rule}: {shown}");
        }
    }
}

/// Each of many equal networks conflicts with every other.
#[test]
fn not_all_pairs_of_many_equal_networks_are_reported() {
    let bed = Bed::new();
    let mut bytes = 0;
    for number in 0..300 {
        let ipam = json!({ "type": "host-local", "subnet": "10.1.0.0/24" });
        let bridge = json!({ "type": "bridge", "isGateway": true, "ipam": ipam });
        let text = network(&format!("n{number}"), json!([bridge]));
        bytes += text.len();
        bed.write(&format!("net.d/{number:03}.conflist"), text);
    }
    let run = bed.lint(&["--no-host", "net.d"]);
    assert!(run.stdout.len() < bytes, "{} of {bytes}", run.stdout.len());
    assert!(run.stdout.contains("; the same is true of 2 more"), "{}", run.stdout);
    assert!(run.stdout.contains("of this kind (overlapping-networks) in "), "{}", run.stdout);
    let all: Value =
        serde_json::from_str(&bed.lint(&["--no-host", "--json", "net.d"]).stdout).unwrap();
    let more = all.as_array().unwrap().iter().find(|it| it["count"].is_u64()).unwrap();
    assert!(more["files"].as_array().unwrap().contains(&json!("net.d/299.conflist")), "{more}");
    // The first has nothing before it to overlap.
    assert!(run.stdout.contains("300 files, 1 clean: "), "{}", run.stdout);
}

/// 20,000 ranges have 200 million pairs, so `lint` cannot compare them all.
#[test]
fn a_large_file_is_not_compared_pair_by_pair() {
    let bed = Bed::new();
    let subnet = |number: usize| format!("10.{}.{}.0/24", number / 250, number % 250);
    let text = |of: &dyn Fn(usize) -> String, name: &str| {
        let sets = many(20_000, |number| json!([{ "subnet": of(number) }]));
        let routes = many(20_000, |number| json!({ "dst": of(number) }));
        let ipam = json!({ "type": "host-local", "ranges": sets, "routes": routes });
        network(name, json!([{ "type": "bridge", "ipam": ipam }]))
    };
    bed.write("net.d/1.conflist", text(&subnet, "one"));
    bed.write("net.d/2.conflist", text(&|number| format!("fd00:{number:x}::/64"), "two"));
    bed.write("net.d/3.conflist", text(&|_| "10.1.2.0/24".to_owned(), "three"));
    let run = bed.lint(&["--no-host", "net.d"]);
    assert!(
        run.stdout.contains("19989 more of this kind (overlapping-ranges) in this file"),
        "{}",
        run.stdout
    );
    assert!(
        run.stdout.contains("the network \"one\" assigns the same addresses"),
        "{}",
        run.stdout
    );
    assert!(run.stdout.contains("3 files, 2 clean: "), "{}", run.stdout);
}

/// Text from a file is shown, and cannot control the terminal.
#[test]
fn excerpts_of_files_are_short_and_harmless() {
    let bed = Bed::new();
    let long = format!("n/\u{1b}[31m{}", "x\u{9b}\r".repeat(20_000));
    let kind = format!("bri/{}", "\u{7}y".repeat(20_000));
    let text = network(
        &long,
        json!([{ "type": kind, long.clone(): 1, "ipam": { "type": "host-local", "subnet": long } }]),
    );
    bed.write("n.conflist", &text);
    bed.write("\u{1b}[31mred.conflist", &text);
    for args in [
        &["n.conflist"][..],
        &["\u{1b}[31mred.conflist"],
        &["\u{1b}[31mgone"],
        &["--json", "n.conflist"],
    ] {
        let run = bed.lint(&[&["--no-host"], args].concat());
        assert_eq!(run.status, Some(1), "{args:?}");
        let said = run.stdout + &run.stderr;
        assert!(said.len() < 16_000, "{args:?}: {}", said.len());
        assert!(!said.contains(|c: char| c.is_control() && c != '\n'), "{args:?}: {said:?}");
    }
}
