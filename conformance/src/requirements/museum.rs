//! Published holes in CNI plugins, one file for each: the feature works, and what must not happen does not.

mod files;
mod foreign_traffic;
mod isolation;
mod localhost;
mod mac_spoofing;
mod names;
mod plugin_paths;
mod router_advertisements;
mod rule_injection;
mod scenes;
mod servers;
mod service_rules;
mod shell;
mod sites;
mod stale_ports;
mod sysctl;

use crate::requirement::Requirement;

/// The chapter.
pub const REQUIREMENTS: &[Requirement] = &[
    plugin_paths::IPAM_TYPE,
    names::NAMES,
    shell::COMMANDS,
    rule_injection::RULES,
    sysctl::KEYS,
    files::PROGRAM,
    files::STATE,
    files::SYMLINK,
    mac_spoofing::SPOOFED,
    isolation::SAME_BRIDGE,
    router_advertisements::ADVERTISED,
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
