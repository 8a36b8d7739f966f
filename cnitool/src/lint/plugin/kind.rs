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
            Problem::error(
                "invalid-type",
                &kind.at,
                format!("{text:?} cannot be the name of a plugin"),
            )
            .why(
                "a plugin is a file in a folder of CNI_PATH; a path could run any program on the \
                 host (CVE-2021-20206)",
            )
            .help("write only the name of the file"),
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
                .why(
                    "plugins that do not need addresses ignore the whole object, the others refuse \
                     it",
                )
                .help("add \"type\": \"host-local\" or another IPAM plugin")
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
            .why("it names the plugin, and the runtime refuses the file without it")
            .help("add \"type\": \"bridge\" or another plugin"),
    )
}

fn empty(at: &At, wanted: Wanted) -> Problem {
    match wanted {
        Wanted::Plugin => Problem::error("no-type", at, "the type is empty")
            .why("it names the plugin, and the runtime refuses the file without it")
            .help("write the plugin's name: \"bridge\""),
        Wanted::Addresses => Problem::warning(
            "no-ipam-type",
            at,
            "the type is empty, so no plugin allocates addresses",
        )
        .why("plugins that do not need addresses ignore the whole object, the others refuse it")
        .help("write the plugin's name, \"host-local\", or remove \"ipam\""),
    }
}

/// Reports a well-known plugin in the wrong role.
fn wrong_role(at: &At, name: &str, wanted: Wanted) -> Option<Problem> {
    let role = known::role(name)?;
    let problem = |what: String| Problem::error("wrong-role", at, what);
    match wanted {
        Wanted::Plugin if role == Role::Addresses => Some(
            problem(format!("{name} assigns addresses and creates no interface"))
                .why("in the list, it has no interface for the addresses")
                .help(format!(
                    "move it into the \"ipam\" of a plugin: \"ipam\": {{ \"type\": \"{name}\" }}"
                )),
        ),
        Wanted::Addresses if role != Role::Addresses => Some(
            problem(format!("{name} does not assign addresses"))
                .why("the plugin requests addresses from it, and cannot use its answer")
                .help("IPAM plugins are host-local, static and dhcp"),
        ),
        _ => None,
    }
}

/// Checks that the plugin exists and can be run.
fn present(at: &At, name: &PluginType, wanted: Wanted, binaries: &Binaries) -> Option<Problem> {
    let refused = match wanted {
        Wanted::Plugin => "every ADD fails until it is installed",
        Wanted::Addresses => {
            "the plugin requests addresses from it, so every ADD fails until it is installed"
        }
    };
    if !binaries.searched {
        let meant = nearest(name, known::names()).filter(|_| known::role(name).is_none())?;
        let what = format!("there is no well-known plugin {:?}", name.as_str());
        return Some(
            Problem::warning("unknown-plugin", at, what)
                .label(did_you_mean(Some(meant)))
                .why("this host was not searched for it")
                .help("use --path DIRS to name the folders of plugins"),
        );
    }
    let binary = binaries.get(name);
    match (&binary.file, &binary.obstacle) {
        (None, _) => Some(not_installed(at, name, refused, binaries)),
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
                format!("the plugin {} does not report its versions", name.as_str()),
            )
            .why(format!("{}: {silence}", file.display()))
            .help("is it a CNI plugin for this architecture?")
        }),
    }
}

fn not_installed(at: &At, name: &PluginType, refused: &str, binaries: &Binaries) -> Problem {
    let names = binaries.names();
    let known = names.iter().map(String::as_str).chain(known::names().map(|name: &str| name));
    let meant = nearest(name, known).filter(|meant| *meant != name.as_str());
    let what = format!("there is no plugin {:?}", name.as_str());
    let help = match meant {
        Some(meant) => format!("write {meant:?}, or install {}", name.as_str()),
        None => "install it in one of these folders, or name its folder with CNI_PATH or --path"
            .to_owned(),
    };
    Problem::error("no-such-plugin", at, what)
        .label(did_you_mean(meant))
        .why(format!("{refused}; searched in {}", binaries.described()))
        .help(help)
}
