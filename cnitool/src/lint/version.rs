//! Checks the network's version of the specification, and the versions that its plugins support.

use libcni::{SUPPORTED, Version};

use crate::lint::binaries::Binaries;
use crate::lint::document::Node;
use crate::lint::network::{Network, beginning};
use crate::lint::problem::{At, Problem};
use crate::lint::suggest::{did_you_mean, nearest};

/// Checks a network's version.
pub fn check(network: &Network<'_>, binaries: &Binaries, problems: &mut Vec<Problem>) {
    let before = problems.len();
    let single = network.member("cniVersion").map(|member| &member.node);
    let listed = network.root.exact("cniVersions").filter(|_| network.is_list);
    let listed = listed.map(|it| it.node.items()).unwrap_or_default();
    match single {
        None if listed.is_empty() => {
            problems.push(missing(&beginning(network.root), network, binaries))
        }
        Some(node) if node.text() == Some("") && listed.is_empty() => {
            problems.push(missing(&node.at, network, binaries));
        }
        Some(node) => problems.extend(name(node, listed.is_empty(), network, binaries)),
        None => {}
    }
    for node in listed {
        problems.extend(listed_name(node));
    }
    // Each plugin would repeat the finding about an unknown version.
    if problems.iter().skip(before).all(|problem| problem.rule != "unknown-version") {
        spoken(network, binaries, problems);
    }
    overwritten(network, problems);
}

fn missing(at: &At, network: &Network<'_>, binaries: &Binaries) -> Problem {
    Problem::warning("no-version", at, "\"cniVersion\" is missing, which means 0.1.0")
        .why(
            "version 0.1.0 has no CHECK, GC and STATUS, and its results have no interfaces and \
             only one address of each family",
        )
        .help(format!("add \"cniVersion\": \"{}\"", best(network, binaries)))
}

/// Checks that a version exists. Plugins compare versions as text, so 1.1 is not 1.1.0.
fn name(
    node: &Node,
    is_alone: bool,
    network: &Network<'_>,
    binaries: &Binaries,
) -> Option<Problem> {
    let text = node.text()?;
    if text.is_empty() || is_known(text) {
        return None;
    }
    let problem = match Version::parse(text) {
        Err(_) => Problem::error("unknown-version", &node.at, format!("{text:?} is not a version")),
        // The list of versions has others to choose from.
        Ok(version) if version > Version::CURRENT && !is_alone => return None,
        Ok(version) if version > Version::CURRENT && all_speak(text, network, binaries) => {
            return None;
        }
        Ok(_) => Problem::error(
            "unknown-version",
            &node.at,
            format!("there is no version {text} of CNI"),
        ),
    };
    let known: Vec<String> = SUPPORTED.iter().map(Version::to_string).collect();
    let bare = text.trim_start_matches(['v', 'V']);
    let meant =
        known.iter().find(|known| known.strip_suffix(".0") == Some(bare)).map(String::as_str);
    let is_newer = Version::parse(text).is_ok_and(|version| version > Version::CURRENT);
    let near = || nearest(bare, known.iter().map(String::as_str)).filter(|_| !is_newer);
    let meant = meant.or_else(near);
    Some(
        problem
            .label(did_you_mean(meant))
            .why(
                "plugins compare it as text with the versions that they support, and refuse any \
                 other",
            )
            .help(format!(
                "write \"{}\"",
                meant.map_or_else(|| best(network, binaries), str::to_owned)
            )),
    )
}

fn listed_name(node: &Node) -> Option<Problem> {
    let text = node.text()?;
    match Version::parse(text) {
        Err(_) => Some(
            Problem::error("unknown-version", &node.at, format!("{text:?} is not a version"))
                .why("libcni refuses the whole list")
                .help("write versions as 1.1.0"),
        ),
        Ok(version) if version <= Version::CURRENT && !is_known(text) => Some(
            Problem::error(
                "unknown-version",
                &node.at,
                format!("there is no version {text} of CNI"),
            )
            .why(
                "plugins compare it as text with the versions that they support, and refuse any \
                 other",
            )
            .help("remove it, or write an existing version such as 1.1.0"),
        ),
        Ok(_) => None,
    }
}

fn is_known(text: &str) -> bool {
    SUPPORTED.iter().any(|known| known.to_string() == text)
}

/// Reports plugins that do not support the network's version.
fn spoken(network: &Network<'_>, binaries: &Binaries, problems: &mut Vec<Problem>) {
    let (version, at) = &network.version;
    let mut seen = Vec::new();
    for kind in network.plugins.iter().flat_map(|plugin| plugin.kind.iter().chain(&plugin.ipam)) {
        if seen.contains(&kind) {
            continue;
        }
        seen.push(kind);
        let binary = binaries.get(kind);
        let (Some(speaks), Some(file)) = (&binary.speaks, &binary.file) else { continue };
        if speaks.contains(version) {
            continue;
        }
        problems.push(
            Problem::error("version", at, format!("{kind} does not support version {version}"))
                .why(format!(
                    "{} supports {}, and refuses the configuration",
                    file.display(),
                    speaks.join(", ")
                ))
                .help(match common(network, binaries) {
                    Some(best) => format!("all plugins of this network support {best}"),
                    None => "no version is supported by all plugins of this network: update the \
                             oldest plugin"
                        .to_owned(),
                }),
        );
    }
}

fn all_speak(version: &str, network: &Network<'_>, binaries: &Binaries) -> bool {
    let kinds = network.plugins.iter().flat_map(|plugin| plugin.kind.iter().chain(&plugin.ipam));
    let speaks = |binary: &crate::lint::binaries::Binary| {
        binary.speaks.as_ref().is_some_and(|speaks| speaks.iter().any(|it| it == version))
    };
    kinds.map(|kind| binaries.get(kind)).all(|binary| speaks(&binary))
}

/// The newest version that all plugins support, as far as known.
fn common(network: &Network<'_>, binaries: &Binaries) -> Option<String> {
    let is_spoken = |version: &String| {
        let mut kinds =
            network.plugins.iter().flat_map(|plugin| plugin.kind.iter().chain(&plugin.ipam));
        kinds.all(|kind| {
            binaries.get(kind).speaks.as_ref().is_none_or(|speaks| speaks.contains(version))
        })
    };
    SUPPORTED.iter().rev().map(Version::to_string).find(is_spoken)
}

fn best(network: &Network<'_>, binaries: &Binaries) -> String {
    common(network, binaries).unwrap_or_else(|| Version::CURRENT.to_string())
}

/// Reports keys of a plugin that the runtime replaces by the keys of the list.
fn overwritten(network: &Network<'_>, problems: &mut Vec<Problem>) {
    let whole = [("cniVersion", network.version.0.as_str()), ("name", network.name())];
    for plugin in network.plugins.iter().filter(|plugin| !std::ptr::eq(plugin.node, network.root)) {
        for (key, of_list) in whole {
            let Some(member) = plugin.node.member(key) else { continue };
            if member.node.text().is_none_or(|text| text == of_list) {
                continue;
            }
            problems.push(
                Problem::warning(
                    "overwritten",
                    &member.node.at,
                    format!("this is not the list's {key} and has no effect"),
                )
                .why(format!("the runtime replaces it by the list's, {of_list:?}"))
                .help("remove it from the plugin's object"),
            );
        }
    }
}
