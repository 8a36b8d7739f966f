//! Finds lost objects of a network on this host, such as routes whose link went down.

use kernel::{Owner, Place, Plan, RouteSet, Survey, Tunnel};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use crate::lint::network::{Plugin, beginning};
use crate::lint::problem::Problem;

/// Reports missing routes to peers. `plan` is the plan of an ADD. Before the first ADD no object of
/// the network exists, and nothing is reported.
pub fn check(plugin: &Plugin<'_>, plan: &Json) -> Option<Problem> {
    let tunnel: Tunnel = objects(plan, "tunnel").next()?.1;
    let link = Survey::host().ok()?.link(&tunnel.name).ok()??;
    if link.alias != Owner::network_tag(&tunnel.network) {
        return None;
    }
    let owner = serde_json::from_value(plan.get("owner")?.clone()).ok()?;
    let mut routes = Plan::new(owner, None);
    for (_, set) in objects::<RouteSet>(plan, "route-set").filter(|(step, _)| is_on_host(step)) {
        routes.share(Place::Host, set);
    }
    let lost: Vec<String> =
        routes.diff().ok()?.into_iter().filter(|line| line.ends_with(" is gone")).collect();
    let (first, more) = (lost.first()?, lost.len() - 1);
    let more = if more == 0 { String::new() } else { format!(", and {more} more") };
    let at = plugin.node.get("type").map_or_else(|| beginning(plugin.node), |it| it.at.clone());
    Some(
        Problem::warning("missing-route", &at, format!("{first} on this host{more}"))
            .why(
                "the kernel deletes routes with their link, and no packet reaches these peers \
                 until the routes are restored",
            )
            .help(
                "Run `ipip sync` with this file now, and whenever the uplink comes up: \
                 docs/plugins/ipip.md has a script.",
            ),
    )
}

/// The objects of a kind in a plan, each with its step. `kind` is the kind's name in the plan.
pub fn objects<'a, K: DeserializeOwned>(
    plan: &'a Json,
    kind: &'a str,
) -> impl Iterator<Item = (&'a Json, K)> {
    let steps = plan.get("steps").and_then(Json::as_array).into_iter().flatten();
    steps.filter_map(move |step| {
        let data = step.get("object")?.get(kind)?.clone();
        Some((step, serde_json::from_value(data).ok()?))
    })
}

fn is_on_host(step: &Json) -> bool {
    step.get("place").and_then(Json::as_str) == Some("host")
}
