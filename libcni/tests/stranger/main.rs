//! A crate of another workspace uses this one by its public items only, and its programs run.
#![cfg(test)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const MANIFEST: &str = r#"
[package]
name = "stranger"
version = "3.2.1"
edition = "2024"
publish = false

[dependencies]
libcni = { path = "LIBCNI", features = ["runtime"] }
serde = { version = "1", features = ["derive"] }

[workspace]

[profile.dev]
debug = false
"#;

/// The folder of the built programs.
fn built() -> PathBuf {
    let ours = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("stranger");
    let write = |name: &str, text: &str| {
        let file = folder.join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    };
    write("Cargo.toml", &MANIFEST.replace("LIBCNI", ours.to_str().unwrap()));
    write("src/bin/stranger.rs", include_str!("plugin.rs"));
    write("src/bin/runtime.rs", include_str!("runtime.rs"));
    // The same versions of everything, so that nothing has to be downloaded.
    std::fs::copy(ours.join("../Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    let target = folder.join("target");
    let output = Command::new(env!("CARGO"))
        .args(["build", "--offline", "--quiet"])
        .current_dir(&folder)
        .env("CARGO_TARGET_DIR", &target)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    target.join("debug")
}

fn run(command: &mut Command) -> (bool, String) {
    let Output { status, stdout, stderr } = command.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8([stdout, stderr].concat()).unwrap();
    (status.success(), said)
}

#[test]
fn a_plugin_and_a_runtime_of_another_workspace_work() {
    let programs = built();
    let plugin = programs.join("stranger");
    for option in ["--version", "--help", "--schema"] {
        let (done, said) = run(Command::new(&plugin).arg(option));
        assert!(done && !said.to_lowercase().contains("ferrocni"), "{option}: {said}");
    }
    let (_, said) = run(Command::new(&plugin).arg("--version"));
    assert!(said.starts_with("stranger 3.2.1, CNI 0.1.0"), "{said}");
    let (_, said) = run(&mut Command::new(&plugin));
    assert!(said.starts_with("CNI stranger plugin v3.2.1\n"), "{said}");

    // The second plugin of the network fails, and the runtime undoes what the first one did.
    let cache = tempfile::tempdir().unwrap();
    let runtime = || {
        let mut runtime = Command::new(programs.join("runtime"));
        runtime.arg(&programs).arg(cache.path());
        runtime
    };
    let (done, said) = run(runtime().arg("fail"));
    assert!(!done && said.contains("101: plugin type=\"stranger\" failed (add): a is"), "{said}");
    assert!(said.contains("twice: no key twice") && said.contains("undone: true"), "{said}");
    let (done, said) = run(runtime().arg("work"));
    assert!(done, "{said}");
    assert_eq!(said, "10.1.2.3/24\nplan: not known\ndeleted\n");
}
