//! A file that cannot be used is no reason to refuse the other networks of its folder.

use crate::bed::Bed;

/// Files of the network `bad`, each with the end of its name and what is wrong.
fn bad() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    const ONE: &str = r#""plugins": [{"type": "one"}]"#;
    let deep = format!(r#""plugins": [{{"x": {}{}}}]"#, "[".repeat(200), "]".repeat(200));
    let lists = [
        (r#""cniVersion": "banana", ONE"#, "banana"),
        (r#""cniVersion": "1.0.0.0", ONE"#, "1.0.0.0"),
        (r#""cniVersions": ["1.x"], ONE"#, "1.x"),
        (r#""cniVersion": null, ONE"#, "null"),
        (r#""disableCheck": "maybe", ONE"#, "maybe"),
        (r#""plugins": [{"type": "../one"}]"#, "../one"),
        (r#""plugins": [{"type": ""}]"#, "plugin"),
        (r#""plugins": [{}]"#, "missing 'type'"),
        (r#""plugins": {}"#, "invalid 'plugins' type"),
        (r#""plugins": []"#, "no plugins in list"),
        (r#""cniVersion": "1.0.0""#, "no plugin configs found"),
        (r#""x": "BYTE", ONE"#, "unicode"),
        (&deep, "recursion limit"),
    ];
    let singles = [
        ("conf", r#""cniVersion": "banana", "type": "one""#, "banana"),
        ("conf", r#""cniVersion": "1.0.0""#, "missing 'type'"),
        ("json", r#""type": "a/b""#, "a/b"),
        ("json", r#""type": "one", "capabilities": 5"#, "capabilities"),
        ("conf", r#""type": "one", "x": "BYTE""#, "unicode"),
    ];
    let lists = lists.map(|(text, why)| ("conflist", text, why));
    let misspelt = br#"{"Name": "bad", "plugins": [{"type": "one"}]}"#.to_vec();
    let all = lists.into_iter().chain(singles).map(|(end, text, why)| {
        let text = format!(r#"{{"name": "bad", {}}}"#, text.replace("ONE", ONE));
        // One byte of Latin-1.
        let bytes = text.split("BYTE").map(str::as_bytes).collect::<Vec<_>>().join(&0xe9);
        (end, bytes, why)
    });
    all.chain([("conflist", misspelt, "no name")]).collect()
}

/// The network `net` as a list and as a single plugin: both are looked for behind the bad file.
fn beds() -> [Bed; 2] {
    let list = Bed::with_network("1.0.0");
    let single = Bed::with_network("1.0.0");
    std::fs::remove_file(single.path("net.d/net.conflist")).unwrap();
    single.file("net.d/net.conf", r#"{"name": "net", "cniVersion": "1.0.0", "type": "one"}"#);
    [list, single]
}

#[test]
fn only_using_a_bad_network_fails() {
    for (end, text, why) in bad() {
        for bed in beds() {
            bed.file(&format!("net.d/00-bad.{end}"), &text);
            let shown = String::from_utf8_lossy(&text);
            for verb in ["add", "check", "del"] {
                let run = bed.run(verb, "net");
                assert_eq!((run.status, &*run.stderr), (Some(0), ""), "{shown} {verb}: {run:?}");
            }
            assert!(bed.calls().len() >= 3);
            for verb in ["add", "del"] {
                let run = bed.run(verb, "bad");
                assert_eq!(run.status, Some(1), "{shown} {verb}: {run:?}");
                assert!(run.stderr.contains(why), "{shown}: {}", run.stderr);
                assert!(run.stderr.contains("00-bad"), "{shown}: {}", run.stderr);
            }
            assert!(bed.calls().is_empty(), "{shown}");
            // A network that is not there: what could be it by another name is named.
            let none = bed.run("add", "none");
            let said = "no net configuration with name \"none\" in ";
            assert!(none.stderr.starts_with(said), "{shown}: {}", none.stderr);
            assert!(none.stderr.contains("bad"), "{shown}: {}", none.stderr);
        }
    }
}

/// The same name in a later file does not take the place of one with a mistake.
#[test]
fn a_bad_file_of_the_network_itself_is_an_error_also_before_a_good_one() {
    for (end, text, why) in bad() {
        if end != "conflist" {
            continue;
        }
        let bed = Bed::with_network("1.0.0");
        bed.file(
            "net.d/99.conflist",
            r#"{"name": "bad", "cniVersion": "1.0.0", "plugins": [{"type": "one"}]}"#,
        );
        bed.file("net.d/00.conflist", &text);
        let run = bed.run("add", "bad");
        assert_eq!(run.status, Some(1), "{why}");
        assert!(run.stderr.contains(why), "{why}: {}", run.stderr);
    }
}

/// A name that cannot be one is nobody's: nothing is looked for in its folder.
#[test]
fn a_name_that_makes_no_sense_is_passed_by() {
    for name in [r#""../x""#, r#""""#, "5", "null", r#"["net"]"#] {
        for bed in beds() {
            bed.file(
                "net.d/00.conflist",
                format!(r#"{{"name": {name}, "plugins": [{{"type": "one"}}]}}"#),
            );
            assert_eq!(bed.run("add", "net").status, Some(0), "{name}");
        }
    }
}

/// As in the reference: such a file could be the one that is looked for.
#[test]
fn a_file_that_is_not_json_still_ends_the_search() {
    for text in ["", "{", r#"{"name": "other",}"#, "[]", "{} x"] {
        let bed = Bed::with_network("1.0.0");
        bed.file("net.d/00.conflist", text);
        let run = bed.run("add", "net");
        assert_eq!(run.status, Some(1), "{text}");
        assert!(run.stderr.contains("00.conflist: "), "{text}: {}", run.stderr);
    }
}
