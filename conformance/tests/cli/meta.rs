//! Meta-plugins, which run other plugins as delegates: what is asked of them, and whose a failure
//! is.

use std::fs;
use std::os::unix::fs::symlink;

use crate::suite::{Run, Suite};

/// Reads a file that another program writes, and runs ptp with a configuration made from it. `BEFORE`
/// and `AFTER` are the places of defects.
const META: &str = r#"IN=$(cat)
fail() { printf '{"cniVersion": "%s", "code": 7, "msg": "%s"}\n' "$V" "$1"; exit 1; }
V=$(printf %s "$IN" | jq -r '.cniVersion // "0.1.0"' 2>/dev/null)
case $CNI_COMMAND in VERSION)
    echo '{"cniVersion": "1.1.0", "supportedVersions": ["0.4.0", "1.0.0", "1.1.0"]}'; exit;;
esac
[ -r /run/mine/subnet.env ] || fail "open /run/mine/subnet.env: no such file or directory"
. /run/mine/subnet.env
CONF=$(printf %s "$IN" | jq -c --arg s "$SUBNET" '. * {type: "ptp", ipam: {type: "host-local", subnet: $s}}') || fail "invalid configuration"
BEFORE
OUT=$(printf %s "$CONF" | "$CNI_PATH/ptp"); STATUS=$?
AFTER
if [ $CNI_COMMAND = ADD ] && [ $STATUS != 0 ]; then
    printf %s "$CONF" | CNI_COMMAND=DEL "$CNI_PATH/ptp" >/dev/null
fi
printf '%s\n' "$OUT"; exit $STATUS"#;

/// The profile of the correct plugin.
const PROFILE: &str = r#"{
    "setup": ["mkdir /run/mine", "echo SUBNET=10.1.2.0/24 >/run/mine/subnet.env"],
    "config": { "type": "mine" }
}"#;

/// A suite with the meta-plugin, ptp and host-local. `ptp`: a script in the place of ptp.
fn suite(before: &str, after: &str, ptp: Option<&str>) -> Suite {
    let script = META.replace("BEFORE", before).replace("AFTER", after);
    let real = testbed::binary("ptp");
    let ptp = ptp.map(|script| script.replace("REAL", real.to_str().unwrap()));
    let mut scripts = vec![("mine", script.as_str())];
    scripts.extend(ptp.as_deref().map(|script| ("ptp", script)));
    let suite = Suite::new(&scripts);
    for name in ["ptp", "host-local"] {
        let _ = symlink(testbed::binary(name), suite.file(name));
    }
    fs::write(suite.file("mine.json"), PROFILE).unwrap();
    suite
}

fn judge(suite: &Suite, ids: &str) -> Run {
    let config = suite.file("mine.json").display().to_string();
    suite.run(&["--config", &config, "--plugins", "mine", "--only", ids, "--spec", "1.1.0"])
}

#[test]
fn a_correct_meta_plugin_passes() {
    let run = judge(&suite("", "", None), "S4.META,S2.ADD.1,S2.DEL,S2.GC");
    assert_eq!(run.status, Some(0), "{}{}", run.stdout, run.stderr);
    let line = run.stdout.lines().find(|line| line.starts_with("Meta-plugins")).unwrap_or_default();
    assert!(line.ends_with("9/9"), "{}", run.stdout);
}

/// `(where, defect, requirement)`: each defect fails its requirement.
const DEFECTS: [(&str, &str, &str); 9] = [
    ("before", "[ $CNI_COMMAND = DEL ] && exit 0", "S4.META.1"),
    ("before", "[ $CNI_COMMAND = CHECK ] && exit 0", "S4.META.2"),
    ("before", "[ $CNI_COMMAND = GC ] && exit 0", "S4.META.3"),
    ("after", "[ $CNI_COMMAND = ADD ] && [ $STATUS != 0 ] && { echo '{}'; exit 0; }", "S4.META.4"),
    ("after", "[ $CNI_COMMAND = ADD ] && { printf %s \"$OUT\"; exit $STATUS; }", "S4.META.5"),
    ("after", "[ $CNI_COMMAND = DEL ] && exit 0", "S4.META.6"),
    ("after", "[ $CNI_COMMAND = CHECK ] && exit 0", "S4.META.7"),
    ("after", "[ $CNI_COMMAND = GC ] && exit 0", "S4.META.8"),
    ("after", "[ $CNI_COMMAND = STATUS ] && exit 0", "S4.META.9"),
];

#[test]
fn each_defect_of_a_meta_plugin_is_caught() {
    for (place, defect, id) in DEFECTS {
        let suite = match place {
            "before" => suite(defect, "", None),
            _ => suite("", defect, None),
        };
        let run = judge(&suite, id);
        assert_eq!(run.status, Some(1), "{id}: {}{}", run.stdout, run.stderr);
        assert!(run.stdout.contains(&format!("{id}  mine in 1.1.0")), "{id}: {}", run.stdout);
    }
}

#[test]
fn a_failure_says_whose_it_is() {
    // The second DEL fails: in the delegate, or in the meta-plugin.
    let second = "if [ $CNI_COMMAND = DEL ]; then [ ! -e /run/deleted ] || \
        { echo '{\"cniVersion\": \"1.1.0\", \"code\": 100, \"msg\": \"gone\"}'; exit 1; }; touch /run/deleted; fi";
    let broken = format!("{second}\nexec REAL");
    for (suite, whose) in [
        (
            suite("", "", Some(&broken)),
            "  whose     ptp, the delegate of mine: it fails alone, too",
        ),
        (suite(second, "", None), "  whose     mine itself: alone, its delegate ptp passes"),
    ] {
        let run = judge(&suite, "S2.DEL.3");
        assert_eq!(run.status, Some(1), "{}{}", run.stdout, run.stderr);
        assert!(run.stdout.contains("S2.DEL.3  mine in 1.1.0"), "{}", run.stdout);
        assert!(run.stdout.contains(whose), "{whose:?} is missing: {}", run.stdout);
    }
}

#[test]
fn a_plain_add_that_fails_says_whose_it_is() {
    let no_add = "[ $CNI_COMMAND != ADD ] || \
        { echo '{\"cniVersion\": \"1.1.0\", \"code\": 100, \"msg\": \"no pair\"}'; exit 1; }\nexec REAL";
    let run = judge(&suite("", "", Some(no_add)), "S2.ADD");
    assert_eq!(run.status, Some(1), "{}{}", run.stdout, run.stderr);
    assert!(run.stdout.contains("TRIAL.ADD  mine in 1.1.0"), "{}", run.stdout);
    assert!(run.stdout.contains("ptp, the delegate of mine"), "{}", run.stdout);
}
