//! `cnitool gc`: removing attachments that are no longer wanted.

use libcni::{Attachment, Result, Version};

use crate::{Session, netns, note};

/// Removes what is not valid, and says so before it does.
pub fn gc(session: &Session<'_>) -> Result<String> {
    let Session { arguments, list, runtime, .. } = session;
    let valid = valid(session)?;
    let stale = runtime.stale(list, &valid)?;
    if list.disable_gc {
        note(&format!("the configuration of {} has disableGC: nothing is removed", list.name));
        return Ok(String::new());
    }
    if list.version < Version::new(1, 1, 0) {
        note(&format!(
            "the configuration of {0} is of version {1}, in which plugins know no GC: only what is in the cache goes. \
             Give it \"cniVersions\": [\"{1}\", \"1.1.0\"] too",
            list.name, list.version
        ));
    }
    let doing = if arguments.dry_run { "would remove" } else { "removing" };
    for conf in &stale {
        let Attachment { container, ifname } = &conf.attachment;
        let netns = match conf.netns.as_str() {
            "" => "no namespace is known".to_owned(),
            path if netns::is_gone(path) => format!("{path} is gone"),
            path => format!("{path} is there"),
        };
        note(&format!("{doing} {container}/{ifname} from {} ({netns})", list.name));
    }
    if !arguments.dry_run {
        runtime.gc(list, &valid)?;
    }
    Ok(String::new())
}

/// What the caller says is valid; otherwise every cached attachment whose namespace is still there.
fn valid(session: &Session<'_>) -> Result<Vec<Attachment>> {
    let Session { arguments, list, runtime, .. } = session;
    if arguments.all {
        return Ok(Vec::new());
    }
    if let Some(valid) = &arguments.valid {
        return Ok(valid.clone());
    }
    let cached = runtime.cache.attachments(None)?.into_iter();
    let alive =
        cached.filter(|cached| cached.network == list.name && !netns::is_gone(&cached.conf.netns));
    Ok(alive.map(|cached| cached.conf.attachment).collect())
}
