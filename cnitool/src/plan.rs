//! `cnitool plan`: what ADD would do, for a person or as JSON.

use libcni::runtime::AttachmentConfig;
use libcni::{AddResult, PluginType, Preview, Result};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::tree::{self, Colour, Tree};
use crate::{Session, capabilities, found};

/// The answers of a chain: a preview of each plugin, or why it cannot tell.
type Previews = [(PluginType, Result<Preview>)];

/// Asks the plugins what they would do. Nothing is touched.
pub fn plan(session: &Session<'_>) -> Result<String> {
    let list = &session.list;
    capabilities::check(session)?;
    let (conf, is_live) = attachment(session)?;
    let previews = session.runtime.plan(list, &conf, is_live)?;
    if session.arguments.json {
        let plan = json!({
            "network": list.name,
            "cniVersion": list.version.to_string(),
            "isAttached": is_live,
            "plugins": previews.iter().map(of_plugin).collect::<Vec<_>>(),
        });
        return Ok(format!("{plan:#}\n"));
    }
    let mut tree = tree(&format!("{} (CNI {})", list.name, list.version), &previews);
    if is_live {
        tree.remark = format!("{} is attached: an add would be refused", conf.attachment.container);
    }
    Ok(tree.render(tree::are_colours_wanted()))
}

/// What to plan for, and whether it is attached already, by the cache.
fn attachment(session: &Session<'_>) -> Result<(AttachmentConfig, bool)> {
    let Session { arguments, list, runtime, .. } = session;
    if arguments.netns.is_none() {
        return Ok((arguments.conf()?, false));
    }
    let conf = found::attachment(session)?.conf;
    let cached = runtime.cache.get(&list.name, &conf.attachment).ok().flatten();
    Ok((conf, cached.is_some_and(|cached| cached.result.is_some())))
}

fn of_plugin((kind, told): &(PluginType, Result<Preview>)) -> Value {
    match told {
        Ok(preview) => {
            let Preview { plan, result, unknown, .. } = preview;
            match unknown.is_empty() {
                true => json!({ "type": kind, "plan": plan, "result": result }),
                false => {
                    json!({ "type": kind, "plan": plan, "result": result, "unknown": unknown })
                }
            }
        }
        Err(error) => json!({ "type": kind, "unknown": error.msg }),
    }
}

/// A plan, as far as it is shown. What is not understood is left out rather than refused: plugins
/// may be newer.
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
    existing: Vec<String>,
    why: Option<String>,
}

fn tree(title: &str, previews: &Previews) -> Tree {
    let mut root = Tree::new(title, Colour::Bold);
    let is_known = previews.iter().all(|(_, it)| it.as_ref().is_ok_and(|it| it.unknown.is_empty()));
    for (kind, told) in previews {
        root.branches.push(match told {
            Ok(preview) => branch(kind, preview),
            Err(error) => {
                let unknown = Tree::new(&format!("not known: {}", error.msg), Colour::Dim);
                Tree { branches: vec![unknown], ..Tree::new(kind.as_str(), Colour::Bold) }
            }
        });
    }
    if let Some(last) = previews.iter().rev().find_map(|(_, told)| told.as_ref().ok()) {
        let mut answer = answer(&last.result);
        if !is_known {
            answer.remark = "as far as it is known".to_owned();
        }
        root.branches.push(answer);
    }
    root
}

/// A plugin with what it would do in each namespace.
fn branch(kind: &PluginType, preview: &Preview) -> Tree {
    let mut branch = Tree::new(kind.as_str(), Colour::Bold);
    let plan = Plan::deserialize(&preview.plan).unwrap_or_default();
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
    if !preview.unknown.is_empty() {
        branch.branches.push(Tree::new(&format!("not known: {}", preview.unknown), Colour::Dim));
    }
    branch
}

/// A step's commands: what is there already, and behind the first what is worth knowing about it.
fn lines(step: &Step) -> Vec<Tree> {
    let shown = match step.shown.as_str() {
        "" => step.object.to_string(),
        shown => shown.to_owned(),
    };
    let shared = (step.ownership == "shared").then(|| "shared".to_owned());
    let mut remark: Vec<_> =
        shared.into_iter().chain(step.why.clone().filter(|why| !why.is_empty())).collect();
    let mut lines = Vec::new();
    for command in shown.split(" && ") {
        if step.existing.iter().any(|existing| existing == command) {
            let is_made = command.contains(" add ");
            remark.insert(0, if is_made { "exists" } else { "already so" }.to_owned());
        }
        let remark = std::mem::take(&mut remark).join("; ");
        lines.push(Tree { remark, ..Tree::new(command, Colour::Plain) });
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
        let preview = |plan, result| {
            Ok(Preview::new(serde_json::from_value(result).unwrap()).with_plan(plan))
        };
        let bridge = preview(
            json!({ "owner": {}, "pod": "/run/netns/p", "steps": [
                { "place": "host", "ownership": "shared", "object": {}, "shown": "ip link add \
                    cni0 type bridge" },
                { "place": "pod", "ownership": "owned", "object": {}, "shown": "ip link set lo \
                    up", "why": "for \u{1b}[31mall" },
                { "place": "host", "ownership": "owned", "object": {}, "shown": "ip link set cni0 \
                    up && ip link set cni0 promisc on" },
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
