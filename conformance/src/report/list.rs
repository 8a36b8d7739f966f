//! The requirements as text: the list, and the explanation of one.

use std::fmt::Write;

use crate::profile::Profile;
use crate::registry::Registry;
use crate::requirement::{AppliesTo, Requirement, Versions};
use crate::source;

/// The list for the terminal.
pub fn list(registry: Registry) -> String {
    let width = registry.all().map(|requirement| requirement.id.len()).max().unwrap_or(0);
    let mut text = String::new();
    for chapter in registry.chapters.iter().filter(|chapter| !chapter.requirements.is_empty()) {
        let _ = writeln!(text, "{}", chapter.title);
        for Requirement { id, statement, level, source, .. } in chapter.requirements {
            let _ = writeln!(text, "  {id:<width$}  {:<8}  {statement}  ({source})", level.name());
        }
        text.push('\n');
    }
    let _ = writeln!(text, "{} requirements; cni-conformance explain ID", registry.all().count());
    text
}

/// The list in Markdown, for a page.
pub fn markdown(registry: Registry) -> String {
    let mut text = String::new();
    for chapter in registry.chapters.iter().filter(|chapter| !chapter.requirements.is_empty()) {
        let _ =
            writeln!(text, "## {}\n\n| id | level | requirement | since | source |", chapter.title);
        text.push_str("|---|---|---|---|---|\n");
        for requirement in chapter.requirements {
            let Requirement { id, level, .. } = requirement;
            let (statement, source) = (cell(requirement.statement), source_cell(requirement));
            let (level, since) = (level.name(), requirement.since());
            let _ = writeln!(text, "| `{id}` | {level} | {statement} | {since} | {source} |");
        }
        text.push('\n');
    }
    text
}

/// The source, with a link to the sentence of the specification.
fn source_cell(requirement: &Requirement) -> String {
    let text = cell(requirement.source);
    let Some(source) = source::of(requirement.id) else { return text };
    let follows = match source.follows {
        "" => String::new(),
        why => format!("; {}", cell(why)),
    };
    format!("[{text}]({}): \u{201c}{}\u{201d}{follows}", source.link(), cell(source.quote))
}

/// The lines of `explain` about the sentence of the specification.
fn sentence(requirement: &Requirement) -> String {
    let Some(source) = source::of(requirement.id) else { return String::new() };
    let mut text = format!(
        "text      \"{}\" ({})\n          {}\n",
        source.quote,
        source.binding(),
        source.link()
    );
    if !source.follows.is_empty() {
        let _ = writeln!(text, "follows   {}", source.follows);
    }
    text
}

/// Escapes text for a table cell in Markdown.
fn cell(text: &str) -> String {
    // Text in backquotes is literal.
    let escape = |(index, part): (usize, &str)| match index % 2 {
        0 => part.replace('<', "&lt;").replace('*', "\\*").replace('|', "\\|"),
        _ => part.replace('|', "\\|"),
    };
    text.split('`').enumerate().map(escape).collect::<Vec<_>>().join("`")
}

/// Explains a requirement.
pub fn explain(requirement: &Requirement, registry: Registry) -> String {
    let Requirement { id, statement, source, level, .. } = requirement;
    let plugins = match requirement.applies_to {
        AppliesTo::All => "all".to_owned(),
        _ => {
            let known = Profile::all().filter_map(|name| Some((name, Profile::known(name)?)));
            let names = known.filter(|(_, profile)| requirement.is_for(profile).is_ok());
            let names: Vec<&str> = names.map(|(name, _)| name).collect();
            match names.as_slice() {
                [] => format!(
                    "plugins that {}; the kit has no profile of such a plugin",
                    requirement.applies_to.description()
                ),
                names => format!(
                    "plugins that {}: {}",
                    requirement.applies_to.description(),
                    names.join(", ")
                ),
            }
        }
    };
    let versions = match requirement.versions {
        Versions::Each => "each that the plugin supports".to_owned(),
        Versions::From(first) => format!("{first} and later, if the plugin supports them"),
        Versions::Newest => "the newest that the plugin supports".to_owned(),
        Versions::NewestFrom(first) => {
            format!("the newest that the plugin supports, if it is {first} or later")
        }
    };
    format!(
        "{id}: {statement}\n\n\
         chapter   {}\n\
         source    {source}\n\
         {}\
         level     {}\n\
         since     {}\n\
         plugins   {plugins}\n\
         versions  {versions}\n\n\
         The test runs on a host of its own: new network, mount and process namespaces, which the\n\
         kernel removes when the test ends. The kit calls the plugin as a runtime does: with the\n\
         configuration on standard input, and only the CNI variables and PATH in the environment.\n\
         This command runs the test alone and shows all calls of a failure:\n\n    \
         cni-conformance run --bin-dir DIR --only {id} --verbose\n",
        registry.chapter_of(id),
        sentence(requirement),
        level.meaning(),
        requirement.since(),
    )
}
