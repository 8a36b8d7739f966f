//! Packets: between containers, to the host and back, from the first one on.

mod again;
mod beyond;
mod reach;

use crate::bench::Bench;
use crate::profile::{Kind, Profile, Reach};
use crate::requirement::{Level, Of, Requirement, Verdict, Versions};

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
        TO_CONTAINERS,
        "the first packet from one container to another is answered",
        reach::container_to_container,
    ),
    expected(
        "NET.PING.2",
        TO_HOST,
        "the first packet from the host to a container is answered",
        reach::host_to_container,
    ),
    expected(
        "NET.PING.3",
        TO_HOST,
        "the first packet from a container to its gateway on the host is answered",
        reach::container_to_host,
    ),
    expected(
        "NET.PING.4",
        Of::Interfaces,
        "a container reaches its own loopback addresses, if the result has them",
        reach::loopback,
    ),
    expected(
        "NET.TCP.1",
        TO_CONTAINERS,
        "a megabyte arrives over TCP between containers",
        reach::tcp_between_containers,
    ),
    expected(
        "NET.TCP.2",
        TO_HOST,
        "a megabyte arrives over TCP between a container and the host, both ways",
        reach::tcp_with_host,
    ),
    expected("NET.UDP.1", TO_ANY, "a datagram is answered", reach::udp),
    expected(
        "NET.MTU.1",
        TO_ANY,
        "packets as large as the interface's MTU pass unfragmented",
        reach::full_size,
    ),
    expected("NET.MTU.2", TO_ANY, "larger packets arrive in fragments", reach::fragments),
    expected(
        "NET.REUSE.1",
        TO_HOST,
        "an address that another container had is reachable from the host at once",
        again::address_from_host,
    ),
    expected(
        "NET.REUSE.2",
        TO_CONTAINERS,
        "an address that another container had is reachable from a container at once",
        again::address_from_container,
    ),
    expected(
        "NET.REUSE.3",
        TO_ANY,
        "a container that is added again under its id is reachable at once",
        again::id,
    ),
    expected("NET.DEL.1", TO_ANY, "after DEL the address no longer answers", again::silent),
    expected(
        "NET.DEL.2",
        TO_ANY,
        "after DEL of one container the others are still reachable",
        again::others,
    ),
    expected(
        "NET.MASQ.1",
        MASQUERADES,
        "the world outside sees the host's address",
        beyond::outside,
    ),
    expected(
        "NET.MASQ.2",
        MASQUERADES,
        "between containers addresses stay as they are",
        beyond::inside,
    ),
    expected(
        "NET.MASQ.3",
        MASQUERADES,
        "after DEL another container still reaches the world outside",
        beyond::after_del,
    ),
    expected(
        "NET.IPV6.1",
        TO_ANY,
        "a container whose IPv6 is switched off is reachable by IPv4",
        beyond::without_ipv6,
    ),
];

const fn expected(
    id: &'static str,
    of: Of,
    says: &'static str,
    test: fn(&Bench) -> Verdict,
) -> Requirement {
    Requirement {
        id,
        source: "operators",
        says,
        level: Level::Expected,
        of,
        versions: Versions::Newest,
        test,
    }
}

fn makes(profile: &Profile) -> bool {
    profile.kind == Kind::Interface
}

fn reaches(profile: &Profile, whom: Reach) -> bool {
    makes(profile) && profile.reaches.contains(&whom)
}
