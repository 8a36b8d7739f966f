//! Every command of every page works: a node is brought into the state that a section describes,
//! and the section's commands run.
//!
//! Blocks of the kinds `sh` and `console` are run. A block that cannot be run has a reason:
//! ```` ```sh shown: REASON ````.
#![cfg(test)]

mod cases;
mod page;
mod stage;

use std::fs;
use std::panic::resume_unwind;
use std::path::Path;
use std::process::Command;
use std::thread;

use cases::{Case, ELSEWHERE, NOTHING, PAGES, Page};
use page::{Block, Section, pages, root, sections};
use stage::Stage;

fn page(path: &str) -> &'static Page {
    PAGES.iter().find(|page| page.path == path).unwrap_or_else(|| panic!("{path}: no such page"))
}

/// Runs the sections of a page.
fn perform(page: &'static Page) {
    let sections: Vec<Section> = sections(page.path);
    let known = |case: &&Case| sections.iter().any(|it| it.heading == case.heading);
    let unknown = page.cases.iter().find(|case| !known(case));
    assert!(unknown.is_none(), "{}: no section {:?}", page.path, unknown.map(|it| it.heading));
    let groups = if page.is_apart { sections.chunks(1) } else { sections.chunks(usize::MAX) };
    for group in groups {
        // A node is a thread.
        thread::scope(|scope| {
            scope
                .spawn(|| perform_on_one_node(page, group))
                .join()
                .unwrap_or_else(|p| resume_unwind(p))
        });
    }
}

fn perform_on_one_node(page: &Page, sections: &[Section]) {
    let stage = Stage::new();
    stage.sh(page.before);
    for section in sections {
        eprintln!("{}: {:?}", page.path, section.heading);
        let case = page.cases.iter().find(|case| case.heading == section.heading);
        stage.perform(section, case.unwrap_or(&NOTHING));
    }
}

#[test]
fn every_page_with_commands_is_run() {
    let found: Vec<String> = pages()
        .into_iter()
        .filter(|page| sections(page).iter().any(Section::has_commands))
        .collect();
    let mut listed: Vec<&str> = PAGES.iter().map(|page| page.path).collect();
    listed.sort_unstable();
    assert_eq!(found, listed);
}

/// Blocks that cannot be run: at most ten, each with its reason.
#[test]
fn blocks_that_are_only_shown() {
    let mut shown = Vec::new();
    for page in pages() {
        for block in sections(&page).into_iter().flat_map(|section| section.blocks) {
            if let Block::Shown(reason) = block {
                shown.push(format!("{page}: {reason}"));
            }
        }
    }
    assert!(shown.len() <= 10, "{shown:#?}");
    let list = shown.join("\n");
    insta::assert_snapshot!(list);
}

#[test]
fn commands_that_are_run_elsewhere_are() {
    for page in pages() {
        for block in sections(&page).into_iter().flat_map(|section| section.blocks) {
            if let Block::Elsewhere(file) = block {
                let text = fs::read_to_string(root().join(&file)).unwrap();
                assert!(text.contains(&page), "{file} does not read {page}");
            }
        }
    }
    for (command, file) in ELSEWHERE {
        let text = fs::read_to_string(root().join(file)).unwrap();
        assert!(text.contains(command), "{file} does not run {command}");
    }
}

/// The anchor of a heading.
fn anchor(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || ['-', '_', ' '].contains(c);
    heading.to_lowercase().chars().filter(kept).collect::<String>().replace(' ', "-")
}

#[test]
fn anchors_of_links_are_headings() {
    let text = |page: &str| fs::read_to_string(root().join(page)).unwrap();
    for page in pages() {
        let folder = Path::new(&page).parent().unwrap();
        let (links, own) = (text(&page), page.clone());
        let links = links.split("](").skip(1).filter_map(|link| link.split(')').next());
        for (file, wanted) in links.filter_map(|link| link.split_once('#')) {
            if file.contains("://") || !(file.is_empty() || file.ends_with(".md")) {
                continue;
            }
            let file =
                if file.is_empty() { own.clone() } else { folder.join(file).display().to_string() };
            let headings = text(&file);
            let headings = headings.lines().filter_map(|line| line.strip_prefix('#'));
            let mut anchors = headings.map(|it| anchor(it.trim_start_matches('#').trim()));
            assert!(anchors.any(|it| it == wanted), "{page}: {file} has no heading for #{wanted}");
        }
    }
}

/// Commands within sentences, such as `cnitool gc NET`: verbs and options are those of `--help`.
#[test]
fn commands_in_sentences_exist() {
    let help = |program: &str, arguments: &[&str]| {
        let output = Command::new(testbed::binary(program)).args(arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let general = help("cnitool", &["--help"]);
    let mut seen = 0;
    for page in pages() {
        let text = fs::read_to_string(root().join(&page)).unwrap();
        // Without the blocks.
        let sentences: String = text.split("```").step_by(2).collect();
        for code in sentences.split('`').skip(1).step_by(2) {
            let mut words = code.split_whitespace();
            let (Some("cnitool"), Some(verb)) = (words.next(), words.next()) else { continue };
            if ["VERB", "--version"].contains(&verb) {
                continue;
            }
            assert!(general.contains(&format!(" {verb} ")), "{page}: `{code}`");
            let known = help("cnitool", &[verb, "--help"]);
            for option in words.filter(|word| word.starts_with("--")) {
                assert!(known.contains(option), "{page}: `{code}`");
            }
            seen += 1;
        }
    }
    assert!(seen > 100, "only {seen}");
}

/// A test for each page.
macro_rules! pages {
    ($($name:ident: $path:literal;)*) => {
        $(#[test]
        fn $name() {
            perform(page($path));
        })*

        #[test]
        fn every_page_has_a_test() {
            assert_eq!([$($path),*], PAGES.iter().map(|page| page.path).collect::<Vec<_>>()[..]);
        }
    };
}

pages! {
    contributing: "CONTRIBUTING.md";
    readme: "README.md";
    clients: "docs/clients.md";
    cnitool: "docs/cnitool.md";
    conformance: "docs/conformance.md";
    examples: "docs/examples/README.md";
    howto: "docs/howto.md";
    install: "docs/install.md";
    kubernetes: "docs/kubernetes.md";
    migrate: "docs/migrate.md";
    plan: "docs/plan.md";
    ipip: "docs/plugins/ipip.md";
    troubleshooting: "docs/troubleshooting.md";
    upgrade: "docs/upgrade.md";
}

#[test]
fn files_have_the_permissions_of_the_security_page() {
    let page = fs::read_to_string(root().join("docs/security.md")).unwrap();
    let stage = Stage::new();
    stage.sh("ip netns add a; cnitool add pods a");
    for (path, directory) in [
        ("/var/lib/cni/networks/pods", "0755"),
        ("/var/lib/cni/networks/.index", "0700"),
        ("/var/lib/cni/results", "0700"),
        ("/run/ferrocni", "0700"),
    ] {
        let found =
            stage.sh(&format!("set +x; stat -c %#a {path}; stat -c %#a {path}/* | sort -u"));
        let mut found = found.lines().skip_while(|line| line.starts_with('+'));
        assert_eq!(found.next(), Some(directory), "{path}");
        let named =
            path.replace("/pods", "/NETWORK").replace("/run/ferrocni", "/run/ferrocni/lock");
        let row = page.lines().find(|line| line.starts_with(&format!("| `{named}`"))).unwrap();
        assert!(row.contains(directory), "{row}");
        for file in found {
            assert!(row.contains(file), "{path}: {file}: {row}");
        }
    }
}
