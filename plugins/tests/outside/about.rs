//! The output of a plugin without a command, which clients parse.

use std::process::Command;

use testbed::bin;

/// The standard error of a plugin that is run without a command; standard output is empty.
fn bare(plugin: &str) -> String {
    let output = Command::new(bin().join(plugin)).env_clear().output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// The first semantic version in a text, which Nomad reads as the plugin's version.
fn first_version(text: &str) -> Option<[u32; 3]> {
    let is_part = |c: char| c.is_ascii_digit() || c == '.';
    text.split(|c| !is_part(c)).find_map(|word| {
        let numbers: Vec<u32> = word.split('.').map(str::parse).collect::<Result<_, _>>().ok()?;
        numbers.try_into().ok()
    })
}

#[test]
fn the_first_line_names_the_release_of_the_reference() {
    for plugin in ["bridge", "ptp", "macvlan", "loopback", "host-local"] {
        let text = bare(plugin);
        let mut lines = text.lines();
        // nerdctl looks for exactly this line.
        assert_eq!(lines.next(), Some(format!("CNI {plugin} plugin v1.9.1").as_str()), "{text}");
        let own = format!("ferrocni {}: ", env!("CARGO_PKG_VERSION"));
        assert!(lines.next().unwrap().starts_with(&own), "{text}");
        // Nomad requests CHECK from plugin version 1.3.0 on.
        assert!(first_version(&text).unwrap() >= [1, 3, 0], "{text}");
    }
}

#[test]
fn a_plugin_of_ours_alone_has_the_suites_version() {
    let text = bare("ipip");
    let first = format!("CNI ipip plugin v{}", env!("CARGO_PKG_VERSION"));
    assert_eq!(text.lines().next(), Some(first.as_str()), "{text}");
}
