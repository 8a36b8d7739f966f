//! Finds the attachment that the command line names in the cache.

use libcni::runtime::{AttachmentConfig, Cached};
use libcni::{Code, Error, Result, is_same_netns};

use crate::Session;

/// An attachment, and whether the cache has it.
pub struct Found {
    pub conf: AttachmentConfig,
    pub is_cached: bool,
    /// Why the cache could not be searched: check fails then, and del goes on.
    pub unread: Option<Error>,
}

/// The attachment in the given namespace, with the arguments of this call.
///
/// First looks for the container ID that derives from the path's text, as the reference's cnitool
/// does. If the cache has none, looks for an attachment in the same namespace, whose path may be
/// written differently.
///
/// # Errors
///
/// Returns an error if several attachments match.
pub fn attachment(session: &Session<'_>) -> Result<Found> {
    let Session { arguments, list, runtime, .. } = session;
    let mut conf = arguments.conf()?;
    // An entry that cannot be read exists all the same: DEL deletes it, CHECK reports what is wrong
    // with it.
    let cached = match runtime.cache.get(&list.name, &conf.attachment) {
        Ok(None) if arguments.container_id.is_none() => match runtime.cache.attachments(None) {
            Ok(all) => in_namespace(session, &conf, all)?,
            Err(error) => return Ok(Found { conf, is_cached: false, unread: Some(error) }),
        },
        Ok(cached) => cached,
        Err(error) => {
            let is_cached = runtime.cache.has(&list.name, &conf.attachment) == Some(true);
            let unread = if is_cached { None } else { Some(error) };
            return Ok(Found { conf, is_cached, unread });
        }
    };
    let Some(cached) = cached else { return Ok(Found { conf, is_cached: false, unread: None }) };
    conf.attachment = cached.conf.attachment;
    // Plugins compare the path with that of ADD; those of the reference suite compare the text.
    if is_same_netns(&cached.conf.netns, &conf.netns) {
        conf.netns = cached.conf.netns;
    }
    Ok(Found { conf, is_cached: true, unread: None })
}

/// The attachment of the network that has an interface of this name in this namespace.
fn in_namespace(
    session: &Session<'_>,
    conf: &AttachmentConfig,
    mut all: Vec<Cached>,
) -> Result<Option<Cached>> {
    let list = &session.list;
    all.retain(|cached| {
        cached.network == list.name
            && cached.conf.attachment.ifname == conf.attachment.ifname
            && is_same_netns(&cached.conf.netns, &conf.netns)
    });
    if all.len() > 1 {
        let ids: Vec<_> = all.iter().map(|it| it.conf.attachment.container.as_str()).collect();
        let msg = format!("{} attachments of {} are in {}", ids.len(), list.name, conf.netns);
        let details = format!("name one with --container-id: {}", ids.join(", "));
        return Err(Error::config(msg).details(details));
    }
    Ok(all.pop())
}

/// The error for an attachment that is not in the cache.
pub fn unknown(session: &Session<'_>, conf: &AttachmentConfig) -> Error {
    let Session { arguments, list, .. } = session;
    let what = format!(
        "no attachment of {} is in the cache with container ID {} and interface {}",
        list.name, conf.attachment.container, conf.attachment.ifname
    );
    let what = match (&arguments.container_id, conf.netns.as_str()) {
        (None, path) => format!("{what}, nor one in the namespace {path}"),
        (Some(_), _) => what,
    };
    let command = format!("cnitool ls {}{}", list.name, arguments.folders());
    Error::new(Code::UNKNOWN_CONTAINER, what).details(format!("run `{command}` to list all"))
}
