//! The requirements themselves as text: the list, and what is to be known of one.

use std::fmt::Write;

use crate::profile::Profile;
use crate::requirement::{Of, Requirement, Versions};
use crate::requirements::{self, CHAPTERS};

/// The list for a terminal.
pub fn list() -> String {
    let width = requirements::all().map(|requirement| requirement.id.len()).max().unwrap_or(0);
    let mut text = String::new();
    for chapter in CHAPTERS.iter().filter(|chapter| !chapter.requirements.is_empty()) {
        let _ = writeln!(text, "{}", chapter.title);
        for Requirement { id, says, level, source, .. } in chapter.requirements {
            let _ = writeln!(text, "  {id:<width$}  {:<8}  {says}  ({source})", level.name());
        }
        text.push('\n');
    }
    let _ =
        writeln!(text, "{} requirements; cni-conformance explain ID", requirements::all().count());
    text
}

/// The list as a part of a page, in Markdown.
pub fn markdown() -> String {
    let mut text = String::new();
    for chapter in CHAPTERS.iter().filter(|chapter| !chapter.requirements.is_empty()) {
        let _ = writeln!(text, "## {}\n\n| id | level | what is asked | source |", chapter.title);
        text.push_str("|---|---|---|---|\n");
        for Requirement { id, says, level, source, .. } in chapter.requirements {
            let (says, source) = (cell(says), cell(source));
            let _ = writeln!(text, "| `{id}` | {} | {says} | {source} |", level.name());
        }
        text.push('\n');
    }
    text
}

/// Text that may stand in a cell of Markdown.
fn cell(text: &str) -> String {
    // What stands between backquotes is taken as it is.
    let escape = |(index, part): (usize, &str)| match index % 2 {
        0 => part.replace('<', "&lt;").replace('*', "\\*").replace('|', "\\|"),
        _ => part.replace('|', "\\|"),
    };
    text.split('`').enumerate().map(escape).collect::<Vec<_>>().join("`")
}

/// What is to be known of a requirement.
pub fn explain(requirement: &Requirement) -> String {
    let Requirement { id, says, source, level, .. } = requirement;
    let plugins = match requirement.of {
        Of::All => "all".to_owned(),
        _ => {
            let known = Profile::all().filter_map(|name| Some((name, Profile::known(name)?)));
            let those = known.filter(|(_, profile)| requirement.is_for(profile).is_ok());
            let those: Vec<&str> = those.map(|(name, _)| name).collect();
            match those.as_slice() {
                [] => format!("those that {}; none that the kit knows", requirement.of.those()),
                names => format!("those that {}: {}", requirement.of.those(), names.join(", ")),
            }
        }
    };
    let versions = match requirement.versions {
        Versions::Each => "each that the plugin speaks".to_owned(),
        Versions::From(first) => format!("each that the plugin speaks, from {first} on"),
        Versions::Newest => "the newest that the plugin speaks".to_owned(),
    };
    format!(
        "{id}: {says}\n\n\
         chapter   {}\n\
         source    {source}\n\
         level     {}\n\
         plugins   {plugins}\n\
         versions  {versions}\n\n\
         It is tested on a host of its own: new network, mount and process namespaces, which are\n\
         gone with everything in them when the test ends. The plugin is called as a runtime calls\n\
         it: its configuration is on standard input, and its environment holds the variables of\n\
         the call and PATH, nothing else. This tests it alone, and shows every call of a failure:\n\n    \
         cni-conformance run --bin-dir DIR --only {id} --verbose\n",
        requirements::chapter_of(id),
        level.meaning(),
    )
}
