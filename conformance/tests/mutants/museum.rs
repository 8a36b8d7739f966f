//! Defects of the museum: vulnerabilities and bugs of well-known plugins.

use super::table::{Mutant, mutant};

/// The defective plugins.
pub const MUTANTS: &[Mutant] = &[
    mutant(
        "ptp",
        "CVE-2021-20206",
        "a path as the type of the IPAM plugin",
        "TYPE=$(printf %s \"$IN\" | jq -r '.ipam.type? // \"\"'); \
         case $TYPE in */*) \"${CNI_PATH%%:*}/$TYPE\";; esac; real",
    ),
    mutant(
        "loopback",
        "CVE-2021-20206.names",
        "a file with the name of the container ID",
        "D=/var/lib/cni/containers; mkdir -p $D; of ADD && echo up > \"$D/$CNI_CONTAINERID\"; real",
    ),
    mutant(
        "loopback",
        "GHSA-vchx-5pr6-ffx2",
        "a command with the interface name",
        "of ADD && eval \"ip link show '$CNI_IFNAME'\" > /dev/null 2>&1; real",
    ),
    mutant(
        "ptp",
        "GHSA-vchx-5pr6-ffx2.rules",
        "the network's name in a rule",
        "of ADD && { nft 'add table inet names; add chain inet names c'; \
         printf 'add rule inet names c accept comment \"%s\"\\n' \"$(printf %s \"$IN\" | \
         jq -r .name)\" | nft -f -; }; real",
    ),
    mutant(
        "tuning",
        "CVE-2022-0811",
        "any sysctl",
        "of ADD && printf %s \"$IN\" | jq -r '.sysctl | to_entries[] | \"\\(.key)=\\(.value)\"' | \
         grep ^kernel | while read -r S; do sysctl -qw \"$S\"; done; real",
    ),
    Mutant { mode: 0o4755, ..mutant("loopback", "CVE-2024-33522", "setuid", "real") },
    mutant(
        "loopback",
        "CVE-2024-33522.state",
        "a file that all users can write to",
        "of ADD && { umask 0; touch /run/state; umask 022; }; real",
    ),
    mutant(
        "host-local",
        "host-local.symlink",
        "a link is followed",
        "of ADD && for file in /var/lib/cni/networks/*/10.*; do \
         [ -L $file ] && echo \"$CNI_CONTAINERID\" > $file; done; real",
    ),
    mutant("bridge", "plugins-639", "no `macspoofchk`", "config 'del(.macspoofchk)'; real"),
    mutant("firewall", "plugins-474", "no `ingressPolicy`", "config 'del(.ingressPolicy)'; real")
        .in_versions("1.0.0"),
    mutant(
        "ptp",
        "CVE-2020-10749",
        "the host accepts router advertisements",
        "after sh -c 'for link in $(ip -br link show type veth | cut -d@ -f1); do \
         sysctl -qw net.ipv6.conf.$link.accept_ra=2; done'",
    ),
    mutant(
        "ptp",
        "CVE-2020-8558",
        "the host routes 127.0.0.1",
        "after sysctl -qw net.ipv4.conf.all.route_localnet=1",
    ),
    mutant(
        "portmap",
        "CVE-2019-9946,plugins-222,CVE-2025-67499,CVE-2025-67499.address",
        "a rule in front of all others, for any destination",
        "TO=$(printf %s \"$IN\" | jq -r '.prevResult.ips[0].address | sub(\"/.*\"; \"\")'); \
         of ADD && iptables -w -t nat -I PREROUTING -p tcp --dport 8080 \
         -j DNAT --to-destination $TO:80; real",
    )
    .in_versions("1.0.0"),
    mutant("portmap", "podman-5097", "DEL does nothing", "of DEL && exit 0; real")
        .in_versions("1.0.0"),
    // The reference plugin does not meet these requirements.
    portmap(
        "CVE-2019-9946.nftables,CVE-2025-67499.nftables,CVE-2025-67499.address.nftables",
        "rules in front of all others, for any destination",
        &[("fib daddr type local ${own", "${own"), (" -90;", " -110;")],
    ),
    portmap(
        "plugins-729,moby-45610",
        "packets for 127.0.0.1 are not dropped",
        &[("iifname != lo ip daddr 127.0.0.0/8 drop", "accept")],
    ),
    portmap(
        "podman-5097.lost",
        "rules of a vanished container come first",
        &[("nft insert rule", "nft add rule")],
    ),
    portmap("plugins-123,plugins-1190", "tracked datagrams go on", &[("&& zone", "&& : zone")]),
];

/// A defect in a plugin that publishes ports with nf_tables.
const fn portmap(
    ids: &'static str,
    name: &'static str,
    edits: &'static [(&'static str, &'static str)],
) -> Mutant {
    let real = Some(include_str!("portmap.sh"));
    Mutant { real, edits, ..mutant("portmap", ids, name, "") }.in_versions("1.0.0")
}
