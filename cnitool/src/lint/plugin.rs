//! Each plugin of a network: is there such a plugin, does it go there, does it know its keys.

use serde_json::Value as Json;

use libcni::PluginType;

use crate::lint::binaries::{Binaries, Binary};
use crate::lint::document::{Node, Value};
use crate::lint::known::{self, Role};
use crate::lint::network::{Network, Plugin, beginning};
use crate::lint::problem::{At, Problem};
use crate::lint::schema::{self, Others, Readers, Schema, View};
use crate::lint::suggest::{did_you_mean, nearest};

/// The keys that every plugin may have.
pub fn common_keys() -> Json {
    serde_json::from_str(include_str!("plugin.schema.json")).unwrap_or_default()
}

/// Checks the types of a network's plugins, and what each of them is told.
pub fn check(
    network: &Network<'_>,
    binaries: &Binaries,
    common: &Json,
    problems: &mut Vec<Problem>,
) {
    for plugin in &network.plugins {
        kind(plugin.node, Wanted::Plugin, binaries, problems);
        if let Some(ipam) = plugin.node.get("ipam") {
            kind(ipam, Wanted::Addresses, binaries, problems);
        }
        keys(plugin, binaries, common, problems);
        capabilities(plugin, binaries, problems);
    }
    order(network, problems);
}

/// What a type is to name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Plugin,
    Addresses,
}

/// Whether the type of an object, a plugin's or `ipam`, names something that can be run.
fn kind(node: &Node, wanted: Wanted, binaries: &Binaries, problems: &mut Vec<Problem>) {
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
        let what = "ipam has no type, so nobody hands out addresses";
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
            "the type is empty, so nobody hands out addresses",
        )
        .why("plugins that can do without addresses ignore the whole object, the others refuse it")
        .help("write the plugin's name, \"host-local\", or take \"ipam\" out"),
    }
}

/// A plugin that everybody knows in a place where it cannot work.
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

/// Whether the plugin is there and can be run.
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
                .why("nobody looked whether it is on the host")
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

/// A plugin's keys, and those of its address management plugin, which reads the same object.
fn keys(plugin: &Plugin<'_>, binaries: &Binaries, common: &Json, problems: &mut Vec<Problem>) {
    let of = |kind: &Option<PluginType>| kind.as_ref().map(|kind| binaries.get(kind));
    let (own, ipam) = (of(&plugin.kind), of(&plugin.ipam));
    let schema =
        |binary: &Option<std::rc::Rc<Binary>>| binary.as_ref().and_then(|it| it.schema.clone());
    let (own_schema, ipam_schema) = (schema(&own), schema(&ipam));
    let ipam_called = plugin.ipam.as_ref().map_or("", |kind| kind.as_str());
    let own = own_schema.as_ref().map(|json| Schema::new(json, plugin.called()));
    let of_ipam = ipam_schema.as_ref().map(|json| Schema::new(json, ipam_called));
    let readers = Readers {
        plugin_unknown: own.is_none(),
        ipam_unknown: plugin.ipam.is_some() && of_ipam.is_none(),
    };
    let usual = known::schema("host-local").map(|json| Schema::new(json, "host-local"));
    let below_ipam = of_ipam.or(usual).and_then(|schema| schema.property("ipam"));
    let others = known::other_schemas(plugin.called()).map(|(name, schema)| {
        (Schema::new(schema, name), format!("it is a key of {name}; take it out here"))
    });
    let view = View {
        common: Some(Schema::new(common, "libcni")),
        own: own.into_iter().chain(of_ipam).collect(),
        others: match (readers.plugin_unknown, readers.ipam_unknown) {
            (true, _) => Others::Certainly,
            (false, true) => Others::Perhaps,
            (false, false) => Others::None,
        },
        elsewhere: below_ipam
            .map(|(_, schema)| (schema, "put it into \"ipam\"".to_owned()))
            .into_iter()
            .chain(others)
            .collect(),
    };
    schema::check(plugin.node, &view, Some(readers), problems);
    ours_only(plugin, binaries, problems);
}

/// Keys of ours in the configuration of the reference suite's plugin.
fn ours_only(plugin: &Plugin<'_>, binaries: &Binaries, problems: &mut Vec<Problem>) {
    let Some(kind) = &plugin.kind else { return };
    let binary = binaries.get(kind);
    let Some(file) = binary.file.as_ref().filter(|_| !binary.is_ours && binary.speaks.is_some())
    else {
        return;
    };
    for member in plugin.node.members() {
        if known::is_ours_only(kind.as_str(), &member.key) {
            problems.push(
                Problem::warning(
                    "unknown-key",
                    &member.key_at,
                    format!("this {kind} does not know this key"),
                )
                .why(format!(
                    "{} is not ferrocni's, and others ignore the key without a word",
                    file.display()
                ))
                .help(format!("install ferrocni's {kind}, or take the key out")),
            );
        }
    }
}

/// What a runtime is to fill in: do the plugins want it?
fn capabilities(plugin: &Plugin<'_>, binaries: &Binaries, problems: &mut Vec<Problem>) {
    let Some(declared) = plugin.node.get("capabilities") else { return };
    let mut wanted: Vec<String> = Vec::new();
    let mut all_known = plugin.kind.is_some();
    for kind in plugin.kind.iter().chain(&plugin.ipam) {
        match &binaries.get(kind).schema {
            Some(schema) => {
                let of = Schema::new(schema, kind.as_str()).property("runtimeConfig");
                wanted.extend(
                    of.into_iter().flat_map(|(_, schema)| schema.keys()).map(str::to_owned),
                );
            }
            None => all_known = false,
        }
    }
    for member in declared.members() {
        if !matches!(member.node.value, Value::Bool(true)) {
            continue;
        }
        let usual = known::CAPABILITIES.into_iter().filter(|_| !all_known);
        let possible: Vec<&str> = wanted.iter().map(String::as_str).chain(usual).collect();
        if possible.contains(&member.key.as_str()) {
            continue;
        }
        let meant = nearest(&member.key, possible.iter().copied());
        if meant.is_none() && !all_known {
            continue;
        }
        let what = match all_known {
            true => format!("{} has no such capability", plugin.called()),
            false => "no runtime knows such a capability".to_owned(),
        };
        let help = match possible.as_slice() {
            _ if meant.is_some() => "the names of capabilities have to be spelt exactly".to_owned(),
            [] => "take it out: it has none".to_owned(),
            possible => format!("it has {}", possible.join(", ")),
        };
        problems.push(
            Problem::warning("unknown-capability", &member.key_at, what)
                .label(did_you_mean(meant))
                .why("what the runtime has for it does not reach the plugin")
                .help(help),
        );
    }
}

/// Plugins that cannot be where they are in the list.
fn order(network: &Network<'_>, problems: &mut Vec<Problem>) {
    let role = |plugin: &Plugin<'_>| plugin.kind.as_ref().and_then(|kind| known::role(kind));
    let at = |plugin: &Plugin<'_>| {
        plugin.node.get("type").map_or_else(|| beginning(plugin.node), |it| it.at.clone())
    };
    if let Some(first) = network.plugins.first().filter(|first| role(first) == Some(Role::Chained))
    {
        problems.push(
            Problem::error("order", &at(first), format!("{} cannot be the first plugin", first.called()))
                .why("it works on the interface that a plugin before it made, and refuses to do without")
                .help("put it behind bridge, ptp or another plugin that makes an interface, in a .conflist file"),
        );
    }
    let makers: Vec<&Plugin<'_>> =
        network.plugins.iter().filter(|it| role(it) == Some(Role::Interface)).collect();
    if let [first, second, ..] = makers.as_slice() {
        let what = format!(
            "{} and {} both make the container's interface",
            first.called(),
            second.called()
        );
        problems.push(
            Problem::error("order", &at(second), what)
                .label("the interface is there already")
                .also(&at(first), "made here")
                .why(
                    "the plugins of a list work on one interface, of one name, so the second fails",
                )
                .help("make a network of its own of the second"),
        );
    }
}
