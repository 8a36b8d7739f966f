//! The man pages and completions that `scripts/manuals` makes from `--help`.
#![cfg(test)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// The commands with completions, and their verbs.
const COMMANDS: [(&str, &[&str]); 2] = [
    (
        "cnitool",
        &["add", "check", "del", "gc", "status", "plan", "repair", "ls", "lint", "version"],
    ),
    ("cni-conformance", &["run", "compare", "report", "list", "explain"]),
];

fn said(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert!(status.success(), "{command:?}: {}", String::from_utf8_lossy(&stderr));
    assert!(stderr.is_empty(), "{command:?}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

fn made() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/manuals");
    said(Command::new(script).arg(folder.path()).arg(testbed::bin()));
    folder
}

fn help(program: &str, verb: Option<&str>) -> String {
    said(Command::new(testbed::binary(program)).args(verb).arg("--help"))
}

/// The long options that a help explains.
fn options(help: &str) -> BTreeSet<String> {
    let terms = help.lines().filter_map(|line| {
        let term = line.trim_start();
        (line.starts_with(' ') && term.starts_with('-')).then(|| term.split("  ").next()).flatten()
    });
    let words = terms.flat_map(|term| term.split([' ', '=', '[', ',']));
    words.filter(|word| word.starts_with("--")).map(str::to_owned).collect()
}

/// Whether `text` has `option`, and not only one that begins so.
fn has(text: &str, option: &str) -> bool {
    let ends = |rest: &str| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '-');
    text.match_indices(option).any(|(at, _)| ends(&text[at + option.len()..]))
}

#[test]
fn every_option_is_in_the_page_and_in_the_completions() {
    let made = made();
    let read = |path: String| fs::read_to_string(made.path().join(path)).unwrap();
    for (program, verbs) in COMMANDS {
        let page = read(format!("man/man8/{program}.8")).replace("\\-", "-");
        let bash = read(format!("bash-completion/completions/{program}"));
        let zsh = read(format!("zsh/site-functions/_{program}"));
        let fish = read(format!("fish/vendor_completions.d/{program}.fish"));
        let helps = verbs.iter().map(|verb| help(program, Some(verb))).chain([help(program, None)]);
        let all: BTreeSet<String> = helps.flat_map(|help| options(&help)).collect();
        assert!(all.len() > 10, "{program}: {all:?}");
        for option in &all {
            for (what, text) in [("page", &page), ("bash", &bash), ("zsh", &zsh)] {
                assert!(has(text, option), "{program}: {option} is not in {what}:\n{text}");
            }
            let named = format!(" -l {} ", option.trim_start_matches('-'));
            assert!(fish.contains(&named), "{program}: {option} is not in fish:\n{fish}");
        }
        for verb in verbs {
            assert!(bash.contains(&format!("{verb} ")) || bash.contains(&format!("{verb}'")));
            assert!(zsh.contains(&format!("{verb}\\:\"")), "{verb}: {zsh}");
            assert!(fish.contains(&format!(" -a {verb} -d '")), "{verb}: {fish}");
            assert!(page.to_lowercase().contains(&format!("{verb}\"\n")), "{verb}: {page}");
        }
    }
}

#[test]
fn every_key_of_a_plugin_is_in_its_page() {
    let made = made();
    for file in fs::read_dir(testbed::bin()).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        if COMMANDS.iter().any(|(command, _)| *command == name) {
            continue;
        }
        let path = made.path().join(format!("man/man8/ferrocni-{name}.8"));
        let page = fs::read_to_string(path).unwrap().replace("\\-", "-");
        let help = help(&name, None);
        let keys = help.split("Keys of the configuration:\n").nth(1).unwrap_or_default();
        // Descriptions have no two spaces in them.
        let keys = keys.lines().filter_map(|line| line.trim_start().split_once("  "));
        for (key, _) in keys {
            assert!(page.contains(&format!("\n.B \"{key}\"\n")), "{name}: {key}\n{page}");
        }
        assert!(page.contains("--schema"), "{page}");
    }
}

#[test]
fn pages_are_correct_roff() {
    let made = made();
    let checks: [(&str, &[&str]); 2] =
        [("groff", &["-man", "-z", "-ww"]), ("mandoc", &["-T", "lint", "-W", "error"])];
    let runs = |(tool, _): &&(&str, &[&str])| Command::new(tool).arg("--version").output().is_ok();
    let Some((tool, arguments)) = checks.iter().find(runs) else {
        panic!("neither groff nor mandoc is here: apt-get install groff-base");
    };
    let mut pages = 0;
    for page in fs::read_dir(made.path().join("man/man8")).unwrap() {
        assert_eq!(said(Command::new(tool).args(*arguments).arg(page.unwrap().path())), "");
        pages += 1;
    }
    assert!(pages >= 8, "{pages}");
}

#[test]
fn bash_completes_verbs_options_and_files() {
    let made = made();
    let script = made.path().join("bash-completion/completions/cnitool");
    let completed = |words: &str| {
        let text = format!(
            "source {}; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _cnitool; \
             echo \"${{COMPREPLY[*]}}\"",
            script.display()
        );
        said(Command::new("bash").args(["-c", &text])).trim().to_owned()
    };
    assert_eq!(completed("cnitool re"), "repair");
    assert_eq!(completed("cnitool gc pods --dry"), "--dry-run");
    assert_eq!(completed("cnitool gc pods --valid-file v"), "");
    assert_eq!(completed("cnitool lint x"), "");
}
