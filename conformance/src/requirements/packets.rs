//! Packets between containers, and between containers and the host, from the first one on.

mod again;
mod beyond;
mod reach;

use crate::profile::{Kind, Profile, Reach};
use crate::requirement::{AppliesTo, Requirement, expected};

/// The profile says which destinations a container must reach.
const TO_HOST: AppliesTo =
    AppliesTo::Where(|profile| reaches(profile, Reach::Host), "connect containers with the host");
const TO_CONTAINERS: AppliesTo = AppliesTo::Where(
    |profile| reaches(profile, Reach::Container),
    "connect containers with each other",
);
const TO_ANY: AppliesTo =
    AppliesTo::Where(|profile| !profile.reaches.is_empty() && makes(profile), "connect containers");
const MASQUERADES: AppliesTo = AppliesTo::Where(
    |profile| makes(profile) && profile.config.get("ipMasq").is_some_and(|on| on == true),
    "masquerade, and whose profile enables it (`ipMasq`)",
);

/// The chapter.
pub const REQUIREMENTS: &[Requirement] = &[
    expected(
        "NET.PING.1",
        "A container must answer the first packet from another container",
        TO_CONTAINERS,
        reach::container_to_container,
    ),
    expected(
        "NET.PING.2",
        "A container must answer the first packet from the host",
        TO_HOST,
        reach::host_to_container,
    ),
    expected(
        "NET.PING.3",
        "The gateway on the host must answer the first packet from a container",
        TO_HOST,
        reach::container_to_host,
    ),
    expected(
        "NET.PING.4",
        "A container must reach its own loopback addresses, if the result has them",
        AppliesTo::Interfaces,
        reach::loopback,
    ),
    expected(
        "NET.TCP.1",
        "Containers must be able to exchange a megabyte over TCP",
        TO_CONTAINERS,
        reach::tcp_between_containers,
    ),
    expected(
        "NET.TCP.2",
        "A container and the host must be able to exchange a megabyte over TCP, in both directions",
        TO_HOST,
        reach::tcp_with_host,
    ),
    expected("NET.UDP.1", "A container must be able to answer a UDP datagram", TO_ANY, reach::udp),
    expected(
        "NET.MTU.1",
        "Packets as large as the interface's MTU must pass unfragmented",
        TO_ANY,
        reach::full_size,
    ),
    expected("NET.MTU.2", "Larger packets must arrive in fragments", TO_ANY, reach::fragments),
    expected(
        "NET.REUSE.1",
        "The host must reach an address at once that another container had before",
        TO_HOST,
        again::address_from_host,
    ),
    expected(
        "NET.REUSE.2",
        "A container must reach an address at once that another container had before",
        TO_CONTAINERS,
        again::address_from_container,
    ),
    expected(
        "NET.REUSE.3",
        "A container that is added again with the same ID must be reachable at once",
        TO_ANY,
        again::id,
    ),
    expected(
        "NET.DEL.1",
        "After DEL the address must no longer answer",
        TO_ANY,
        again::succeeds_without_output,
    ),
    expected(
        "NET.DEL.2",
        "After DEL of one container the other containers must still be reachable",
        TO_ANY,
        again::others,
    ),
    expected(
        "NET.MASQ.1",
        "Packets to outside networks must have the host's source address",
        MASQUERADES,
        beyond::outside,
    ),
    expected(
        "NET.MASQ.2",
        "Packets between containers must keep their source addresses",
        MASQUERADES,
        beyond::inside,
    ),
    expected(
        "NET.MASQ.3",
        "After DEL another container must still reach outside networks",
        MASQUERADES,
        beyond::after_del,
    ),
    expected(
        "NET.IPV6.1",
        "A container with IPv6 disabled must be reachable over IPv4",
        TO_ANY,
        beyond::without_ipv6,
    ),
];

fn makes(profile: &Profile) -> bool {
    profile.kind == Kind::Interface
}

fn reaches(profile: &Profile, whom: Reach) -> bool {
    makes(profile) && profile.reaches.contains(&whom)
}
