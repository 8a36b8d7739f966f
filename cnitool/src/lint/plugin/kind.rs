//! Checks the type of a plugin and of its IPAM plugin.

use libcni::PluginType;

use crate::lint::binaries::Binaries;
use crate::lint::document::Node;
use crate::lint::known::{self, Role};
use crate::lint::network::beginning;
use crate::lint::problem::{At, Problem};
use crate::lint::suggest::{did_you_mean, nearest};

/// The required role of a type.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    Plugin,
    Addresses,
}

/// Checks that the type of a plugin's object or of `ipam` names an executable plugin.
pub fn check(node: &Node, wanted: Wanted, binaries: &Binaries, problems: &mut Vec<Problem>) {
    let Some(kind) = node.get("type") else {
        problems.extend(missing(node, wanted));
        return;
    };
    let Some(text) = kind.text() else { return };
    if text.is_empty() {
        problems.push(empty(&kind.at, wanted));
        return;
    }
    match PluginType::new(text) {
        Err(_) => problems.push(
            Problem::error("invalid-type", &kind.at, format!("{text:?} cannot be the name of a plugin"))
                .why("a plugin is a file in a folder of CNI_PATH; a path would run anything on the host (CVE-2021-20206)")
                .help("write the name of the file alone"),
        ),
        Ok(name) => {
            problems.extend(wrong_role(&kind.at, text, wanted));
            problems.extend(present(&kind.at, &name, wanted, binaries));
        }
    }
}

fn missing(node: &Node, wanted: Wanted) -> Option<Problem> {
    if wanted == Wanted::Addresses {
        let what = "ipam has no type, so no plugin allocates addresses";
        return (!node.members().is_empty()).then(|| {
            Problem::warning("no-ipam-type", &beginning(node), what)
                .why("plugins that can do without addresses ignore the whole object, the others refuse it")
                .help("add \"type\": \"host-local\", or what it is meant to be")
        });
    }
    let keys = node.members().iter().map(|member| member.key.as_str());
    let near = nearest("type", keys);
    let meant = node.members().iter().find(|member| Some(member.key.as_str()) == near);
    let problem = match meant {
        Some(member) => Problem::error("no-type", &member.key_at, "\"type\" is missing")
            .label("did you mean \"type\"?"),
        None => Problem::error("no-type", &beginning(node), "\"type\" is missing"),
    };
    Some(
        problem
            .why("it says which plugin is meant; the runtime refuses the file")
            .help("add \"type\": \"bridge\", or what it is meant to be"),
    )
}

fn empty(at: &At, wanted: Wanted) -> Problem {
    match wanted {
        Wanted::Plugin => Problem::error("no-type", at, "the type is empty")
            .why("it says which plugin is meant; the runtime refuses the file")
            .help("write the plugin's name: \"bridge\""),
        Wanted::Addresses => Problem::warning(
            "no-ipam-type",
            at,
            "the type is empty, so no plugin allocates addresses",
        )
        .why("plugins that can do without addresses ignore the whole object, the others refuse it")
        .help("write the plugin's name, \"host-local\", or take \"ipam\" out"),
    }
}

/// Reports a well-known plugin in the wrong role.
fn wrong_role(at: &At, name: &str, wanted: Wanted) -> Option<Problem> {
    let role = known::role(name)?;
    let problem = |what: String| Problem::error("wrong-role", at, what);
    match wanted {
        Wanted::Plugin if role == Role::Addresses => Some(
            problem(format!("{name} hands out addresses, and makes no interface"))
                .why("in the list itself it gives the container nothing to use them on")
                .help(format!(
                    "put it into the \"ipam\" of a plugin: \"ipam\": {{ \"type\": \"{name}\" }}"
                )),
        ),
        Wanted::Addresses if role != Role::Addresses => Some(
            problem(format!("{name} does not hand out addresses"))
                .why("the plugin asks it for addresses and cannot use its answer")
                .help("address management plugins are host-local, static and dhcp"),
        ),
        _ => None,
    }
}

/// Checks that the plugin exists and can be run.
fn present(at: &At, name: &PluginType, wanted: Wanted, binaries: &Binaries) -> Option<Problem> {
    let refused = match wanted {
        Wanted::Plugin => "every ADD fails until it is there",
        Wanted::Addresses => {
            "the plugin asks it for addresses, so every ADD fails until it is there"
        }
    };
    if !binaries.searched {
        let meant = nearest(name, known::names()).filter(|_| known::role(name).is_none())?;
        let what = format!("there is no well-known plugin {:?}", name.as_str());
        return Some(
            Problem::warning("unknown-plugin", at, what)
                .label(did_you_mean(Some(meant)))
                .why("whether it is on the host was not checked")
                .help("--path DIRS says where the plugins are"),
        );
    }
    let binary = binaries.get(name);
    match (&binary.file, &binary.obstacle) {
        (None, _) => {
            let names = binaries.names();
            let meant = nearest(
                name,
                names.iter().map(String::as_str).chain(known::names().map(|name: &str| name)),
            );
            let meant = meant.filter(|meant| *meant != name.as_str());
            let what = format!("there is no plugin {:?}", name.as_str());
            Some(Problem::error("no-such-plugin", at, what)
                .label(did_you_mean(meant))
                .why(format!("{refused}; it was looked for in {}", binaries.described()))
                .help(match meant {
                    Some(meant) => format!("write {meant:?}, or install {}", name.as_str()),
                    None => "install it in one of these folders, or name its folder with CNI_PATH or --path".to_owned(),
                }))
        }
        (Some(file), Some(obstacle)) => Some(
            Problem::error(
                "plugin-cannot-run",
                at,
                format!("the plugin {} cannot be run", name.as_str()),
            )
            .why(format!("{}: {obstacle}", file.display()))
            .help(if obstacle.contains("executable") {
                format!("chmod 755 {}", file.display())
            } else {
                "install it again".to_owned()
            }),
        ),
        (Some(file), None) => binary.silence.as_ref().map(|silence| {
            Problem::error(
                "plugin-cannot-run",
                at,
                format!("the plugin {} does not say which versions it speaks", name.as_str()),
            )
            .why(format!("{}: {silence}", file.display()))
            .help("is it a CNI plugin, for this kind of machine?")
        }),
    }
}
