//! Finds duplicate keys, of which Go's decoder silently uses the last.

use std::collections::HashMap;

use crate::lint::document::{Member, Node, Value};
use crate::lint::problem::Problem;

/// Objects whose keys are data, and are therefore matched exactly.
const MAPS: [&str; 2] = ["sysctl", "capabilities"];

/// Checks every object of a document.
pub fn check(root: &Node, problems: &mut Vec<Problem>) {
    match &root.value {
        Value::Object(members) => {
            let key = root.at.path.rsplit('.').next().unwrap_or_default();
            twice(members, MAPS.contains(&key), problems);
            members.iter().for_each(|member| check(&member.node, problems));
        }
        Value::List(items) => items.iter().for_each(|item| check(item, problems)),
        _ => {}
    }
}

fn twice(members: &[Member], is_map: bool, problems: &mut Vec<Problem>) {
    let mut seen: HashMap<String, &Member> = HashMap::new();
    for member in members {
        let key = if is_map { member.key.clone() } else { member.key.to_ascii_lowercase() };
        let Some(before) = seen.insert(key, member) else { continue };
        let problem = if before.key == member.key {
            let what = format!("the key {:?} is a duplicate", member.key);
            Problem::warning("duplicate-key", &member.key_at, what)
                .label("only this one counts")
                .why("decoders use the last one and silently ignore the others")
        } else {
            let what = format!("{:?} and {:?} are the same key", before.key, member.key);
            Problem::warning("key-by-case", &member.key_at, what).why(
                "plugins match keys in any case, and it depends on the plugin which of the two \
                 counts",
            )
        };
        problems.push(problem.also(&before.key_at, "first here").help("remove one of them"));
    }
}
