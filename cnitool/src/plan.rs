//! `cnitool plan`: what ADD would do, for a person or as JSON.

use libcni::{AddResult, PluginType, Preview, Result};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::Session;
use crate::tree::{self, Colour, Tree};

/// Asks the plugins what they would do. Nothing is touched.
pub fn plan(session: &Session<'_>) -> Result<String> {
    let list = &session.list;
    let previews = session.runtime.plan(list, &session.arguments.conf()?)?;
    if session.arguments.json {
        let plugins: Vec<_> = previews
            .iter()
            .map(|(kind, preview)| json!({ "type": kind, "plan": preview.plan, "result": preview.result }))
            .collect();
        let plan = json!({
            "network": list.name,
            "cniVersion": list.version.to_string(),
            "plugins": plugins,
        });
        return Ok(format!("{plan:#}\n"));
    }
    let tree = tree(&format!("{} (CNI {})", list.name, list.version), &previews);
    Ok(tree.render(tree::are_colours_wanted()))
}

/// A plan, as far as it is shown. What is not understood is left out rather than refused: plugins may be newer.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Plan {
    pod: Option<String>,
    steps: Vec<Step>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Step {
    place: String,
    ownership: String,
    object: Value,
    shown: String,
    why: Option<String>,
}

fn tree(title: &str, previews: &[(PluginType, Preview)]) -> Tree {
    let mut root = Tree::new(title, Colour::Bold);
    for (kind, preview) in previews {
        root.branches.push(branch(kind, &preview.plan));
    }
    if let Some((_, last)) = previews.last() {
        root.branches.push(answer(&last.result));
    }
    root
}

/// A plugin with what it would do in each namespace.
fn branch(kind: &PluginType, plan: &Value) -> Tree {
    let mut branch = Tree::new(kind.as_str(), Colour::Bold);
    let plan = Plan::deserialize(plan).unwrap_or_default();
    let pod = plan.pod.map_or_else(|| "pod".to_owned(), |path| format!("pod {path}"));
    for (place, title) in [("host", "host"), ("pod", pod.as_str())] {
        let steps = plan.steps.iter().filter(|step| step.place == place);
        let lines: Vec<_> = steps.flat_map(lines).collect();
        if !lines.is_empty() {
            branch.branches.push(Tree { branches: lines, ..Tree::new(title, Colour::Cyan) });
        }
    }
    if branch.branches.is_empty() {
        branch.branches.push(Tree::new("nothing in the kernel", Colour::Dim));
    }
    branch
}

/// A step's commands, what is worth knowing about it behind the first.
fn lines(step: &Step) -> Vec<Tree> {
    let shown = match step.shown.as_str() {
        "" => step.object.to_string(),
        shown => shown.to_owned(),
    };
    let shared = (step.ownership == "shared").then(|| "shared".to_owned());
    let remark: Vec<_> =
        shared.into_iter().chain(step.why.clone().filter(|why| !why.is_empty())).collect();
    let mut lines: Vec<Tree> =
        shown.split(" && ").map(|command| Tree::new(command, Colour::Plain)).collect();
    if let Some(first) = lines.first_mut() {
        first.remark = remark.join("; ");
    }
    lines
}

/// The last plugin's result, which is what ADD would print.
fn answer(result: &AddResult) -> Tree {
    let mut lines = Vec::new();
    for interface in &result.interfaces {
        match interface.sandbox.as_str() {
            "" => lines.push(format!("interface {}", interface.name)),
            sandbox => lines.push(format!("interface {} in {sandbox}", interface.name)),
        }
    }
    for ip in &result.ips {
        let on = ip.interface.and_then(|index| result.interfaces.get(index));
        let on = on.map_or_else(String::new, |interface| format!(" on {}", interface.name));
        let gateway = ip.gateway.map_or_else(String::new, |gateway| format!(", gateway {gateway}"));
        lines.push(format!("address {}{on}{gateway}", ip.address));
    }
    for route in &result.routes {
        let via = route.gw.map_or_else(String::new, |gw| format!(" via {gw}"));
        lines.push(format!("route {}{via}", route.dst));
    }
    if lines.is_empty() {
        lines.push("empty".to_owned());
    }
    let branches = lines.iter().map(|line| Tree::new(line, Colour::Plain)).collect();
    Tree { branches, ..Tree::new("result", Colour::Bold) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_a_tree_of_plugins_and_places() {
        let preview =
            |plan, result| Preview { plan, result: serde_json::from_value(result).unwrap() };
        let bridge = preview(
            json!({ "owner": {}, "pod": "/run/netns/p", "steps": [
                { "place": "host", "ownership": "shared", "object": {}, "shown": "ip link add cni0 type bridge" },
                { "place": "pod", "ownership": "owned", "object": {}, "shown": "ip link set lo up", "why": "for \u{1b}[31mall" },
                { "place": "host", "ownership": "owned", "object": {}, "shown": "ip link set cni0 up && ip link set cni0 promisc on" },
            ]}),
            json!({}),
        );
        let other = preview(
            Value::Null,
            json!({
                "interfaces": [{ "name": "cni0" }, { "name": "eth0", "sandbox": "/run/netns/p" }],
                "ips": [{ "address": "10.1.0.2/16", "gateway": "10.1.0.1", "interface": 1 }],
                "routes": [{ "dst": "0.0.0.0/0", "gw": "10.1.0.1" }],
            }),
        );
        let name = |name| PluginType::new(name).unwrap();
        let tree = tree("pods (CNI 1.1.0)", &[(name("bridge"), bridge), (name("mine"), other)]);
        insta::assert_snapshot!(tree.render(false), @r"
        pods (CNI 1.1.0)
        ├─ bridge
        │  ├─ host
        │  │  ├─ ip link add cni0 type bridge  (shared)
        │  │  ├─ ip link set cni0 up
        │  │  └─ ip link set cni0 promisc on
        │  └─ pod /run/netns/p
        │     └─ ip link set lo up  (for \u{1b}[31mall)
        ├─ mine
        │  └─ nothing in the kernel
        └─ result
           ├─ interface cni0
           ├─ interface eth0 in /run/netns/p
           ├─ address 10.1.0.2/16 on eth0, gateway 10.1.0.1
           └─ route 0.0.0.0/0 via 10.1.0.1
        ");
    }
}
