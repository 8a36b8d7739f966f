//! A network as a runtime would read it from a file, as far as the file is valid.

use libcni::{PluginType, SUPPORTED, Version};

use crate::lint::document::{Member, Node};
use crate::lint::files::{File, Kind, Place};
use crate::lint::problem::At;

/// A network.
#[derive(Debug)]
pub struct Network<'a> {
    /// The index of its file.
    pub file: usize,
    pub place: &'a Place,
    pub root: &'a Node,
    /// Whether the network is a list, whose keys are matched exactly.
    pub is_list: bool,
    /// The version of the calls of its plugins, and its position.
    pub version: (String, At),
    pub plugins: Vec<Plugin<'a>>,
}

/// A plugin of a network.
#[derive(Debug, Clone)]
pub struct Plugin<'a> {
    /// The plugin's object, which can be in another file than the network.
    pub node: &'a Node,
    /// The plugin's type, if it is valid.
    pub kind: Option<PluginType>,
    /// The type of its IPAM plugin, if it is valid.
    pub ipam: Option<PluginType>,
}

impl<'a> Network<'a> {
    /// The network of a file; `None` if the file has none.
    pub fn of(file: usize, all: &'a [File]) -> Option<Network<'a>> {
        let of = all.get(file)?;
        let root = of.root.as_ref().filter(|root| root.is_object())?;
        let mut plugins = Vec::new();
        match of.kind {
            Kind::List => {
                let inlined = root.exact("plugins").map(|it| it.node.items()).unwrap_or_default();
                plugins.extend(inlined.iter().map(Plugin::of));
                let rest = all.iter().skip(file + 1);
                let parts = rest.take_while(|part| part.kind == Kind::Part);
                plugins.extend(parts.filter_map(|part| part.root.as_ref()).map(Plugin::of));
            }
            Kind::Single => plugins.push(Plugin::of(root)),
            Kind::Part | Kind::Manifest | Kind::Ignored | Kind::Folder => return None,
        }
        plugins.retain(|plugin| plugin.node.is_object());
        let is_list = of.kind == Kind::List;
        let version = version(root, is_list);
        Some(Network { file, place: &of.place, root, is_list, version, plugins })
    }

    /// A key of the network itself, which must match exactly in a list.
    pub fn member(&self, key: &str) -> Option<&'a Member> {
        member(self.root, key, self.is_list)
    }

    /// The network's name; empty if it has none.
    pub fn name(&self) -> &'a str {
        match (self.member("name").and_then(|name| name.node.text()), self.place) {
            // The network has the name of the Kubernetes object.
            (None | Some(""), Place::Attachment(name)) => name,
            (name, _) => name.unwrap_or_default(),
        }
    }

    /// Whether the file contains only a plugin of a chain.
    pub fn is_chain(&self) -> bool {
        *self.place == Place::Chain
    }

    /// The position of the network's name.
    pub fn name_at(&self) -> At {
        self.member("name").map_or_else(|| At::file(self.file), |name| name.node.at.clone())
    }
}

impl<'a> Plugin<'a> {
    fn of(node: &'a Node) -> Plugin<'a> {
        let name = |node: &Node| PluginType::new(node.text_of("type")?).ok();
        Plugin { node, kind: name(node), ipam: node.get("ipam").and_then(name) }
    }

    /// Whether the plugin has this type.
    pub fn is(&self, kind: &str) -> bool {
        self.kind.as_ref().is_some_and(|it| it.as_str() == kind)
    }

    /// The plugin's type, for sentences.
    pub fn called(&self) -> &str {
        self.kind.as_ref().map_or("the plugin", |kind| kind.as_str())
    }

    /// Whether its IPAM plugin is host-local.
    pub fn has_host_local(&self) -> bool {
        self.ipam.as_ref().is_some_and(|ipam| ipam.as_str() == "host-local")
    }

    /// Whether the plugin declares a capability.
    pub fn declares(&self, capability: &str) -> bool {
        self.node.get("capabilities").is_some_and(|declared| declared.is_on(capability))
    }
}

fn member<'a>(root: &'a Node, key: &str, is_list: bool) -> Option<&'a Member> {
    if is_list { root.exact(key) } else { root.member(key) }
}

/// The version that libcni chooses: the newest of `cniVersions` and `cniVersion` that it supports,
/// otherwise `cniVersion` unchanged.
fn version(root: &Node, is_list: bool) -> (String, At) {
    let known = |node: &&Node| {
        let version = Version::parse(node.text()?).ok()?;
        SUPPORTED.contains(&version).then_some(version)
    };
    let single = member(root, "cniVersion", is_list);
    let listed = root.exact("cniVersions").filter(|_| is_list);
    let listed = listed.map(|it| it.node.items()).unwrap_or_default();
    let all = listed.iter().chain(single.map(|member| &member.node).filter(|_| !listed.is_empty()));
    let newest =
        all.filter_map(|node| Some((known(&node)?, node))).max_by_key(|(version, _)| *version);
    match (newest, single) {
        (Some((version, node)), _) => (version.to_string(), node.at.clone()),
        (None, Some(member)) => {
            let text = member.node.text().filter(|text| !text.is_empty());
            (text.unwrap_or("0.1.0").to_owned(), member.node.at.clone())
        }
        (None, None) => ("0.1.0".to_owned(), At { spot: start_of(root), path: String::new() }),
    }
}

/// The position of the opening brace of an object.
fn start_of(node: &Node) -> crate::lint::problem::Spot {
    let mut spot = node.at.spot;
    spot.end = spot.start + 1;
    spot
}

/// The beginning of an object, for findings about missing keys.
pub fn beginning(node: &Node) -> At {
    At { spot: start_of(node), path: node.at.path.clone() }
}
