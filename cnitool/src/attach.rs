//! The specification's verbs, for one namespace.

use std::io::{self, IsTerminal};

use libcni::{Result, runtime::RuntimeConf};

use crate::{Session, note};

/// Joins the namespace to the network. What a failing chain left behind is taken down again.
pub fn add(session: &Session<'_>) -> Result<String> {
    let Session { runtime, list, .. } = session;
    let conf = session.arguments.conf()?;
    // An attachment that was there before this call is not ours to take down.
    let known = runtime.cache.get(&list.name, &conf.attachment).is_ok_and(|known| known.is_some());
    let added = runtime.add(list, &conf).and_then(|result| result.to_json(list.version));
    match added {
        Ok(json) if io::stdout().is_terminal() => Ok(json + "\n"),
        Ok(json) => Ok(json),
        Err(error) => {
            if known {
                note("cnitool: nothing was undone, for this attachment was there before");
            } else {
                undo(session, &conf);
            }
            Err(error)
        }
    }
}

/// Is the attachment as ADD left it?
pub fn check(session: &Session<'_>) -> Result<String> {
    session.runtime.check(&session.list, &session.arguments.conf()?)?;
    Ok(well())
}

/// Takes the namespace out of the network.
pub fn del(session: &Session<'_>) -> Result<String> {
    session.runtime.del(&session.list, &session.arguments.conf()?)?;
    Ok(String::new())
}

/// Could an ADD be served?
pub fn status(session: &Session<'_>) -> Result<String> {
    session.runtime.status(&session.list)?;
    Ok(well())
}

/// Takes down what a failed ADD left. A signal that ended the ADD does not end this; a second one does.
fn undo(session: &Session<'_>, conf: &RuntimeConf) {
    if session.interrupt.received() {
        note("cnitool: interrupted; undoing the add");
    }
    if let Err(error) = session.runtime.undo(&session.list, conf) {
        note(&format!("cnitool: undoing the failed add failed, too: {error}"));
    }
}

/// Silence is the answer scripts know. A person is told that all is well.
fn well() -> String {
    if io::stderr().is_terminal() {
        note("ok");
    }
    String::new()
}
