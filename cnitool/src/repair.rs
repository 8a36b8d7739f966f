//! `cnitool repair`: live attachments made again what ADD left.

use libcni::runtime::{Cached, Repaired};
use libcni::{Error, Result, is_same_netns};
use serde_json::{Map, Value, json};

use crate::tree::printable;
use crate::{Failure, Session, found, note};

/// Repairs every cached attachment of the network, or those of the namespace given, and says what
/// was repaired.
///
/// The repairs are printed even if differences remain.
pub fn repair(session: &Session<'_>) -> Result<String, Failure> {
    let Session { arguments, list, runtime, .. } = session;
    let (mut text, mut all, mut failed) = (String::new(), Vec::new(), None);
    for Cached { conf, .. } in wanted(session)? {
        let who = format!("{}/{}", conf.attachment.container, conf.attachment.ifname);
        let repaired = runtime.repair(list, &conf).unwrap_or_else(Repaired::failed);
        let done = repaired.done.iter().flat_map(|(kind, lines)| {
            lines.iter().map(move |line| format!("repaired by {kind}: {}", printable(line)))
        });
        let done: Vec<String> = done.collect();
        let unasked: Vec<_> = repaired.unasked.iter().map(|error| printable(&error.msg)).collect();
        text.extend(done.iter().chain(&unasked).map(|line| format!("{who}: {line}\n")));
        match (&repaired.failed, done.is_empty(), unasked.is_empty()) {
            (None, true, true) => text += &format!("{who}: nothing to repair\n"),
            (None, _, false) if list.disable_check => {
                text += &format!("{who}: not checked, because of disableCheck\n")
            }
            (None, _, false) => text += &format!("{who}: CHECK finds nothing wrong\n"),
            _ => {}
        }
        let mut entry = Map::from_iter([
            ("attachment".to_owned(), json!(conf.attachment)),
            ("repaired".to_owned(), json!(done)),
        ]);
        if !unasked.is_empty() {
            entry.insert("unasked".to_owned(), json!(unasked));
        }
        if let Some(error) = repaired.failed {
            entry.insert("error".to_owned(), json!(error));
            if let Some(before) = failed.replace(error.context(&who)) {
                note(&Error::to_string(&before));
            }
        }
        all.push(Value::Object(entry));
        if session.interrupt.received() {
            break;
        }
    }
    let text = if arguments.json { format!("{:#}\n", json!(all)) } else { text };
    let Some(error) = failed else { return Ok(text) };
    if session.interrupt.received() {
        note(text.trim_end());
        return Err(error.into());
    }
    note(&error.to_string());
    Err(Failure::Answered(text))
}

fn wanted(session: &Session<'_>) -> Result<Vec<Cached>> {
    let Session { arguments, list, runtime, .. } = session;
    let mut cached = runtime.cache.attachments(None)?;
    cached.retain(|cached| cached.network == list.name);
    if let Some(netns) = &arguments.netns {
        cached.retain(|cached| is_same_netns(&cached.conf.netns, netns));
    }
    if let Some(id) = &arguments.container_id {
        cached.retain(|cached| cached.conf.attachment.container.as_str() == id);
    }
    if cached.is_empty() {
        if arguments.netns.is_some() || arguments.container_id.is_some() {
            return Err(found::unknown(session, &arguments.conf()?));
        }
        note(&format!("no attachment of {} is in the cache", list.name));
    }
    Ok(cached)
}
