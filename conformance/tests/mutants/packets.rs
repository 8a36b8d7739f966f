//! Defects that packets show, and those of concurrent calls.

use super::table::{Mutant, mutant};

/// The defective plugins.
pub const MUTANTS: &[Mutant] = &[
    mutant(
        "ptp",
        "NET.PING.1,NET.PING.2,NET.PING.3",
        "the host drops ICMP",
        "of ADD && { filter input 0 'meta l4proto { icmp, ipv6-icmp } drop'; \
         filter forward 0 'meta l4proto { icmp, ipv6-icmp } drop'; }; real",
    ),
    mutant("loopback", "NET.PING.4", "lo stays down", "after inside ip link set lo down"),
    mutant(
        "ptp",
        "NET.TCP.1",
        "no TCP between containers",
        "of ADD && filter forward 0 'meta l4proto tcp reject with tcp reset'; real",
    ),
    mutant(
        "ptp",
        "NET.TCP.2",
        "no TCP to the host",
        "of ADD && filter input 0 'meta l4proto tcp reject with tcp reset'; real",
    ),
    mutant(
        "ptp",
        "NET.UDP.1",
        "no UDP",
        "of ADD && filter forward 0 'meta l4proto udp drop'; real",
    ),
    mutant(
        "ptp",
        "NET.MTU.1",
        "packets up to 1400 bytes",
        "of ADD && filter forward 0 'meta length > 1400 drop'; real",
    ),
    mutant(
        "ptp",
        "NET.MTU.2",
        "no fragments",
        "of ADD && filter prerouting -450 'ip frag-off & 0x3fff != 0 drop'; real",
    ),
    mutant(
        "bridge",
        "NET.REUSE.1",
        "the host keeps the first MAC address of an address",
        "OUT=$(real); S=$?; of ADD && { ADDRESS=$(printf %s \"$OUT\" | \
         jq -r '.ips[0].address | sub(\"/.*\"; \"\")'); FIRST=/run/testbed/mac-$ADDRESS; \
         [ -e $FIRST ] || mac > $FIRST; \
         ip neigh replace $ADDRESS lladdr $(cat $FIRST) dev cni0 nud permanent; }; \
         printf %s \"$OUT\"; exit $S",
    ),
    mutant(
        "bridge",
        "NET.REUSE.2",
        "containers keep the first MAC address of an address",
        "OUT=$(real); S=$?; of ADD && for pod in /run/netns/*; do nsenter --net=$pod \
         ip neigh add $(printf %s \"$OUT\" | jq -r '.ips[0].address | sub(\"/.*\"; \"\")') \
         lladdr $(mac) dev eth0 nud permanent; done; printf %s \"$OUT\"; exit $S",
    ),
    mutant(
        "ptp",
        "NET.REUSE.3",
        "a second ADD of an ID leaves the interface down",
        "[ -e $FILE ] && after inside ip link set \"$CNI_IFNAME\" down; \
         of DEL && touch $FILE; real",
    ),
    mutant("ptp", "NET.DEL.1", "DEL does nothing", "of DEL && exit 0; real"),
    mutant(
        "ptp",
        "NET.MASQ.2",
        "all packets are masqueraded",
        "of ADD && nft 'add table inet every; add chain inet every p { type nat hook postrouting \
         priority 90; }; add rule inet every p masquerade'; real",
    ),
    mutant(
        "ptp",
        "NET.MASQ.3",
        "DEL removes the rules of all containers",
        "real; S=$?; of DEL && nft flush ruleset; exit $S",
    ),
    mutant(
        "ptp",
        "NET.IPV6.1",
        "IPv6 is required",
        "of ADD && [ \"$(inside cat /proc/sys/net/ipv6/conf/all/disable_ipv6)\" = 1 ] && \
         fail 100 'no IPv6'; real",
    ),
    // Concurrent calls.
    mutant(
        "loopback",
        "RACE.ADD.1,RACE.MIX.1,RACE.DEL.1,RACE.DEL.2",
        "an error if another call has the lock",
        "of VERSION || mkdir /run/testbed/lock 2> /dev/null || fail 100 'locked'; \
         real; S=$?; sleep 0.05; rmdir /run/testbed/lock; exit $S",
    ),
    mutant(
        "ptp",
        "RACE.SAME.1",
        "only the first DEL has an effect",
        "of DEL && { [ -e $FILE ] && exit 0; touch $FILE; }; real",
    ),
];
