//! Results as plugins of the field print them and as caches hold them, read as leniently as Go
//! reads them: an attachment that works must not be rolled back because of how its result is
//! written.

use serde_json::{Map, Value};

use crate::{AddResult, Result, SUPPORTED, Version, json};

/// A result in the version of the list: as the plugin printed it where that is the version already,
/// so that nothing is lost of what this crate does not know. A result without a version has that of
/// the list.
///
/// If this crate does not know the list's version, the result stays in its own.
pub(super) fn in_version(result: Value, version: Version) -> Result<Value> {
    let own = version_of(&result)?.unwrap_or(version);
    handed_on(result, own, version)
}

/// A cached result in the version of the list. Without a version of its own its shape tells: 0.1.0
/// had no versions in results.
pub(super) fn cached_in_version(result: Value, version: Version) -> Result<Value> {
    let is_old = |version: &Version| *version < Version::new(0, 3, 0);
    let shape = || shape(&result).filter(|shape| is_old(shape) != is_old(&version));
    let own = version_of(&result)?.or_else(shape).unwrap_or(version);
    handed_on(result, own, version)
}

fn handed_on(mut result: Value, own: Version, version: Version) -> Result<Value> {
    tidy(&mut result);
    let decoded = AddResult::from_json(&result, own)?;
    if own != version && SUPPORTED.contains(&version) {
        return decoded.to_value_lossy(version);
    }
    if let Some(object) = result.as_object_mut() {
        object.insert("cniVersion".to_owned(), Value::String(own.to_string()));
    }
    Ok(result)
}

/// A result that says its version, or has the shape of one.
pub(super) fn of_any_version(result: &Value) -> Result<AddResult> {
    let own = version_of(result)?.or_else(|| shape(result)).unwrap_or(Version::CURRENT);
    let mut result = result.clone();
    tidy(&mut result);
    AddResult::from_json(&result, own)
}

/// The version that a result says. As in the reference, an empty text and what is not text say
/// none.
fn version_of(result: &Value) -> Result<Option<Version>> {
    match json::get(result, "cniVersion").and_then(Value::as_str) {
        None | Some("") => Ok(None),
        Some(own) => Version::parse(own).map(Some),
    }
}

/// The version whose shape a result without a version has. None if it has no key by which to tell.
fn shape(result: &Value) -> Option<Version> {
    let has = |key: &&str| json::get(result, key).is_some();
    if ["ip4", "ip6"].iter().any(&has) {
        return Some(Version::new(0, 1, 0));
    }
    ["ips", "interfaces", "routes"].iter().any(has).then_some(Version::CURRENT)
}

/// Leaves out what Go reads and plugins stumble over: the version, which has been read, `null` in a
/// list, numbers out of range, an address or a route that says none.
fn tidy(result: &mut Value) {
    let Some(result) = result.as_object_mut() else { return };
    result.retain(|key, _| !key.eq_ignore_ascii_case("cniVersion"));
    let mut moved = Vec::new();
    for interfaces in values(result, "interfaces").filter_map(Value::as_array_mut) {
        moved = places(interfaces);
        interfaces.retain(|interface| !interface.is_null());
        interfaces.iter_mut().for_each(|interface| numbers(interface, &[("mtu", u32::MAX)]));
    }
    for ips in values(result, "ips").filter_map(Value::as_array_mut) {
        ips.retain(|ip| says(ip, "address"));
        for ip in ips {
            numbers(ip, &[("interface", u32::MAX)]);
            for index in keys(ip, "interface") {
                let old = index.as_u64().and_then(|index| usize::try_from(index).ok());
                if let Some(new) = old.and_then(|old| moved.get(old)) {
                    *index = new.map_or(Value::Null, Value::from);
                }
            }
        }
    }
    values(result, "routes").for_each(routes);
    for key in ["ip4", "ip6"] {
        values(result, key).flat_map(|single| keys(single, "routes")).for_each(routes);
    }
    for dns in values(result, "dns") {
        for key in ["nameservers", "search", "options"] {
            for list in keys(dns, key).filter_map(Value::as_array_mut) {
                list.retain(|item| !item.is_null());
            }
        }
    }
}

fn routes(routes: &mut Value) {
    let Value::Array(routes) = routes else { return };
    routes.retain(|route| says(route, "dst"));
    let limits = [
        ("mtu", u32::MAX),
        ("advmss", u32::MAX),
        ("priority", u32::MAX),
        ("table", u32::MAX),
        ("scope", u32::from(u8::MAX)),
    ];
    routes.iter_mut().for_each(|route| numbers(route, &limits));
}

/// For each item of a list its place among those that are not `null`.
fn places(items: &[Value]) -> Vec<Option<usize>> {
    let mut next = 0..;
    items.iter().map(|item| if item.is_null() { None } else { next.next() }).collect()
}

/// Whether an item of a list is to be kept: `null` is not, nor an object that lacks what it is
/// about. What else is wrong with it is an error.
fn says(item: &Value, key: &str) -> bool {
    let has = |(found, _): (&String, &Value)| found.eq_ignore_ascii_case(key);
    item.as_object().map_or(!item.is_null(), |object| object.iter().any(has))
}

/// Whole numbers as such also if they are written with a fraction, and `null` in place of those
/// that are negative or larger than the limit: the reference ignores these, too.
fn numbers(object: &mut Value, limits: &[(&str, u32)]) {
    for (key, limit) in limits {
        for value in keys(object, key) {
            let Some(number) = value.as_f64().filter(|number| number.fract() == 0.0) else {
                continue;
            };
            let is_possible = (0.0..=f64::from(*limit)).contains(&number);
            // The text of a whole number has no fraction.
            let whole = is_possible.then(|| format!("{number:.0}").parse::<u32>().ok());
            *value = whole.flatten().map_or(Value::Null, Value::from);
        }
    }
}

/// The values of a key of an object, whatever its case is.
fn keys<'a>(object: &'a mut Value, key: &str) -> impl Iterator<Item = &'a mut Value> {
    object.as_object_mut().into_iter().flat_map(move |object| values(object, key))
}

fn values<'a>(
    object: &'a mut Map<String, Value>,
    key: &str,
) -> impl Iterator<Item = &'a mut Value> {
    let same = object.iter_mut().filter(move |(found, _)| found.eq_ignore_ascii_case(key));
    same.map(|(_, value)| value)
}
