//! The plugins' own word: those that are made with our library say what ADD would do, or why it could not.

use libcni::runtime::{Cache, NetworkList, Runtime, RuntimeConf};
use libcni::{ContainerId, Error, IfName, Result, Version, code};
use serde_json::{Value as Json, json};

use crate::lint::binaries::Binaries;
use crate::lint::network::{Network, Plugin, beginning};
use crate::lint::problem::Problem;

/// The container's namespace: none, but plugins of a chain tell by its path which interfaces of a result are the container's.
const NO_NAMESPACE: &str = "/run/netns/cnitool-lint";

/// Asks the plugins of a network in which no mistake was found. Nothing is touched.
pub fn check(network: &Network<'_>, binaries: &Binaries, problems: &mut Vec<Problem>) {
    let Ok(version) = Version::parse(&network.version.0) else { return };
    let mut prev = None;
    for plugin in &network.plugins {
        if !can_tell(plugin, binaries) {
            return;
        }
        match ask(network, plugin, prev.as_ref(), binaries) {
            Ok(result) => prev = result.to_value(version).ok(),
            Err(error) => {
                problems.extend(found(plugin, &error));
                return;
            }
        }
    }
}

/// Whether a plugin and all that it asks know the verb PLAN; nobody else is given a verb that is not in the specification.
fn can_tell(plugin: &Plugin<'_>, binaries: &Binaries) -> bool {
    let is_ours = |kind| binaries.get(kind).is_ours;
    // The runtime may have ranges that the plugin would miss now.
    plugin.kind.as_ref().is_some_and(is_ours)
        && plugin.ipam.iter().all(is_ours)
        && !plugin.declares("ipRanges")
}

fn ask(
    network: &Network<'_>,
    plugin: &Plugin<'_>,
    prev: Option<&Json>,
    binaries: &Binaries,
) -> Result<libcni::AddResult> {
    let mut config = plugin.node.to_json();
    if let (Some(config), Some(prev)) = (config.as_object_mut(), prev) {
        config.retain(|key, _| !key.eq_ignore_ascii_case("prevResult"));
        config.insert("prevResult".to_owned(), prev.clone());
    }
    let list =
        json!({ "name": network.name(), "cniVersion": network.version.0, "plugins": [config] });
    let list = NetworkList::parse(list.to_string().as_bytes())?;
    let mut runtime = Runtime::new(binaries.folders.clone(), Cache::default());
    runtime.timeout = Some(std::time::Duration::from_secs(10));
    let id = ContainerId::new("cnitool-lint")?;
    let conf = RuntimeConf::new(id, IfName::new("eth0")?, NO_NAMESPACE);
    let previews = runtime.plan(&list, &conf)?;
    previews
        .into_iter()
        .next()
        .map(|(_, preview)| preview.result)
        .ok_or_else(|| Error::internal("no plan"))
}

/// What a plugin's refusal means: a mistake in the configuration, or something about this host.
fn found(plugin: &Plugin<'_>, error: &Error) -> Option<Problem> {
    let msg = error.msg.split_once("(plan): ").map_or(error.msg.as_str(), |(_, msg)| msg);
    let at = plugin.node.get("type").map_or_else(|| beginning(plugin.node), |it| it.at.clone());
    let name = plugin.called();
    let problem = match error.code {
        code::DECODE_FAILURE | code::INVALID_CONFIG => {
            Problem::error("refused", &at, format!("{name} refuses this: {msg}"))
                .why("every ADD fails")
        }
        // It does not know the verb, or its address management plugin does not; or it has to see the container.
        code::INVALID_ENVIRONMENT | code::UNSUPPORTED_FIELD | code::INVALID_NETNS => return None,
        // Who is not root cannot look at everything.
        _ if msg.contains("ermission denied") || msg.contains("not permitted") => return None,
        _ => Problem::warning(
            "not-on-this-host",
            &at,
            format!("{name} would fail on this host: {msg}"),
        )
        .why("it was asked what an ADD would do now"),
    };
    let details = error.details.replace('\n', "; ");
    Some(problem.help(if details.is_empty() {
        "`cnitool plan` asks it again".to_owned()
    } else {
        details
    }))
}
