//! The edition: IDs never disappear, and never change their level or meaning without notice.
//! `UPDATE_DOCS=1` adds new requirements, and the new words of those in the changelog.
#![cfg(test)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use conformance::edition::{NAME, frozen};
use conformance::requirement::Level;
use conformance::requirements::ALL;
use conformance::source;

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// The IDs in the changelog, with their changes.
fn changed() -> BTreeMap<String, String> {
    let text = fs::read_to_string(file("CHANGELOG.md")).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    rows.map(|(id, what)| (id.to_owned(), what.to_owned())).collect()
}

#[test]
fn requirements_of_the_edition_stay() {
    let changed = changed();
    let now: BTreeMap<&str, _> =
        ALL.all().map(|requirement| (requirement.id, requirement)).collect();
    let update = std::env::var_os("UPDATE_DOCS").is_some();
    let mut wrong = Vec::new();
    for old in frozen() {
        let what = changed.get(old.id).map(String::as_str);
        match now.get(old.id) {
            None if what.is_some_and(|what| what.starts_with("withdrawn")) => {}
            None => wrong.push(format!("{}: its ID has disappeared", old.id)),
            Some(new) if new.level.name() != old.level && what.is_none() => {
                wrong.push(format!("{}: its level was {}", old.id, old.level));
            }
            Some(new) if new.statement != old.statement && (what.is_none() || !update) => {
                wrong.push(format!("{}: it was {:?}", old.id, old.statement));
            }
            Some(_) => {}
        }
    }
    if update && wrong.is_empty() {
        let withdrawn = frozen().filter(|old| !now.contains_key(old.id));
        let lines =
            withdrawn.map(|old| format!("{}\t{}\t{}\n", old.id, old.level, old.statement)).chain(
                ALL.all()
                    .map(|new| format!("{}\t{}\t{}\n", new.id, new.level.name(), new.statement)),
            );
        let text: String = lines.collect();
        fs::write(file(&format!("editions/{NAME}.tsv")), text).unwrap();
        return;
    }
    assert!(
        wrong.is_empty(),
        "list changed IDs in conformance/CHANGELOG.md, then run this test with UPDATE_DOCS=1\n{}",
        wrong.join("\n")
    );
}

/// How binding a word of the specification is.
fn binding(word: &str) -> Level {
    match word {
        "MUST" => Level::Must,
        "SHOULD" => Level::Should,
        _ => Level::Expected,
    }
}

#[test]
fn no_requirement_is_harsher_than_the_specification() {
    let mut wrong = Vec::new();
    for requirement in ALL.all() {
        let (id, level) = (requirement.id, requirement.level);
        let names_it =
            requirement.source.contains("CNI 1.") || requirement.source.contains("CNI 0.");
        match source::of(id) {
            None if names_it => wrong.push(format!("{id}: no sentence of the specification")),
            None if level != Level::Expected => {
                wrong.push(format!("{id}: level {} without a sentence", level.name()));
            }
            // `Must` is the least value.
            Some(source) if level < binding(source.word) && source.follows.is_empty() => {
                wrong.push(format!("{id}: {} of {}, and why?", level.name(), source.word));
            }
            _ => {}
        }
    }
    for source in source::all() {
        if ALL.find(source.id).is_none() {
            wrong.push(format!("{}: a sentence without a requirement", source.id));
        }
    }
    assert!(wrong.is_empty(), "see conformance/editions/sources.tsv\n{}", wrong.join("\n"));
}

#[test]
fn each_requirement_has_one_sentence() {
    let mut ids: Vec<&str> = source::all().map(|source| source.id).collect();
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), all);
}
