//! Checks the keys and the declared capabilities of a plugin.

use std::rc::Rc;

use libcni::PluginType;
use serde_json::Value as Json;

use crate::lint::binaries::{Binaries, Binary};
use crate::lint::document::Value;
use crate::lint::known;
use crate::lint::network::Plugin;
use crate::lint::problem::Problem;
use crate::lint::schema::{self, Others, Readers, Schema, View};
use crate::lint::suggest::{did_you_mean, nearest};

/// Checks the keys of a plugin and of its IPAM plugin, which reads the same object.
pub fn check(plugin: &Plugin<'_>, binaries: &Binaries, common: &Json, problems: &mut Vec<Problem>) {
    let of = |kind: &Option<PluginType>| kind.as_ref().map(|kind| binaries.get(kind));
    let (own, ipam) = (of(&plugin.kind), of(&plugin.ipam));
    let schema = |binary: &Option<Rc<Binary>>| binary.as_ref().and_then(|it| it.schema.clone());
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
        (Schema::new(schema, name), format!("it is a key of {name}; remove it here"))
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
            .map(|(_, schema)| (schema, "move it into \"ipam\"".to_owned()))
            .into_iter()
            .chain(others)
            .collect(),
    };
    schema::check(plugin.node, &view, Some(readers), problems);
    ours_only(plugin, binaries, problems);
}

/// Reports keys that only this suite's plugin has, in the configuration of another suite's plugin.
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
                    "{} is not from ferrocni, and other suites ignore the key",
                    file.display()
                ))
                .help(format!("install ferrocni's {kind}, or remove the key")),
            );
        }
    }
}

/// Reports declared capabilities that neither the plugin nor its IPAM plugin has.
pub fn capabilities(plugin: &Plugin<'_>, binaries: &Binaries, problems: &mut Vec<Problem>) {
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
            None => match known::capabilities(kind.as_str()) {
                Some(capabilities) => {
                    wanted.extend(capabilities.iter().map(|name| (*name).to_owned()));
                }
                None => all_known = false,
            },
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
            false => "no runtime has such a capability".to_owned(),
        };
        let help = match possible.as_slice() {
            _ if known::has_key(plugin.called(), &member.key) => {
                format!("it is a key of {}: write it beside \"type\"", plugin.called())
            }
            _ if meant.is_some() => "the names of capabilities must match exactly".to_owned(),
            [] => "remove it: the plugin has none".to_owned(),
            possible => format!("its capabilities: {}", possible.join(", ")),
        };
        problems.push(
            Problem::warning("unknown-capability", &member.key_at, what)
                .label(did_you_mean(meant))
                .why("the plugin does not get the runtime's value for it")
                .help(help),
        );
    }
}
