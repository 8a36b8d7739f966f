//! Published vulnerabilities and bugs of CNI plugins, with a file for each kind. The feature must
//! work, and the attack must not.
//!
//! The IDs are those of the advisories, or of an issue of a project: `plugins` is
//! containernetworking/plugins. A file also tests the same kind of defect elsewhere.
//!
//! Published, but not testable from outside for any plugin:
//! - CVE-2022-28224 (Calico, routes by an annotation that is disabled): it needs Calico's data in a
//!   cluster.
//! - CVE-2025-0750 and CVE-2024-3154 (CRI-O, paths of logs, annotations): vulnerabilities of the
//!   runtime, before it calls a plugin.
//! - CVE-2024-32473 (Docker, IPv6 in an IPv4 network): many users want the IPv6 that macvlan gives
//!   to a container.
//! - moby/moby issue 14041 (containers are reachable by a route through the host): with CNI a host
//!   is a router by design, and the firewall plugin filters.
//! - moby/moby issue 49554 (two macvlan networks of one switch reach each other): the switch
//!   connects them, not the plugin.
//! - CVE-1999-0511 (forwarding is enabled): containers need it.

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
mod tunnel_sources;

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
    tunnel_sources::ONLY_PEERS,
];
