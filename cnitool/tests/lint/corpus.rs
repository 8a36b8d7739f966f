//! Every file and folder of `broken/` has one beside it, `.expected`, with all that is said about
//! it. With `UPDATE_EXPECTED=1` these are written.

use std::fs;

use crate::{Bed, copy, entries, folder, name};

/// The files and folders with mistakes, and what is said about each.
pub fn broken() -> Vec<(std::path::PathBuf, String)> {
    let all = entries(&folder().join("broken"));
    let cases = all.into_iter().filter(|path| path.extension().is_none_or(|end| end != "expected"));
    let with_expected = |path: std::path::PathBuf| {
        let expected = path.with_file_name(format!("{}.expected", name(&path)));
        let expected = fs::read_to_string(&expected).unwrap_or_default();
        (path, expected)
    };
    cases.map(with_expected).collect()
}

#[test]
fn every_mistake_is_found_where_it_is() {
    let cases = broken();
    assert!(cases.len() >= 100, "{} cases", cases.len());
    let mut wrong = Vec::new();
    for (path, expected) in cases {
        let (bed, case) = (Bed::new(), name(&path));
        copy(&path, &bed.path(&case));
        let run = bed.lint(&["--no-host", "--path", "plugins:reference", &case]);
        let all = format!("{}{}exit status {}\n", run.stdout, run.stderr, run.status.unwrap());
        if std::env::var_os("UPDATE_EXPECTED").is_some() {
            fs::write(folder().join(format!("broken/{case}.expected")), &all).unwrap();
            continue;
        }
        let changes = testbed::diff(&expected, &all);
        if !changes.is_empty() {
            wrong.push(format!("{case}:\n{changes}"));
        }
        assert!(all.contains("error") || all.contains("warning"), "{case} is said to be clean");
    }
    assert!(
        wrong.is_empty(),
        "with UPDATE_EXPECTED=1 this is what is expected\n{}",
        wrong.join("\n")
    );
}

#[test]
fn the_documentation_shows_the_real_output() {
    let page = folder().join("../../../docs/cnitool.md");
    let said = fs::read_to_string(folder().join("broken/net.d.expected")).unwrap();
    let (said, _) = said.rsplit_once("exit status").unwrap();
    assert!(fs::read_to_string(page).unwrap().contains(said), "docs/cnitool.md shows:\n{said}");
}
