//! `cnitool gc`: removing attachments that are no longer wanted.

use std::collections::BTreeMap;

use libcni::runtime::AttachmentConfig;
use libcni::{Attachment, Error, Result, Version};

use crate::args::quoted;
use crate::ls::time::plural;
use crate::{Failure, Session, attach, caches, ls, netns, note};

mod unlisted;

use unlisted::{Life, Unlisted, Who};

/// Removes what is not valid, and announces it before. Returns an error if something stale stays.
pub fn gc(session: &Session<'_>) -> Result<String, Failure> {
    let Session { arguments, list, runtime, .. } = session;
    let valid = valid(session)?;
    let stale = runtime.stale(list, &valid)?;
    if list.disable_gc {
        note(&format!("the configuration of {} has disableGC: nothing is removed", list.name));
        return match stale.len() + uncached(session, &valid)?.len() {
            0 => Ok(String::new()),
            left => Err(stays(session, left, "because of disableGC").into()),
        };
    }
    if list.version < Version::new(1, 1, 0) {
        note(&format!(
            "the configuration of {0} is of version {1}, in which plugins know no GC: only what is \
             in the cache goes. Give it \"cniVersions\": [\"{1}\", \"1.1.0\"] too",
            list.name, list.version
        ));
    }
    let is_told = arguments.all || arguments.valid.is_some();
    let living = if is_told { Vec::new() } else { unlisted::living(list, &valid, &stale)? };
    let unlisted = match list.version >= Version::new(1, 1, 0) {
        true => match unlisted::find(list, &valid, &stale) {
            // The operator has said what lives, so nothing depends on the list.
            Err(error) if is_told => {
                note(&format!("what only the plugins remove is not listed: {error}"));
                BTreeMap::new()
            }
            found => found?,
        },
        false => BTreeMap::new(),
    };
    let refused = match is_told {
        true => None,
        false => refusal(session, &unlisted).or_else(|| refusal_of_entries(session, &living)),
    };
    let is_only_said = arguments.dry_run || refused.is_some();
    let doing = if is_only_said { "would remove" } else { "removing" };
    announce(session, doing, &stale, &unlisted);
    if let Some(refused) = refused {
        return Err(refused.into());
    }
    if !arguments.dry_run {
        attach::warn(&runtime.gc(list, &valid)?);
    }
    let knows_gc = list.version >= Version::new(1, 1, 0);
    if knows_gc && arguments.dry_run {
        return Ok(String::new());
    }
    match (uncached(session, &valid)?.as_slice(), knows_gc) {
        ([], _) => Ok(String::new()),
        (left @ [first, ..], true) => {
            Err(stays(session, left.len(), "because a plugin does not support GC")
                .details(one_by_one(session, first))
                .into())
        }
        (left, false) => {
            let why = "because plugins support GC only from cniVersion 1.1.0 on";
            Err(stays(session, left.len(), why).into())
        }
    }
}

/// Says on standard error what goes: the cache's attachments, and what only the plugins know.
fn announce(
    session: &Session<'_>,
    doing: &str,
    stale: &[AttachmentConfig],
    unlisted: &BTreeMap<Who, Unlisted>,
) {
    let list = &session.list;
    for conf in stale {
        let Attachment { container, ifname } = &conf.attachment;
        let netns = match conf.netns.as_str() {
            "" => "no namespace is known".to_owned(),
            path if netns::is_gone(path) => format!("{path} is gone"),
            path => format!("{path} is there"),
        };
        note(&format!("{doing} {container}/{ifname} from {} ({netns})", list.name));
    }
    for (who, Unlisted { has, life, .. }) in unlisted {
        let lives = life.as_ref().map_or_else(String::new, |life| format!("; {life}"));
        let has = has.join(", ");
        match who {
            Who::Network => note(&format!("{doing} {who} of {}: {has}", list.name)),
            _ => note(&format!(
                "{doing} {who} from {} (in no cache entry; has {has}{lives})",
                list.name
            )),
        }
    }
}

/// Returns why gc removes nothing: an attachment without a cache entry lives, and the operator gave
/// no list of valid ones.
fn refusal(session: &Session<'_>, unlisted: &BTreeMap<Who, Unlisted>) -> Option<Error> {
    let list = &session.list;
    let mut living = unlisted.iter().filter(|(_, it)| it.life.is_some()).peekable();
    let (who, _) = living.peek()?;
    let one = match who {
        Who::Attachment(who) => {
            let (container, ifname) = who.split_once('/').unwrap_or((who, ""));
            one_by_one(session, &(container.to_owned(), ifname.to_owned())) + "; "
        }
        // Its owner is not known, so there is no command for it.
        _ => String::new(),
    };
    let living = plural(living.count(), "attachment");
    let msg = format!(
        "nothing was removed: {living} of {} in no cache entry would lose the network alive",
        list.name
    );
    Some(Error::internal(msg).details(format!(
        "If another runtime made it, name its cache (--cache-dir) or what is valid (--valid, \
         --valid-file). {one}--all removes everything, living containers included"
    )))
}

/// Returns why gc removes nothing: the path of an attachment in the cache is gone, and its
/// namespace is not.
fn refusal_of_entries(session: &Session<'_>, living: &[(&Attachment, Life)]) -> Option<Error> {
    let (Attachment { container, ifname }, life) = living.first()?;
    let count = plural(living.len(), "attachment");
    let msg = format!(
        "nothing was removed: {count} of {} may live, although the path in the cache is gone: of \
         {container}/{ifname}, {life}",
        session.list.name
    );
    let one = one_by_one(session, &(container.to_string(), ifname.to_string()));
    Some(Error::internal(msg).details(format!(
        "Run gc on the host itself, where the paths lead to the namespaces, or say what is valid \
         (--valid, --valid-file). {one}; --all removes everything, living containers included"
    )))
}

/// The command that removes an attachment without a cache entry.
fn one_by_one(session: &Session<'_>, (container, ifname): &(String, String)) -> String {
    let Session { arguments, list, .. } = session;
    let ifname = if ifname.is_empty() { "eth0" } else { ifname };
    let [container, ifname] = [container.as_str(), ifname].map(quoted);
    format!(
        "`cnitool del {} /nowhere --container-id {container} --ifname {ifname}{}` removes one; \
         `cnitool ls {}` shows all",
        list.name,
        arguments.folders(),
        list.name
    )
}

/// The attachments that look leaked, have no cache entry, and are not in the caller's list.
fn uncached(session: &Session<'_>, valid: &[Attachment]) -> Result<Vec<(String, String)>, Failure> {
    let is_valid = |(container, ifname): &(String, String)| {
        valid.iter().any(|it| {
            it.container.as_str() == container
                && (ifname.is_empty() || it.ifname.as_str() == ifname)
        })
    };
    let mut uncached = ls::uncached(session.arguments)?;
    uncached.retain(|named| !is_valid(named));
    Ok(uncached)
}

fn stays(session: &Session<'_>, left: usize, why: &str) -> Error {
    let Session { arguments, list, .. } = session;
    let msg = format!("{} of {} not removed, {why}", plural(left, "attachment"), list.name);
    let command = format!("cnitool ls {}{}", list.name, arguments.folders());
    Error::internal(msg)
        .details(format!("`{command}` shows what looks leaked and how to remove it"))
}

/// The attachments in the caller's list; without a list, each one whose namespace exists, in this
/// cache or another.
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
    let mut valid: Vec<_> = alive.map(|cached| cached.conf.attachment).collect();
    let elsewhere = caches::live_elsewhere(&arguments.cache_dir)?;
    for (dir, cached) in elsewhere.into_iter().filter(|(_, it)| it.network == list.name) {
        let Attachment { container, ifname } = &cached.conf.attachment;
        note(&format!("keeping {container}/{ifname} of {}: it is in {}", list.name, dir.display()));
        valid.push(cached.conf.attachment);
    }
    Ok(valid)
}
