//! Published holes in CNI plugins, one file for each: the feature works, and what must not happen does not.

mod foreign_traffic;
mod localhost;
mod servers;
mod service_rules;
mod sites;
mod stale_ports;

use crate::requirement::Requirement;

/// The chapter.
pub const REQUIREMENTS: &[Requirement] = &[
    service_rules::IN_FRONT,
    service_rules::IN_FRONT_NFTABLES,
    service_rules::SERVICE_ADDRESS,
    localhost::INTERFACES,
    localhost::PUBLISHED,
    localhost::PUBLISHED_LOCALLY,
    foreign_traffic::FOREIGN,
    foreign_traffic::FOREIGN_NFTABLES,
    foreign_traffic::FOREIGN_ADDRESS,
    foreign_traffic::FOREIGN_ADDRESS_NFTABLES,
    stale_ports::AFTER_DEL,
    stale_ports::WITHOUT_DEL,
    stale_ports::FLOW_TO_THE_NEXT,
    stale_ports::FLOW_TO_THE_HOST,
];
