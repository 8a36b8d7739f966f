//! `cnitool repair`: live attachments made again what ADD left.

use libcni::runtime::Cached;
use libcni::{Error, Result};
use serde_json::json;

use crate::tree::printable;
use crate::{Session, note};

/// Repairs every cached attachment of the network, or those of the namespace given, and says what was put right.
pub fn repair(session: &Session<'_>) -> Result<String> {
    let Session { arguments, list, runtime, .. } = session;
    let (mut text, mut all, mut failed) = (String::new(), Vec::new(), None);
    for Cached { conf, .. } in wanted(session)? {
        let who = format!("{}/{}", conf.attachment.container, conf.attachment.ifname);
        match runtime.repair(list, &conf) {
            Ok(repairs) => {
                let lines = repairs.iter().flat_map(|(kind, lines)| {
                    lines
                        .iter()
                        .map(move |line| format!("put right by {kind}: {}", printable(line)))
                });
                let lines: Vec<String> = lines.collect();
                match lines.is_empty() {
                    true => text += &format!("{who}: nothing to repair\n"),
                    false => text.extend(lines.iter().map(|line| format!("{who}: {line}\n"))),
                }
                all.push(json!({ "attachment": conf.attachment, "repaired": lines }));
            }
            Err(error) => {
                let error = error.context(&who);
                if let Some(before) = failed.replace(error) {
                    note(&Error::to_string(&before));
                }
            }
        }
        if session.interrupt.received() {
            break;
        }
    }
    let text = if arguments.json { format!("{:#}\n", json!(all)) } else { text };
    match failed {
        None => Ok(text),
        Some(error) => {
            note(text.trim_end());
            Err(error)
        }
    }
}

fn wanted(session: &Session<'_>) -> Result<Vec<Cached>> {
    let Session { arguments, list, runtime, .. } = session;
    let mut cached = runtime.cache.attachments(None)?;
    cached.retain(|cached| cached.network == list.name);
    if let Some(netns) = &arguments.netns {
        cached.retain(|cached| cached.conf.netns == *netns);
    }
    if let Some(id) = &arguments.container_id {
        cached.retain(|cached| cached.conf.attachment.container.as_str() == id);
    }
    if cached.is_empty() {
        note(&format!("no attachment of {} is in the cache", list.name));
    }
    Ok(cached)
}
