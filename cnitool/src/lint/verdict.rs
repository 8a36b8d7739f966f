//! Runs PLAN of the network's plugins, which predicts whether ADD would succeed. Only plugins built
//! with this library know the verb.

use kernel::SourceFilter;
use libcni::Preview;
use libcni::runtime::{AttachmentConfig, Cache, NetworkConfig, Runtime};
use libcni::{Code, ContainerId, Error, IfName, Result, Version};
use serde_json::{Value as Json, json};

use crate::lint::binaries::Binaries;
use crate::lint::document::Node;
use crate::lint::missing;
use crate::lint::network::{Network, Plugin, beginning};
use crate::lint::problem::Problem;

/// The path of the container's namespace: empty, because there is no container.
const NO_NAMESPACE: &str = "";

/// Runs PLAN of the plugins of a network without other errors. Changes nothing.
pub fn check(network: &Network<'_>, binaries: &Binaries, problems: &mut Vec<Problem>) {
    let Ok(version) = Version::parse(&network.version.0) else { return };
    let mut prev = None;
    for plugin in &network.plugins {
        if !knows_plan(plugin, binaries) {
            return;
        }
        match ask(network, plugin, prev.as_ref(), binaries) {
            Ok(preview) => {
                problems.extend(open_tunnel(plugin, &preview.plan));
                problems.extend(missing::check(plugin, &preview.plan));
                prev = preview.result.to_value_lossy(version).ok();
            }
            Err(error) => {
                problems.extend(found(plugin, &error));
                return;
            }
        }
    }
}

/// Whether a plugin and its IPAM plugin know PLAN. Other plugins are not called with a verb that is
/// not in the specification.
fn knows_plan(plugin: &Plugin<'_>, binaries: &Binaries) -> bool {
    let is_ours = |kind| binaries.get(kind).is_ours;
    // With the capability `ipRanges`, the runtime provides ranges that are missing here.
    plugin.kind.as_ref().is_some_and(is_ours)
        && plugin.ipam.iter().all(is_ours)
        && !plugin.declares("ipRanges")
}

fn ask(
    network: &Network<'_>,
    plugin: &Plugin<'_>,
    prev: Option<&Json>,
    binaries: &Binaries,
) -> Result<Preview> {
    let mut config = plugin.node.to_json();
    if let (Some(config), Some(prev)) = (config.as_object_mut(), prev) {
        config.retain(|key, _| !key.eq_ignore_ascii_case("prevResult"));
        config.insert("prevResult".to_owned(), prev.clone());
    }
    let list =
        json!({ "name": network.name(), "cniVersion": network.version.0, "plugins": [config] });
    let list = NetworkConfig::parse(list.to_string().as_bytes())?;
    let mut runtime = Runtime::new(binaries.folders.clone(), Cache::default());
    runtime.timeout = Some(std::time::Duration::from_secs(10));
    let id = ContainerId::new("cnitool-lint")?;
    let conf = AttachmentConfig::new(id, IfName::new("eth0")?, NO_NAMESPACE);
    let previews = runtime.plan(&list, &conf, false)?;
    previews
        .into_iter()
        .next()
        .map_or_else(|| Err(Error::internal("no plan")), |(_, answer)| answer)
}

/// Reports a tunnel that accepts packets from every machine although the configuration does not
/// request that. The plan contains the reason.
fn open_tunnel(plugin: &Plugin<'_>, plan: &Json) -> Option<Problem> {
    let accept = plugin.node.member("acceptFrom").map(|it| &it.node);
    if accept.and_then(Node::text) == Some("all") {
        return None;
    }
    let mut filters = missing::objects::<SourceFilter>(plan, "source-filter");
    let (step, _) = filters.find(|(_, filter)| filter.from.is_none())?;
    let at = plugin.node.get("type").map_or_else(|| beginning(plugin.node), |it| it.at.clone());
    let what = step.get("why").and_then(Json::as_str).unwrap_or_default().to_owned();
    Some(
        Problem::warning("open-tunnel", &at, what)
            .why(
                "any machine that reaches this host can send packets with any source to the \
                 containers, to the host and through it",
            )
            .help(
                "remove the reason, drop such packets with a firewall, or confirm that it is \
                 intended: \"acceptFrom\": \"all\"",
            ),
    )
}

/// Converts a plugin's error to a finding: a mistake in the configuration, or a condition of this
/// host.
fn found(plugin: &Plugin<'_>, error: &Error) -> Option<Problem> {
    let msg = error.msg.split_once("(plan): ").map_or(error.msg.as_str(), |(_, msg)| msg);
    let at = plugin.node.get("type").map_or_else(|| beginning(plugin.node), |it| it.at.clone());
    let name = plugin.called();
    let problem = match error.code {
        Code::DECODE_FAILURE | Code::INVALID_CONFIG => {
            Problem::error("refused", &at, format!("{name} refuses this: {msg}"))
                .why("every ADD fails")
        }
        // The plugin or its IPAM plugin does not know the verb, or needs a container.
        Code::INVALID_ENVIRONMENT | Code::UNSUPPORTED_FIELD | Code::INVALID_NETNS => return None,
        // An unprivileged user cannot read everything.
        _ if msg.contains("ermission denied") || msg.contains("not permitted") => return None,
        _ => Problem::warning(
            "not-on-this-host",
            &at,
            format!("{name} would fail on this host: {msg}"),
        )
        .why("the plugin was run with PLAN, which predicts an ADD"),
    };
    let details = error.details.replace('\n', "; ");
    Some(problem.help(if details.is_empty() {
        "run `cnitool plan` to repeat this check".to_owned()
    } else {
        details
    }))
}
