//! Defects in the effects on the host.

use super::table::{Mutant, mutant};

/// The defective plugins.
pub const MUTANTS: &[Mutant] = &[
    mutant(
        "ptp",
        "LINUX.DEL.3",
        "a file for each container stays",
        "mkdir -p /var/lib/of-the-kit; touch /var/lib/of-the-kit/$CNI_CONTAINERID; real",
    ),
    mutant("loopback", "LINUX.DEL.1", "DEL leaves lo up", "of DEL && exit 0; real"),
    mutant("ptp", "LINUX.HOST.3", "a file in /tmp stays", "touch /tmp/$CNI_CONTAINERID; real"),
    mutant(
        "bridge",
        "NET.MASQ.1",
        "the host does not forward",
        "real; S=$?; echo 0 > /proc/sys/net/ipv4/ip_forward; exit $S",
    ),
    mutant("tuning", "S3.CHAIN.1", "a domain is lost", "result '.dns.search = []'"),
    // After ADD.
    mutant(
        "ptp",
        "LINUX.ADD.1",
        "the interface stays down",
        "after inside ip link set \"$CNI_IFNAME\" down",
    ),
    mutant(
        "ptp",
        "LINUX.ADD.2",
        "the result has an earlier MAC address",
        "after inside ip link set \"$CNI_IFNAME\" address 02:00:00:00:00:07",
    ),
    mutant(
        "ptp",
        "LINUX.ADD.3",
        "another prefix length",
        "result '.ips[0].address |= sub(\"/.*\"; \"/16\")'",
    ),
    mutant(
        "ptp",
        "LINUX.ADD.4",
        "ADD does not wait until an IPv6 address is usable",
        "after inside sh -c 'for key in accept_dad=1 dad_transmits=60; do \
         sysctl -qw net.ipv6.conf.eth0.$key; done; \
         A=$(ip -o -6 addr show dev eth0 scope global | awk \"{print \\$4}\"); \
         ip addr del $A dev eth0; ip addr add $A dev eth0'",
    ),
    mutant("ptp", "LINUX.ADD.5", "no default route", "after inside ip route del default"),
    mutant(
        "ptp",
        "LINUX.ADD.6",
        "all routes are in the main table",
        "after inside sh -c 'ip route flush table 88; ip route add 198.51.100.0/24 via 10.1.2.1'",
    ),
    mutant(
        "ptp",
        "LINUX.ADD.7",
        "routes have no MTU",
        "after inside ip route replace 198.51.100.0/24 via 10.1.2.1",
    ),
    mutant(
        "ptp",
        "LINUX.ADD.8",
        "a further link in the container",
        "after inside ip link add more type veth peer name more-peer",
    ),
    mutant(
        "ptp",
        "LINUX.ADD.9",
        "a further address in the container",
        "after inside ip addr add 10.1.2.250/32 dev \"$CNI_IFNAME\"",
    ),
    mutant(
        "ptp",
        "LINUX.ADD.10",
        "the host's link is not in the result",
        "result '.interfaces |= map(select(.sandbox)) | .ips[].interface = 0'",
    ),
    mutant(
        "ptp",
        "LINUX.ADD.11",
        "an address on lo",
        "after inside ip addr add 10.77.9.9/32 dev lo",
    ),
    mutant("ptp", "LINUX.ADD.12", "no `mtu`", "config 'del(.mtu)'; real"),
    // After DEL, and on the host.
    mutant("ptp", "LINUX.DEL.5", "DEL wants no `mtu`", "of DEL && has .mtu && exit 0; real"),
    mutant(
        "ptp",
        "LINUX.HOST.1",
        "a setting of the host is changed",
        "after sysctl -qw net.ipv4.conf.all.rp_filter=2",
    ),
    mutant(
        "ptp",
        "LINUX.HOST.2",
        "the firewall's other tables are flushed",
        "of ADD && nft flush ruleset; real",
    ),
    mutant(
        "ptp",
        "LINUX.HOST.4",
        "a mount stays",
        "mkdir -p $FILE-mount; after mount -t tmpfs none $FILE-mount",
    ),
    mutant(
        "ptp",
        "LINUX.HOST.5",
        "a process goes on",
        "of ADD && sleep 100 < /dev/null > /dev/null 2>&1 & real",
    ),
    // Names.
    mutant(
        "ptp",
        "LINUX.NAME.3",
        "IDs up to 64 characters",
        "[ ${#CNI_CONTAINERID} -gt 64 ] && fail 4 'CNI_CONTAINERID is too long'; real",
    ),
    mutant(
        "ptp",
        "LINUX.NAME.5",
        "the name must be free on the host",
        "of ADD && ip link show \"$CNI_IFNAME\" > /dev/null 2>&1 && fail 100 'it exists'; real",
    ),
    mutant(
        "ptp",
        "LINUX.NAME.6",
        "the first 64 characters of an ID",
        "export CNI_CONTAINERID=$(printf %s \"$CNI_CONTAINERID\" | head -c 64); real",
    ),
];
