//! Checks one value against the schema of its key.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use libcni::{IfName, ip};
use serde_json::Value as Json;

use crate::lint::document::{Node, Value};
use crate::lint::problem::Problem;
use crate::lint::schema::{Schema, View};
use crate::lint::suggest::{did_you_mean, nearest};

/// The first mismatch of a value with its schema. Does not check the items of lists and the members
/// of objects.
pub fn misfit(node: &Node, schema: Schema<'_>) -> Option<Problem> {
    let rules = schema.resolved().node;
    let mismatch = match &node.value {
        Value::Null => None,
        _ if !is_of_type(node, rules) => wrong_type(node, rules),
        Value::Number(_) => out_of_range(node, rules),
        Value::Text(text) => not_allowed(text, rules).or_else(|| malformed(text, rules)),
        _ => None,
    };
    let Mismatch { rule, what, label, help } = mismatch?;
    let key = node.at.path.rsplit(['.', '[']).next().unwrap_or_default().trim_end_matches(']');
    let is_index = key.chars().all(|c| c.is_ascii_digit());
    let why = match schema.description() {
        "" => format!("{} refuses it", schema.of),
        described if is_index => format!("{} refuses it. {described}", schema.of),
        described => format!("{} refuses it. {key}: {}", schema.of, described.replace('\n', " ")),
    };
    Some(Problem::error(rule, &node.at, what).label(label).why(why).help(help))
}

/// The finding for `null` in a list, where `null` does not count as absent.
pub fn no_item(null: &Node, view: &View<'_>) -> Option<Problem> {
    let schema = view.own.iter().chain(&view.common).next()?;
    let wanted = types(schema.resolved().node).first().map_or("a value", |name| in_words(name));
    let what = format!("expected {wanted}, found null");
    let problem = Problem::error("wrong-type", &null.at, what);
    Some(problem.why(format!("{} refuses it", schema.of)).help("remove it"))
}

struct Mismatch {
    rule: &'static str,
    what: String,
    label: String,
    help: String,
}

fn types(rules: &Json) -> Vec<&str> {
    match rules.get("type") {
        Some(Json::String(one)) => vec![one],
        Some(Json::Array(several)) => {
            several.iter().filter_map(Json::as_str).filter(|name| *name != "null").collect()
        }
        _ => Vec::new(),
    }
}

fn is_of_type(node: &Node, rules: &Json) -> bool {
    let types = types(rules);
    let is = |name: &&str| match (&node.value, *name) {
        (Value::Bool(_), "boolean") | (Value::Text(_), "string") => true,
        (Value::List(_), "array") | (Value::Object(_), "object") => true,
        (Value::Number(_), "number") => true,
        (Value::Number(_), "integer") => node.integer().is_some(),
        _ => false,
    };
    types.is_empty() || types.iter().any(is)
}

fn wrong_type(node: &Node, rules: &Json) -> Option<Mismatch> {
    let types = types(rules);
    let wanted = types.iter().map(|name| in_words(name)).collect::<Vec<_>>().join(" or ");
    let wants = |name: &str| types.contains(&name);
    let text = node.text().map(str::trim).unwrap_or_default();
    let help = match &node.value {
        Value::Text(_) if wants("boolean") => match text.to_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => "write true, without quotation marks".to_owned(),
            "false" | "no" | "off" | "0" | "" => "write false, without quotation marks".to_owned(),
            _ => "write true or false".to_owned(),
        },
        Value::Text(_) if wants("integer") && text.parse::<i64>().is_ok() => {
            format!("write {text}, without quotation marks")
        }
        Value::Number(number) if wants("boolean") => {
            format!("write {}", if number == "0" { "false" } else { "true" })
        }
        Value::Number(number) if wants("string") => format!("write \"{number}\""),
        Value::Number(_) if wants("integer") => "write a whole number".to_owned(),
        Value::List(items) if items.len() == 1 && !wants("array") => {
            "write the value without the brackets around it".to_owned()
        }
        Value::Text(_) if wants("object") && only_key(rules).is_some() => {
            format!("write {{ {:?}: {} }}", only_key(rules).unwrap_or_default(), node.shown())
        }
        _ if wants("array") => format!("put it between brackets: [{}]", node.shown()),
        _ => format!("write {wanted}"),
    };
    let what = format!("expected {wanted}, found {}", node.kind());
    Some(Mismatch { rule: "wrong-type", what, label: String::new(), help })
}

/// The required key of an object, if there is exactly one.
fn only_key(rules: &Json) -> Option<&str> {
    match rules.get("required")?.as_array()?.as_slice() {
        [one] => one.as_str(),
        _ => None,
    }
}

fn in_words(name: &str) -> &str {
    match name {
        "boolean" => "true or false",
        "integer" => "a whole number",
        "number" => "a number",
        "string" => "text",
        "array" => "a list",
        "object" => "an object",
        other => other,
    }
}

fn out_of_range(node: &Node, rules: &Json) -> Option<Mismatch> {
    let number = node.integer()?;
    let bound = |key: &str| rules.get(key).and_then(Json::as_i64).map(i128::from);
    let of_format = |name: &str| rules.get("format").and_then(Json::as_str) == Some(name);
    let most = bound("maximum").or(match () {
        () if of_format("uint8") => Some(i128::from(u8::MAX)),
        () if of_format("uint16") => Some(i128::from(u16::MAX)),
        () if of_format("uint32") => Some(i128::from(u32::MAX)),
        () if of_format("int64") => Some(i128::from(i64::MAX)),
        () => None,
    });
    let least = bound("minimum");
    let fits = least.is_none_or(|least| number >= least) && most.is_none_or(|most| number <= most);
    let range = match (least, most) {
        (Some(least), Some(most)) => format!("{least} to {most}"),
        (Some(least), None) => format!("{least} or more"),
        (None, Some(most)) => format!("at most {most}"),
        (None, None) => return None,
    };
    (!fits).then(|| Mismatch {
        rule: "out-of-range",
        what: format!("{number} is out of range"),
        label: format!("allowed: {range}"),
        help: format!("write a number of {range}"),
    })
}

/// Reports a word that is not among the permitted ones. An empty word counts as absent.
fn not_allowed(text: &str, rules: &Json) -> Option<Mismatch> {
    let words: Vec<&str> = rules.get("enum")?.as_array()?.iter().filter_map(Json::as_str).collect();
    if words.is_empty() || text.is_empty() || words.contains(&text) {
        return None;
    }
    let shown: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
    Some(Mismatch {
        rule: "not-allowed",
        what: format!("{text:?} is not allowed here"),
        label: did_you_mean(nearest(text, words)),
        help: format!("write one of {}", shown.join(", ")),
    })
}

/// Reports text that does not have the required format, such as an address.
fn malformed(text: &str, rules: &Json) -> Option<Mismatch> {
    let mismatch = |what: &str, help: &str| {
        let what = format!("{text:?} is not a valid {what}");
        Some(Mismatch { rule: "malformed", what, label: String::new(), help: help.to_owned() })
    };
    let is_v4 = |network: &IpNetwork| network.is_ipv4();
    match rules.get("format").and_then(Json::as_str)? {
        "ip" if !text.is_empty() && ip::address(text).is_err() => {
            mismatch("IP address", of_address(text))
        }
        "ipv4" if !ip::address(text).is_ok_and(|ip| matches!(ip, IpAddr::V4(_))) => {
            mismatch("IPv4 address", "write it as 192.0.2.1")
        }
        "cidr" if ip::cidr(text).is_err() => mismatch("subnet", of_subnet(text)),
        "ipv4-cidr" if !ip::cidr(text).is_ok_and(|network| is_v4(&network)) => {
            mismatch("IPv4 subnet", of_subnet(text))
        }
        "network" if text.parse::<IpNetwork>().is_err() => mismatch("subnet", of_subnet(text)),
        "mac" if !text.is_empty() => match kernel::Mac::parse(text) {
            None => mismatch("MAC address", "write it as 02:00:5e:10:00:01"),
            Some(mac) => {
                let what = format!("MAC address of an interface: {}", mac.obstacle()?);
                mismatch(
                    &what,
                    "use a unicast address, whose first byte is even: 02:00:5e:10:00:01",
                )
            }
        },
        "interface" => {
            let why = IfName::new(text).err()?;
            let help = format!(
                "{}: names have 1 to 15 characters, without / : % and white space",
                why.msg
            );
            mismatch("interface name", &help)
        }
        _ => None,
    }
}

fn of_address(text: &str) -> &'static str {
    match text.split_once('/') {
        Some((address, _)) if ip::address(address).is_ok() => {
            "write the address without a prefix length"
        }
        _ => "write it as 10.1.2.3 or fd00::3",
    }
}

fn of_subnet(text: &str) -> &'static str {
    match ip::address(text) {
        Ok(_) => "the prefix length is missing: write it as 10.1.2.0/24 or fd00:1::/64",
        Err(_) => "write it as 10.1.2.0/24 or fd00:1::/64",
    }
}
