//! The page of requirements in the documentation matches the kit. `UPDATE_DOCS=1` writes the page.
#![cfg(test)]

use std::fs;
use std::path::Path;

use conformance::profile::Profile;
use conformance::report;
use conformance::requirements::ALL;

const HEAD: &str = "# Requirements

The requirements that [cni-conformance](conformance.md) tests CNI plugins for. A test generates this page from the kit. The
[levels](conformance.md#cni-conformance) are explained there. A plugin that supports only versions of the specification before `since` is
not tested for the requirement. `cni-conformance explain ID` shows the plugins and versions that a requirement applies to.

";

fn page(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs").join(name)
}

#[test]
fn the_list_of_requirements_is_true() {
    let path = page("requirements.md");
    let made = format!("{HEAD}{}\n", report::markdown(ALL).trim_end());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &made).unwrap();
    }
    let text = fs::read_to_string(&path).unwrap_or_default();
    let changes = testbed::diff(&text, &made);
    assert!(changes.is_empty(), "requirements.md: run this test with UPDATE_DOCS=1\n{changes}");
}

#[test]
fn the_examples_of_profiles_are_profiles() {
    let text = fs::read_to_string(page("conformance.md")).unwrap();
    let examples: Vec<&str> =
        text.split("```json\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(examples.len(), 2);
    for example in examples {
        let parsed = Profile::parse(example);
        assert!(parsed.is_ok_and(|(plugin, _)| plugin == "mine"), "{example}");
    }
}
