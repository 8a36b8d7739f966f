//! Addresses with a prefix length, as in results.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// An address with its prefix length: `10.1.2.3/24`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cidr {
    /// The address.
    pub ip: IpAddr,
    /// The prefix length in bits.
    pub prefix: u8,
}

impl FromStr for Cidr {
    type Err = String;

    fn from_str(text: &str) -> Result<Cidr, String> {
        let wrong = || format!("{text:?} is no address in CIDR notation");
        let (ip, prefix) = text.split_once('/').ok_or_else(wrong)?;
        let ip: IpAddr = ip.parse().map_err(|_| wrong())?;
        let digits = !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_digit());
        let prefix: u8 = prefix.parse().map_err(|_| wrong())?;
        match digits && prefix <= bits(ip) {
            true => Ok(Cidr { ip, prefix }),
            false => Err(wrong()),
        }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ip, self.prefix)
    }
}

impl Cidr {
    /// Whether the network contains an address.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let first = |ip: IpAddr| match (ip, self.prefix) {
            (_, 0) => 0,
            (IpAddr::V4(ip), prefix) => u128::from(ip.to_bits() >> (32 - prefix)),
            (IpAddr::V6(ip), prefix) => ip.to_bits() >> (128 - prefix),
        };
        self.is_like(ip) && first(ip) == first(self.ip)
    }

    /// Whether an address has the same family.
    pub fn is_like(&self, ip: IpAddr) -> bool {
        self.ip.is_ipv4() == ip.is_ipv4()
    }
}

fn bits(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { 32 } else { 128 }
}

#[cfg(test)]
mod tests {
    use super::Cidr;

    #[test]
    fn what_is_no_address_with_a_prefix_is_refused() {
        for text in ["10.1.2.3", "10.1.2.3/33", "10.1.2.300/24", "fd00::/129", "/24", "1.2.3.4/+8"]
        {
            assert!(text.parse::<Cidr>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_network_has_its_addresses_and_no_others() {
        let net: Cidr = "10.1.2.5/29".parse().unwrap();
        assert!(net.contains("10.1.2.7".parse().unwrap()));
        assert!(!net.contains("10.1.2.8".parse().unwrap()));
        assert!(!net.contains("fd00::1".parse().unwrap()));
        let all: Cidr = "::/0".parse().unwrap();
        assert!(all.contains("fd00::1".parse().unwrap()));
    }
}
