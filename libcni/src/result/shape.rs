//! The three shapes a result has had, and the way between them and [`AddResult`].

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{AddResult, Dns, Interface, IpConfig, Route};
use crate::{Code, Error, Result, Version, ip, json};

/// The versions that share a shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    /// 0.1.0 and 0.2.0: one address of each kind.
    Ip4Ip6,
    /// 0.3.0 to 0.4.0: lists, and the kind of an address said beside it.
    Lists,
    /// From 1.0.0 on.
    Current,
}

impl Family {
    fn of(version: Version) -> Result<Family> {
        if !crate::SUPPORTED.contains(&version) {
            let msg = format!("unsupported CNI result version \"{version}\"");
            return Err(Error::new(Code::INCOMPATIBLE_VERSION, msg));
        }
        Ok(match version {
            version if version < Version::new(0, 3, 0) => Family::Ip4Ip6,
            version if version < Version::new(1, 0, 0) => Family::Lists,
            _ => Family::Current,
        })
    }

    /// The versions in the words of the reference's error.
    fn versions(self) -> &'static str {
        match self {
            Family::Ip4Ip6 => "[ 0.1.0 0.2.0]",
            Family::Lists => "[0.3.0 0.3.1 0.4.0]",
            Family::Current => "[1.0.0 1.1.0]",
        }
    }
}

impl AddResult {
    /// Reads a result in the shape of `version`, the configuration's. `null` is an empty result.
    ///
    /// An `ips[].interface` that is out of range is let pass: some plugins write results without
    /// their interfaces.
    ///
    /// # Errors
    ///
    /// [`Code::DECODE_FAILURE`] if the result says that it has another shape, or cannot be read;
    /// [`Code::INCOMPATIBLE_VERSION`] if there is no such version.
    pub fn from_json(value: &Value, version: Version) -> Result<AddResult> {
        let family = Family::of(version)?;
        if value.is_null() {
            return Ok(AddResult::default());
        }
        if let Some(own) = json::get(value, "cniVersion") {
            let bad = || {
                let msg = format!(
                    "result type supports {} but unmarshalled CNIVersion is {own}",
                    family.versions()
                );
                Error::new(Code::DECODE_FAILURE, msg)
            };
            let own = Version::parse(own.as_str().ok_or_else(bad)?).map_err(|_| bad())?;
            if Family::of(own) != Ok(family) {
                return Err(bad());
            }
        }
        match family {
            Family::Ip4Ip6 => json::from_value::<Ip4Ip6>(value)?.into_result(),
            Family::Lists | Family::Current => json::from_value(value),
        }
    }

    /// The result as ADD prints it for a configuration of `version`, without a newline at the end.
    ///
    /// ```
    /// use libcni::{AddResult, Version};
    ///
    /// let empty = AddResult::default();
    /// assert_eq!(empty.to_json(Version::new(1, 1, 0))?, "{\n    \"cniVersion\": \"1.1.0\"\n}");
    /// // Version 0.2.0 cannot express a result without an address.
    /// assert!(empty.to_json(Version::new(0, 2, 0)).is_err());
    /// # Ok::<(), libcni::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The result cannot be said in that version: there is no address, and 0.1.0 and 0.2.0 need
    /// one; or there is no such version.
    pub fn to_json(&self, version: Version) -> Result<String> {
        self.can_be_said_in(version)?;
        self.to_json_lossy(version)
    }

    /// As [`AddResult::to_json`], as far as the version can express it: for a runtime, which shows
    /// what plugins have made already. Without an address a result of 0.1.0 or 0.2.0 has neither
    /// `ip4` nor `ip6`. A version that this crate does not know gets the newest shape, under the
    /// newest version.
    ///
    /// ```
    /// use libcni::{AddResult, Version};
    ///
    /// let json = AddResult::default().to_json_lossy(Version::new(0, 2, 0))?;
    /// assert_eq!(json, "{\n    \"cniVersion\": \"0.2.0\",\n    \"dns\": {}\n}");
    /// # Ok::<(), libcni::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// It cannot be JSON.
    pub fn to_json_lossy(&self, version: Version) -> Result<String> {
        match Family::of(version).unwrap_or(Family::Current) {
            Family::Ip4Ip6 => json::pretty(&Ip4Ip6::from_result(self, version)),
            Family::Lists => json::pretty(&Lists::from_result(self, version)),
            Family::Current => json::pretty(&self.to_value_lossy(version)?),
        }
    }

    /// As [`AddResult::to_json`], for handing on: to the next plugin of a chain, or into a cache.
    ///
    /// # Errors
    ///
    /// As [`AddResult::to_json`].
    pub fn to_value(&self, version: Version) -> Result<Value> {
        self.can_be_said_in(version)?;
        self.to_value_lossy(version)
    }

    /// As [`AddResult::to_json_lossy`], for handing on.
    ///
    /// # Errors
    ///
    /// As [`AddResult::to_json_lossy`].
    pub fn to_value_lossy(&self, version: Version) -> Result<Value> {
        let (family, version) = match Family::of(version) {
            Ok(family) => (family, version),
            Err(_) => (Family::Current, Version::CURRENT),
        };
        let failed = |error: serde_json::Error| Error::internal(format!("write a result: {error}"));
        let mut value = match family {
            Family::Ip4Ip6 => serde_json::to_value(Ip4Ip6::from_result(self, version)),
            Family::Lists => serde_json::to_value(Lists::from_result(self, version)),
            Family::Current => serde_json::to_value(self),
        }
        .map_err(failed)?;
        if version < Version::new(1, 1, 0) {
            without_later_keys(&mut value);
        }
        let object = value.as_object_mut();
        object.map(|object: &mut Map<_, _>| {
            object.insert("cniVersion".to_owned(), version.to_string().into())
        });
        value.sort_all_objects();
        Ok(value)
    }

    /// Fails if the version does not exist, or needs an address and there is none.
    fn can_be_said_in(&self, version: Version) -> Result<()> {
        if Family::of(version)? == Family::Ip4Ip6 && self.ips.is_empty() {
            return Err(Error::internal("cannot convert: no valid IP addresses")
                .details(format!("a result of version {version} needs an address")));
        }
        Ok(())
    }
}

/// Takes what 1.1.0 added to interfaces out of a result of an older version.
fn without_later_keys(result: &mut Value) {
    let interfaces = result.get_mut("interfaces").and_then(Value::as_array_mut);
    for interface in interfaces.into_iter().flatten().filter_map(Value::as_object_mut) {
        for key in ["mtu", "socketPath", "pciID"] {
            interface.remove(key);
        }
    }
}

/// 0.1.0 and 0.2.0.
#[derive(Serialize, Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Ip4Ip6 {
    #[serde(rename = "cniVersion", skip_deserializing)]
    version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ip4: Option<Single>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ip6: Option<Single>,
    dns: Dns,
}

#[derive(Serialize, Deserialize)]
struct Single {
    #[serde(deserialize_with = "ip::read_cidr")]
    ip: IpNetwork,
    #[serde(default, deserialize_with = "ip::read_optional_address")]
    #[serde(skip_serializing_if = "Option::is_none")]
    gateway: Option<IpAddr>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    routes: Vec<Route>,
}

impl Ip4Ip6 {
    fn from_result(result: &AddResult, version: Version) -> Ip4Ip6 {
        let single = |is_v4: bool| {
            let first = result.ips.iter().find(|ip| ip.address.is_ipv4() == is_v4)?;
            let routes = result.routes.iter().filter(|route| route.dst.is_ipv4() == is_v4);
            let routes = routes.map(|route| Route::new(route.dst, route.gw)).collect();
            Some(Single { ip: first.address, gateway: first.gateway, routes })
        };
        let (ip4, ip6) = (single(true), single(false));
        Ip4Ip6 { version: version.to_string(), ip4, ip6, dns: result.dns.clone() }
    }

    fn into_result(self) -> Result<AddResult> {
        let mut result = AddResult { dns: self.dns, ..AddResult::default() };
        for (key, single) in [("ip4", self.ip4), ("ip6", self.ip6)] {
            let Some(Single { ip, gateway, routes }) = single else { continue };
            if ip.is_ipv4() != (key == "ip4") {
                let msg = format!("{key}.ip: {ip} is of the other address family");
                return Err(Error::new(Code::DECODE_FAILURE, msg));
            }
            result.ips.push(IpConfig { address: ip, gateway, interface: None });
            result.routes.extend(routes);
        }
        Ok(result)
    }
}

/// 0.3.0 to 0.4.0, for writing: read, it differs from the current shape only in what is ignored.
#[derive(Serialize)]
struct Lists<'a> {
    #[serde(rename = "cniVersion")]
    version: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    interfaces: Vec<Link<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ips: Vec<Address>,
    #[serde(skip_serializing_if = "<[Route]>::is_empty")]
    routes: &'a [Route],
    dns: &'a Dns,
}

#[derive(Serialize)]
struct Link<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    mac: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    sandbox: &'a str,
}

#[derive(Serialize)]
struct Address {
    version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    interface: Option<usize>,
    address: IpNetwork,
    #[serde(skip_serializing_if = "Option::is_none")]
    gateway: Option<IpAddr>,
}

impl<'a> From<&'a Interface> for Link<'a> {
    fn from(link: &'a Interface) -> Link<'a> {
        Link { name: &link.name, mac: &link.mac, sandbox: &link.sandbox }
    }
}

impl Lists<'_> {
    fn from_result(result: &AddResult, version: Version) -> Lists<'_> {
        let address = |ip: &IpConfig| Address {
            version: if ip.address.is_ipv4() { "4" } else { "6" },
            interface: ip.interface,
            address: ip.address,
            gateway: ip.gateway,
        };
        Lists {
            version: version.to_string(),
            interfaces: result.interfaces.iter().map(Link::from).collect(),
            ips: result.ips.iter().map(address).collect(),
            routes: &result.routes,
            dns: &result.dns,
        }
    }
}
