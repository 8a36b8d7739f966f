//! Every list of plugins matches the table in `plugins/src/lib.rs`.
#![cfg(test)]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

fn names() -> BTreeSet<String> {
    let plugins = ferrocni::PLUGINS.iter().map(|plugin| plugin.manual.name);
    plugins.map(str::to_owned).collect()
}

fn stems(folder: &str, ending: &str) -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name());
    let stem = |name: &str| name.strip_suffix(ending).map(str::to_owned);
    files.filter_map(|name| stem(name.to_str().unwrap())).collect()
}

#[test]
fn each_has_a_program_a_schema_and_a_page() {
    assert_eq!(stems("src/bin", ".rs"), names());
    assert_eq!(stems("src", ".schema.json"), names());
    let mut with_addresses = names();
    with_addresses.extend(ipam::PLUGINS.iter().map(|manual| manual.name.to_owned()));
    assert_eq!(stems("../docs/plugins", ".md"), with_addresses);
}

/// The output of the built programs when they are run without a command.
#[test]
fn the_built_programs_are_these() {
    for plugin in ferrocni::PLUGINS {
        let name = plugin.manual.name;
        let built = Command::new(testbed::binary(name)).env_remove("CNI_COMMAND").output().unwrap();
        let about = String::from_utf8(built.stderr).unwrap();
        assert!(about.starts_with(&format!("CNI {name} plugin ")), "{about}");
        let second = about.lines().nth(1).unwrap();
        assert!(second.ends_with(&format!(": {}", plugin.manual.summary)), "{about}");
    }
}

/// `examples/all.rs` acts as every plugin, selected by its program name.
#[test]
fn one_program_can_be_all_of_them() {
    let test = std::env::current_exe().unwrap();
    let program = test.parent().and_then(Path::parent).unwrap().join("examples/all");
    assert!(program.exists(), "run cargo build -p plugins --examples first");
    let run = |name: &str| {
        let mut command = Command::new(&program);
        command.arg0(name).env_remove("CNI_COMMAND").output().unwrap()
    };
    for name in names() {
        let about = String::from_utf8(run(&format!("/opt/cni/bin/{name}")).stderr).unwrap();
        assert!(about.starts_with(&format!("CNI {name} plugin ")), "{about}");
    }
    assert!(!run("other").status.success());
}
