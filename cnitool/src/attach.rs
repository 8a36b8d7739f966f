//! The specification's verbs, for one namespace.

use std::io::{self, IsTerminal};

use libcni::runtime::AttachmentConfig;
use libcni::{Context, Error, Result, Version, output};

use crate::found::{self, Found};
use crate::{Session, before, capabilities, note};

/// Joins the namespace to the network. What a failing chain left behind is taken down again.
pub fn add(session: &Session<'_>) -> Result<String> {
    let Session { runtime, list, .. } = session;
    let conf = session.arguments.conf()?;
    capabilities::check(session)?;
    // A failed add must not delete an attachment that existed before. If two calls add the same
    // attachment, the second waits for the first, and finds the attachment.
    let _turn = before::turn(session, &conf)?;
    let known = before::is_known(session, &conf);
    let end = if io::stdout().is_terminal() { "\n" } else { "" };
    // The plugins have done their work: what the list's version cannot express is left out.
    let added = runtime.add(list, &conf).and_then(|result| result.to_json_lossy(list.version));
    // A failed add must leave nothing, and a result that cannot be written is a failure.
    let told = added.and_then(|json| {
        output::write(&(json + end)).context(|| "cannot write the result to standard output")
    });
    match told {
        Ok(()) => Ok(String::new()),
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
    let Session { runtime, list, .. } = session;
    let Found { conf, is_cached, unread } = found::attachment(session)?;
    if let Some(error) = unread {
        return Err(error);
    }
    // `Runtime::check` refuses a version that has no CHECK.
    if !is_cached && list.version >= Version::new(0, 4, 0) {
        return Err(found::unknown(session, &conf));
    }
    runtime.check(list, &conf)?;
    if list.disable_check {
        note(&format!("the configuration of {} has disableCheck: nothing was checked", list.name));
        return Ok(String::new());
    }
    Ok(well())
}

/// Detaches the namespace from the network. DEL needs no cache entry, but a namespace that was
/// never attached may be a mistake, so it is reported.
pub fn del(session: &Session<'_>) -> Result<String> {
    let Found { conf, is_cached, unread } = found::attachment(session)?;
    warn(&session.runtime.del(&session.list, &conf)?);
    match unread {
        Some(error) => note(&format!(
            "cnitool: warning: {error}. DEL was run for container ID {} without the cache: an \
             attachment that another runtime made is not found by its namespace then. Make the \
             folder readable, or name the attachment with --container-id",
            conf.attachment.container
        )),
        None if !is_cached => {
            let unknown = found::unknown(session, &conf);
            note(&format!("{unknown}. DEL was run for this container ID all the same"));
        }
        None => {}
    }
    Ok(String::new())
}

/// Could an ADD be served?
pub fn status(session: &Session<'_>) -> Result<String> {
    let Session { runtime, list, .. } = session;
    runtime.status(list)?;
    if list.version < Version::new(1, 1, 0) {
        note(&format!(
            "nothing was checked: the configuration of {0} is of version {1}, in which plugins \
             know no STATUS. Give it \"cniVersions\": [\"{1}\", \"1.1.0\"] too",
            list.name, list.version
        ));
        return Ok(String::new());
    }
    Ok(well())
}

/// Takes down what a failed ADD left. A signal that ended the ADD does not end this; a second one
/// does.
fn undo(session: &Session<'_>, conf: &AttachmentConfig) {
    if session.interrupt.received() {
        note("cnitool: interrupted; undoing the add");
    }
    match session.runtime.undo(&session.list, conf) {
        Ok(warnings) => warn(&warnings),
        Err(error) => note(&format!("cnitool: undoing the failed add failed, too: {error}")),
    }
}

/// Shows what went wrong without making the operation fail.
pub fn warn(warnings: &[Error]) {
    warnings.iter().for_each(|warning| note(&format!("cnitool: warning: {warning}")));
}

/// Silence is the answer scripts know. A person is told that all is well.
fn well() -> String {
    if io::stderr().is_terminal() {
        note("ok");
    }
    String::new()
}
