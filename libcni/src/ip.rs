//! Addresses as text, by the rules of the CNI world (Go's): no leading zeros, a prefix length where
//! a subnet is meant, and IPv4 addresses mapped into IPv6 are IPv4.
//!
//! The functions named `read_*` are for serde's `deserialize_with`.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use serde::de::{Deserialize, Deserializer, Error as _};

use crate::{Code, Error, Result};

/// Reads an address.
///
/// ```
/// use libcni::ip;
///
/// assert_eq!(ip::address("::ffff:10.1.2.3")?.to_string(), "10.1.2.3");
/// assert!(ip::address("10.1.2.03").is_err());
/// # Ok::<(), libcni::Error>(())
/// ```
///
/// # Errors
///
/// [`Code::DECODE_FAILURE`] if it is none.
pub fn address(text: &str) -> Result<IpAddr> {
    match text.parse::<IpAddr>() {
        Ok(address) => Ok(address.to_canonical()),
        Err(_) => Err(Error::new(Code::DECODE_FAILURE, format!("invalid IP address: {text}"))),
    }
}

/// Reads an address with a prefix length; the bits of the host are kept.
///
/// ```
/// use libcni::ip;
///
/// assert_eq!(ip::cidr("10.1.2.3/16")?.to_string(), "10.1.2.3/16");
/// assert!(ip::cidr("10.1.2.3").is_err());
/// assert!(ip::cidr("10.1.2.3/255.255.0.0").is_err());
/// # Ok::<(), libcni::Error>(())
/// ```
///
/// # Errors
///
/// [`Code::DECODE_FAILURE`] if it is none.
pub fn cidr(text: &str) -> Result<IpNetwork> {
    let bad = || Error::new(Code::DECODE_FAILURE, format!("invalid CIDR address: {text}"));
    let (address, prefix) = text.split_once('/').ok_or_else(bad)?;
    if prefix.is_empty() || !prefix.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(bad());
    }
    let address: IpAddr = address.parse().map_err(|_| bad())?;
    let mut prefix: u8 = prefix.parse().map_err(|_| bad())?;
    if address != address.to_canonical() && prefix <= 128 {
        // The first 96 bits of a mapped address only say that it is one.
        prefix = prefix.checked_sub(96).ok_or_else(bad)?;
    }
    IpNetwork::new(address.to_canonical(), prefix).map_err(|_| bad())
}

/// Reads an address from a string.
///
/// # Errors
///
/// As [`address`].
pub fn read_address<'de, D: Deserializer<'de>>(from: D) -> Result<IpAddr, D::Error> {
    address(&String::deserialize(from)?).map_err(D::Error::custom)
}

/// Reads an address from a string; an empty one means none. Needs `#[serde(default)]` beside it.
///
/// # Errors
///
/// As [`address`].
pub fn read_optional_address<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<IpAddr>, D::Error> {
    match Option::<String>::deserialize(from)?.as_deref() {
        None | Some("") => Ok(None),
        Some(text) => address(text).map(Some).map_err(D::Error::custom),
    }
}

/// Reads an address with a prefix length from a string.
///
/// # Errors
///
/// As [`cidr`].
pub fn read_cidr<'de, D: Deserializer<'de>>(from: D) -> Result<IpNetwork, D::Error> {
    cidr(&String::deserialize(from)?).map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mapped_addresses_are_ipv4() {
        assert_eq!(cidr("::ffff:10.1.2.3/120").unwrap().to_string(), "10.1.2.3/24");
        assert!(cidr("::ffff:10.1.2.3/64").is_err());
    }

    #[test]
    fn invalid_addresses_with_a_prefix_are_refused() {
        for text in ["", "/", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/+8", "fd00::/129"] {
            let error = cidr(text).unwrap_err();
            assert_eq!(error.msg, format!("invalid CIDR address: {text}"));
        }
        for text in ["010.0.0.0/8", "10.0.0/8", "::ffff:10.0.0.0/300", "fd00::1%eth0/64"] {
            assert!(cidr(text).is_err(), "{text}");
        }
    }
}
