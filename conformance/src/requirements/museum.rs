//! Published holes in CNI plugins, one file for each: the feature works, and what must not happen does not.
//!
//! Ids are those of the advisories, or of a project's issue: `plugins` is containernetworking/plugins. A file also tests
//! what is of the same kind elsewhere.
//!
//! Published, but nothing that any plugin can be tested for from outside:
//! - CVE-2022-28224 (Calico, routes by an annotation that is switched off): it needs Calico's data in a cluster.
//! - CVE-2025-0750 and CVE-2024-3154 (CRI-O, paths of logs, annotations): holes of the runtime, before a plugin is called.
//! - CVE-2024-32473 (Docker, IPv6 in a network of IPv4 only): what macvlan brings to a container that way, many want.
//! - moby/moby issue 14041 (containers reached by a route through the host): in CNI a host is a router on purpose, and
//!   the firewall plugin says who may pass.
//! - moby/moby issue 49554 (two macvlan networks of one switch talk): the switch joins them, not the plugin.
//! - CVE-1999-0511 (forwarding is on): it must be.

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
