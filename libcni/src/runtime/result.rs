//! Reads results of third-party plugins and of caches as leniently as Go does: a working attachment
//! must not be rolled back because of the spelling of its result.

use serde_json::{Map, Value};

use crate::{AddResult, Result, SUPPORTED, Version, json};

/// Converts a result to the version of the list. A result that already has this version is passed
/// on as printed, so that keys unknown to this crate are kept. A result without a version has the
/// version of the list.
///
/// If this crate does not know the list's version, the result keeps its own version.
pub(super) fn in_version(result: Value, version: Version) -> Result<Value> {
    let own = version_of(&result)?.unwrap_or(version);
    handed_on(result, own, version)
}

/// Converts a cached result to the version of the list. Without a version of its own, its shape
/// determines the version, because results of 0.1.0 have none.
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

/// Reads a result in its own version, or in the version of its shape.
pub(super) fn of_any_version(result: &Value) -> Result<AddResult> {
    let own = version_of(result)?.or_else(|| shape(result)).unwrap_or(Version::CURRENT);
    let mut result = result.clone();
    tidy(&mut result);
    AddResult::from_json(&result, own)
}

/// The version that a result names. As in the reference, an empty string and other types count as
/// absent.
fn version_of(result: &Value) -> Result<Option<Version>> {
    match json::get(result, "cniVersion").and_then(Value::as_str) {
        None | Some("") => Ok(None),
        Some(own) => Version::parse(own).map(Some),
    }
}

/// The version of a result without `cniVersion`, by its keys. `None` if no key is specific to a
/// version.
fn shape(result: &Value) -> Option<Version> {
    let has = |key: &&str| json::get(result, key).is_some();
    if ["ip4", "ip6"].iter().any(&has) {
        return Some(Version::new(0, 1, 0));
    }
    ["ips", "interfaces", "routes"].iter().any(has).then_some(Version::CURRENT)
}

/// Removes values that Go accepts and the strict decoder rejects: `cniVersion`, which has already
/// been read, `null` in lists, numbers out of range, and entries without an address or a
/// destination.
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

/// For each item of a list, its index without the `null` items.
fn places(items: &[Value]) -> Vec<Option<usize>> {
    let mut next = 0..;
    items.iter().map(|item| if item.is_null() { None } else { next.next() }).collect()
}

/// Whether to keep an item of a list. `null` and objects without this key are dropped; any other
/// mistake is an error.
fn says(item: &Value, key: &str) -> bool {
    let has = |(found, _): (&String, &Value)| found.eq_ignore_ascii_case(key);
    item.as_object().map_or(!item.is_null(), |object| object.iter().any(has))
}

/// Converts whole numbers that are written with a fraction, and replaces negative numbers and
/// numbers above the limit by `null`, because the reference ignores them.
fn numbers(object: &mut Value, limits: &[(&str, u32)]) {
    for (key, limit) in limits {
        for value in keys(object, key) {
            let Some(number) = value.as_f64().filter(|number| number.fract() == 0.0) else {
                continue;
            };
            let is_possible = (0.0..=f64::from(*limit)).contains(&number);
            // Formatting a whole number with no decimals is exact.
            let whole = is_possible.then(|| format!("{number:.0}").parse::<u32>().ok());
            *value = whole.flatten().map_or(Value::Null, Value::from);
        }
    }
}

/// The values of a key of an object, in any case.
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
