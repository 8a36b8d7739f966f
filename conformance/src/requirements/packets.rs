//! Packets: between containers, to the host and back, from the first one on.

mod again;
mod beyond;
mod reach;

use crate::profile::{Kind, Profile, Reach};
use crate::requirement::{Of, Requirement, expected};

/// What connectivity is asked of a plugin by its profile.
const TO_HOST: Of =
    Of::That(|profile| reaches(profile, Reach::Host), "connect containers with the host");
const TO_CONTAINERS: Of =
    Of::That(|profile| reaches(profile, Reach::Container), "connect containers with each other");
const TO_ANY: Of =
    Of::That(|profile| !profile.reaches.is_empty() && makes(profile), "connect containers");
const MASQUERADES: Of = Of::That(
    |profile| makes(profile) && profile.config.get("ipMasq").is_some_and(|on| on == true),
    "masquerade, and are configured to (`ipMasq`)",
);

/// The chapter.
pub const REQUIREMENTS: &[Requirement] = &[
    expected(
        "NET.PING.1",
        "the first packet from one container to another is answered",
        TO_CONTAINERS,
        reach::container_to_container,
    ),
    expected(
        "NET.PING.2",
        "the first packet from the host to a container is answered",
        TO_HOST,
        reach::host_to_container,
    ),
    expected(
        "NET.PING.3",
        "the first packet from a container to its gateway on the host is answered",
        TO_HOST,
        reach::container_to_host,
    ),
    expected(
        "NET.PING.4",
        "a container reaches its own loopback addresses, if the result has them",
        Of::Interfaces,
        reach::loopback,
    ),
    expected(
        "NET.TCP.1",
        "a megabyte arrives over TCP between containers",
        TO_CONTAINERS,
        reach::tcp_between_containers,
    ),
    expected(
        "NET.TCP.2",
        "a megabyte arrives over TCP between a container and the host, both ways",
        TO_HOST,
        reach::tcp_with_host,
    ),
    expected("NET.UDP.1", "a datagram is answered", TO_ANY, reach::udp),
    expected(
        "NET.MTU.1",
        "packets as large as the interface's MTU pass unfragmented",
        TO_ANY,
        reach::full_size,
    ),
    expected("NET.MTU.2", "larger packets arrive in fragments", TO_ANY, reach::fragments),
    expected(
        "NET.REUSE.1",
        "an address that another container had is reachable from the host at once",
        TO_HOST,
        again::address_from_host,
    ),
    expected(
        "NET.REUSE.2",
        "an address that another container had is reachable from a container at once",
        TO_CONTAINERS,
        again::address_from_container,
    ),
    expected(
        "NET.REUSE.3",
        "a container that is added again under its id is reachable at once",
        TO_ANY,
        again::id,
    ),
    expected("NET.DEL.1", "after DEL the address no longer answers", TO_ANY, again::silent),
    expected(
        "NET.DEL.2",
        "after DEL of one container the others are still reachable",
        TO_ANY,
        again::others,
    ),
    expected(
        "NET.MASQ.1",
        "the world outside sees the host's address",
        MASQUERADES,
        beyond::outside,
    ),
    expected(
        "NET.MASQ.2",
        "between containers addresses stay as they are",
        MASQUERADES,
        beyond::inside,
    ),
    expected(
        "NET.MASQ.3",
        "after DEL another container still reaches the world outside",
        MASQUERADES,
        beyond::after_del,
    ),
    expected(
        "NET.IPV6.1",
        "a container whose IPv6 is switched off is reachable by IPv4",
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
