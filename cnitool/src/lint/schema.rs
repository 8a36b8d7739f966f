//! Checks values against JSON Schemas: of libcni, of the plugin and of its IPAM plugin together,
//! because all of them read the same object.

mod value;

use serde_json::Value as Json;

use crate::lint::document::{Member, Node, Value};
use crate::lint::network::beginning;
use crate::lint::problem::Problem;
use crate::lint::suggest::{did_you_mean, nearest};

/// A schema, or a part of one.
#[derive(Debug, Clone, Copy)]
pub struct Schema<'a> {
    pub node: &'a Json,
    pub root: &'a Json,
    /// The name of the program that has this schema, such as `bridge`.
    pub of: &'a str,
}

impl<'a> Schema<'a> {
    pub fn new(root: &'a Json, of: &'a str) -> Schema<'a> {
        Schema { node: root, root, of }
    }

    /// Follows a reference, including that of an optional key.
    fn resolved(self) -> Schema<'a> {
        let options = self.node.get("anyOf").and_then(Json::as_array);
        let node = options.and_then(|options| options.first()).unwrap_or(self.node);
        let path = node.get("$ref").and_then(Json::as_str).and_then(|path| path.strip_prefix('#'));
        let node = path.and_then(|path| self.root.pointer(path)).unwrap_or(node);
        Schema { node, ..self }
    }

    /// The schema of a key, in any case, and the key as the schema spells it.
    pub fn property(self, key: &str) -> Option<(&'a str, Schema<'a>)> {
        let properties = self.resolved().node.get("properties")?.as_object()?;
        let found = properties.iter().find(|(known, _)| known.eq_ignore_ascii_case(key))?;
        Some((found.0, Schema { node: found.1, ..self }))
    }

    /// The keys of the schema.
    pub fn keys(self) -> impl Iterator<Item = &'a str> {
        let properties = self.resolved().node.get("properties").and_then(Json::as_object);
        properties.into_iter().flat_map(|properties| properties.keys().map(String::as_str))
    }

    /// The schema under a keyword, such as `items`.
    fn below(self, keyword: &str) -> Option<Schema<'a>> {
        let node = self.resolved().node.get(keyword).filter(|node| node.is_object())?;
        Some(Schema { node, ..self })
    }

    /// The description of the key.
    fn description(self) -> &'a str {
        let own = self.node.get("description").and_then(Json::as_str);
        let of = |schema: Schema<'a>| schema.node.get("description").and_then(Json::as_str);
        own.or_else(|| of(self.resolved())).unwrap_or_default()
    }

    fn is_closed(self) -> bool {
        self.resolved().node.get("additionalProperties") == Some(&Json::Bool(false))
    }
}

/// The schemas for an object.
#[derive(Debug, Clone, Default)]
pub struct View<'a> {
    /// The schema of the keys that every plugin can have.
    pub common: Option<Schema<'a>>,
    /// The schemas of the plugins that read the object.
    pub own: Vec<Schema<'a>>,
    /// Whether another plugin may know other keys.
    pub others: Others,
    /// Schemas of other objects whose keys are often written here by mistake, with hints to the
    /// right place.
    pub elsewhere: Vec<(Schema<'a>, String)>,
}

/// Whether another program reads an object, and may know more keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Others {
    /// No other program reads the object.
    #[default]
    None,
    /// An IPAM plugin may read the object. A key that resembles a known key is still a mistake.
    Perhaps,
    /// An unknown plugin reads the object.
    Certainly,
}

/// The readers of a plugin's object.
#[derive(Debug, Clone, Copy)]
pub struct Readers {
    /// Whether the plugin's keys are unknown.
    pub plugin_unknown: bool,
    /// Whether there is an IPAM plugin with unknown keys.
    pub ipam_unknown: bool,
}

impl Readers {
    /// Whether another program may know more keys of the object under `key`.
    fn of(self, key: &str) -> Others {
        let unknown = match key {
            "ipam" => self.ipam_unknown,
            "args" | "runtimeConfig" => self.plugin_unknown || self.ipam_unknown,
            _ => self.plugin_unknown,
        };
        if unknown { Others::Certainly } else { Others::None }
    }
}

/// Checks an object and everything below it. `readers` is given only for a plugin's object itself.
pub fn check<'a>(
    node: &Node,
    view: &View<'a>,
    readers: Option<Readers>,
    problems: &mut Vec<Problem>,
) {
    let all = || view.common.iter().chain(&view.own).copied();
    for member in node.members() {
        if matches!(member.node.value, Value::Null) {
            continue;
        }
        let known = |schema: Schema<'_>| schema.property(&member.key).is_some();
        if !all().any(known) {
            unknown(member, view, problems);
            check_additional(member, view, problems);
            continue;
        }
        let of = |schema: &Schema<'_>| schema.property(&member.key).is_some();
        let mut below = View {
            common: view.common.and_then(|schema| schema.property(&member.key)).map(|it| it.1),
            own: view
                .own
                .iter()
                .filter(|it| of(it))
                .filter_map(|it| it.property(&member.key))
                .map(|it| it.1)
                .collect(),
            others: view.others,
            elsewhere: Vec::new(),
        };
        if let (Some(readers), Some((name, _))) =
            (readers, all().find_map(|it| it.property(&member.key)))
        {
            below.others = readers.of(name);
            if name == "ipam" {
                let beside = |schema: &Schema<'a>| {
                    (*schema, "move it beside \"ipam\", into the plugin's object".to_owned())
                };
                below.elsewhere = view.own.iter().map(beside).collect();
            }
        }
        check_value(&member.node, &below, problems);
    }
}

/// Checks one value against all schemas of its key, and reports the first mismatch.
fn check_value<'a>(node: &Node, view: &View<'a>, problems: &mut Vec<Problem>) {
    let all: Vec<Schema<'_>> = view.own.iter().chain(&view.common).copied().collect();
    if let Some(problem) = all.iter().find_map(|schema| value::misfit(node, *schema)) {
        problems.push(problem);
        return;
    }
    match &node.value {
        Value::Object(_) => {
            check(node, view, None, problems);
            required(node, &all, problems);
        }
        Value::List(items) => {
            let item = |schema: &Schema<'a>| schema.below("items");
            let below = View {
                common: view.common.and_then(|schema| item(&schema)),
                own: view.own.iter().filter_map(item).collect(),
                others: view.others,
                elsewhere: Vec::new(),
            };
            let nulls = items.iter().filter(|item| matches!(item.value, Value::Null));
            problems.extend(nulls.filter_map(|null| value::no_item(null, &below)));
            items.iter().for_each(|item| check_value(item, &below, problems));
        }
        _ => {}
    }
}

/// Reports missing required keys of an object.
fn required(node: &Node, schemas: &[Schema<'_>], problems: &mut Vec<Problem>) {
    for schema in schemas {
        let required = schema.resolved().node.get("required").and_then(Json::as_array);
        for key in required.into_iter().flatten().filter_map(Json::as_str) {
            if node.get(key).is_some() {
                continue;
            }
            let described = schema.property(key).map_or("", |(_, key)| key.description());
            problems.push(
                Problem::error("missing-key", &beginning(node), format!("{key} is missing"))
                    .why(format!("{} refuses it. {key}: {described}", schema.of))
                    .help(format!("add \"{key}\": ..")),
            );
        }
    }
}

/// Checks a value under a key that is data, such as `capabilities.mac`.
fn check_additional(member: &Member, view: &View<'_>, problems: &mut Vec<Problem>) {
    let mut all = view.common.iter().chain(&view.own);
    let schema = all.find_map(|schema| schema.below("additionalProperties"));
    problems.extend(schema.and_then(|schema| value::misfit(&member.node, schema)));
}

/// Reports an unknown key.
fn unknown(member: &Member, view: &View<'_>, problems: &mut Vec<Problem>) {
    let knows_keys = |schema: &&Schema<'_>| {
        schema.keys().next().is_some() || std::ptr::eq(schema.node, schema.root)
    };
    let closed = view.own.iter().find(knows_keys).filter(|_| view.others != Others::Certainly);
    let closed = closed.or(view.common.as_ref().filter(|common| common.is_closed()));
    let Some(schema) = closed.filter(|_| !is_remark(&member.key)) else { return };
    let all = || view.common.iter().chain(&view.own);
    let elsewhere = view
        .elsewhere
        .iter()
        .find_map(|(schema, where_to)| schema.property(&member.key).map(|_| where_to.as_str()));
    let meant = nearest(&member.key, all().flat_map(|schema| schema.keys()));
    if meant.is_none() && elsewhere.is_none() && view.others == Others::Perhaps {
        return;
    }
    let what = format!("{} does not know this key here", schema.of);
    let problem = Problem::warning("unknown-key", &member.key_at, what);
    let problem = problem.why("unknown keys are ignored without an error");
    problems.push(match (elsewhere, meant) {
        (Some(where_to), _) => problem.help(where_to),
        (None, Some(key)) => {
            let described = all().find_map(|schema| schema.property(key));
            let described = described.map_or("", |(_, schema)| schema.description());
            let label = did_you_mean(meant);
            problem.label(label).help(format!("{key}: {}", described.replace('\n', " ")))
        }
        (None, None) => problem.help("remove or correct it"),
    });
}

/// Whether a key is a comment, or reserved for runtimes by the specification.
pub fn is_remark(key: &str) -> bool {
    key.starts_with(['_', '#', '$'])
        || key.starts_with("//")
        || key.eq_ignore_ascii_case("comment")
        || key.to_ascii_lowercase().starts_with("cni.dev/")
}
