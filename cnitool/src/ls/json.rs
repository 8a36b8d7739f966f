//! The output as JSON.

use ipam::Holder;
use serde_json::{Map, Value, json};

use crate::ls::Look;
use crate::ls::attached::Attached;
use crate::ls::leak::{Leak, Why};
use crate::ls::pool::{KnownBy, Pool, RangeUse, SetUse, Tally};
use crate::ls::reserved::Holding;
use crate::ls::time::unix;
use crate::netns::State;

pub fn of(look: &Look) -> String {
    let ways = look.ways.iter().map(|way| {
        let command = Some(&way.command).filter(|command| !command.is_empty());
        json!({ "command": command, "about": way.about })
    });
    let attachments = || look.attached.iter().map(attached).collect::<Vec<_>>();
    let json = json!({
        "attachments": look.is_cache_known.then(attachments),
        "pools": look.pools.iter().map(pool).collect::<Vec<_>>(),
        "looksLeaked": look.leaks.iter().map(leak).collect::<Vec<_>>(),
        "wayOut": ways.collect::<Vec<_>>(),
    });
    format!("{json:#}\n")
}

fn attached(one: &Attached) -> Value {
    let state = match one.state {
        State::There => "there",
        State::Gone => "gone",
        State::NoNamespace => "noNamespace",
        State::Unknown => "unknown",
    };
    json!({
        "network": one.network,
        "containerID": one.id.container,
        "ifname": one.id.ifname,
        "pod": pod(&one.pod),
        "addresses": one.addresses,
        "hostInterface": one.link,
        "hostInterfaceIsThere": one.is_link_there,
        "netns": one.netns,
        "netnsState": state,
        "since": one.since.and_then(unix),
        "file": one.file,
    })
}

fn pod(pod: &Option<(String, String)>) -> Value {
    match pod {
        Some((namespace, name)) => json!({ "namespace": namespace, "name": name }),
        None => Value::Null,
    }
}

fn pool(pool: &Pool) -> Value {
    let (known_by, file) = match &pool.known_by {
        KnownBy::File(file) => ("file", Some(file)),
        KnownBy::Cache => ("cache", None),
        KnownBy::Nobody => ("nobody", None),
    };
    let coming = pool.reservations.iter().filter(|one| one.state == Holding::BeingAdded);
    let coming = coming.map(|one| {
        let container = match &one.holder {
            Some(Holder::Attachment(it)) => Some(it.container.as_str()),
            Some(Holder::Container(it)) => Some(it.as_str()),
            _ => None,
        };
        json!({ "address": one.ip, "containerID": container, "since": one.since.and_then(unix) })
    });
    json!({
        "network": pool.network,
        "folder": pool.folder,
        "knownBy": known_by,
        "file": file,
        "ranges": pool.ranges.iter().map(range).collect::<Vec<_>>(),
        "sets": pool.sets.iter().map(set).collect::<Vec<_>>(),
        "inNoRange": tally(&pool.elsewhere),
        "beingAdded": coming.collect::<Vec<_>>(),
    })
}

fn set(set: &SetUse) -> Value {
    json!({ "taken": set.taken, "size": size(set.size()), "isNearlyFull": set.is_nearly_full() })
}

fn range(used: &RangeUse) -> Value {
    let (first, last) = used.range.ends().unzip();
    json!({
        "subnet": used.range.subnet(),
        "first": first,
        "last": last,
        "gateway": used.range.gateway(),
        "size": size(used.range.size()),
        "use": tally(&used.tally),
        "isFull": used.is_full(),
        "lastReserved": used.last,
        "onlyInCache": used.is_past,
    })
}

/// A number that JSON parsers can read. Very large numbers are rounded.
fn size(size: u128) -> Value {
    u64::try_from(size).map_or_else(|_| json!(size as f64), |size| json!(size))
}

fn tally(tally: &Tally) -> Value {
    let mut counts = Map::new();
    counts.insert("taken".to_owned(), json!(tally.taken()));
    for (state, count) in &tally.0 {
        let name = match state {
            Holding::Attached => "attached",
            Holding::NamespaceGone => "namespaceGone",
            Holding::NoNamespace => "noNamespace",
            Holding::NotInCache => "inNoCacheEntry",
            Holding::BeingAdded => "beingAdded",
            Holding::Unnamed => "namesNoContainer",
            Holding::Empty => "empty",
            Holding::Unknown => "unknown",
        };
        counts.insert(name.to_owned(), json!(count));
    }
    Value::Object(counts)
}

fn leak(leak: &Leak) -> Value {
    let why = match leak.why {
        Why::NamespaceGone => "namespaceGone",
        Why::NoNamespace => "noNamespace",
        Why::LinkGone => "hostInterfaceGone",
        Why::NotInCache => "reservationInNoCacheEntry",
        Why::LinkNotInCache => "hostInterfaceInNoCacheEntry",
        Why::Empty => "emptyReservation",
    };
    let known = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    json!({
        "why": why,
        "network": leak.network,
        "containerID": known(&leak.container),
        "ifname": known(&leak.ifname),
        "pod": pod(&leak.pod),
        "addresses": leak.addresses,
        "hostInterface": leak.link,
        "netns": known(&leak.netns),
        "since": leak.since.and_then(unix),
        "files": leak.files,
    })
}
