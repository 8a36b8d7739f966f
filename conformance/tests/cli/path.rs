//! `CNI_PATH`: one directory, except for the requirements that are about lists.

use std::fs;
use std::os::unix::fs::symlink;

use crate::suite::Suite;

/// A ptp that takes `CNI_PATH` for one directory.
fn one_folder() -> String {
    let real = testbed::binary("ptp");
    format!(
        r#"case $CNI_PATH in *:*)
        echo '{{"cniVersion": "1.0.0", "code": 100, "msg": "no such directory: '"$CNI_PATH"'"}}'
        exit 1;;
    esac
    exec '{}'"#,
        real.display()
    )
}

#[test]
fn a_plugin_that_expects_one_directory_fails_only_what_is_about_lists() {
    let suite = Suite::new(&[("ptp", &one_folder())]);
    let ids = ["--only", "S2.ADD,S2.ENV,S4", "--spec", "1.1.0"];
    let run = |path: &[&str]| suite.run(&[&ids, path].concat());
    let other = tempfile::tempdir().unwrap();
    symlink(testbed::binary("host-local"), other.path().join("host-local")).unwrap();
    // With the IPAM plugin of the kit, and with one of another directory.
    for run in [run(&[]), run(&["--path", other.path().to_str().unwrap()])] {
        assert_eq!(run.status, Some(1), "{}{}", run.stdout, run.stderr);
        let failed = |line: &&str| line.starts_with("failed  ") || line.starts_with("advice  ");
        let ids = run.stdout.lines().filter(failed).filter_map(|line| line.split("  ").nth(1));
        let mut ids: Vec<&str> = ids.filter(|id| id.contains('.')).collect();
        ids.sort_unstable();
        assert_eq!(ids, ["S2.ENV.15", "S4.FIND.1"], "{}", run.stdout);
    }
}

/// Succeeds only if its IPAM plugin's program is next to its delegate in the one directory.
const BESIDE: &str = r#"case $CNI_COMMAND in
VERSION) echo '{"cniVersion": "1.1.0", "supportedVersions": ["1.1.0"]}';;
ADD) cat >/dev/null; for name in mine other kit-ipam; do
    [ -x "$CNI_PATH/$name" ] || { echo '{"code": 100, "msg": "no '$name'"}'; exit 1; }; done
    echo '{"cniVersion": "1.1.0", "interfaces": [{"name": "lo", "sandbox": "'"$CNI_NETNS"'"}]}';;
esac"#;

#[test]
fn the_directory_has_all_programs() {
    let suite = Suite::new(&[("mine", BESIDE)]);
    let other = Suite::new(&[("other", "")]);
    let config = suite.file("mine.json");
    fs::write(&config, r#"{"kind": "interface", "config": {"type": "mine", "ipam": "any"}}"#)
        .unwrap();
    let [config, path] = [config.as_path(), other.0.path()].map(|path| path.to_str().unwrap());
    let run = suite.run(&["--config", config, "--path", path, "--only", "S2.ADD.1"]);
    assert_eq!(run.status, Some(0), "{}{}", run.stdout, run.stderr);
}
