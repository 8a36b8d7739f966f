//! Defects of ADD, DEL, CHECK, GC and STATUS.

use super::table::{Mutant, mutant};

/// The defective plugins.
pub const MUTANTS: &[Mutant] = &[
    // ADD.
    mutant("loopback", "S2.ADD.1", "a result of 1.0.0", "result '.cniVersion = \"1.0.0\"'"),
    mutant(
        "ptp",
        "S2.ADD.3,LINUX.NAME.1",
        "one interface for each container",
        "of ADD && { [ -e $FILE ] && fail 100 'it has an interface already'; touch $FILE; }; real",
    ),
    mutant(
        "ptp",
        "S2.ADD.4",
        "an existing interface is deleted",
        "of ADD && inside ip link del \"$CNI_IFNAME\" 2> /dev/null; real",
    ),
    mutant(
        "ptp",
        "S2.ADD.5",
        "a failed ADD deletes the interface of an earlier one",
        "real; S=$?; of ADD && [ $S != 0 ] && inside ip link del \"$CNI_IFNAME\" 2> /dev/null; \
         exit $S",
    ),
    mutant(
        "ptp",
        "S2.ADD.6",
        "ADD flushes all addresses of the container",
        "of ADD && inside ip addr flush scope global; real",
    ),
    mutant(
        "ptp",
        "S4.ADD.5,S4.ANSWER.3,S2.ADD.7,S2.DEL.14",
        "a failed ADD leaves a link",
        "real; S=$?; of ADD && [ $S != 0 ] && ip link add leaked type veth peer name leaked-peer; \
         exit $S",
    ),
    mutant(
        "ptp",
        "S2.ADD.8,S4.ADD.4,S4.ANSWER.5",
        "a failed ADD does not release addresses",
        "of ADD && { mkdir -p /run/testbed/no-del; echo '#!/bin/sh\n[ $CNI_COMMAND = DEL ] || exec \
         /run/testbed/kit/bin/kit-ipam' > /run/testbed/no-del/kit-ipam; \
         chmod +x /run/testbed/no-del/kit-ipam; CNI_PATH=/run/testbed/no-del:$CNI_PATH; }; real",
    ),
    mutant(
        "ptp",
        "S2.ADD.9",
        "no ADD after one that failed",
        "of ADD && [ -e $FILE ] && fail 100 'it was added already'; \
         real; S=$?; of ADD && [ $S != 0 ] && touch $FILE; exit $S",
    ),
    mutant(
        "loopback",
        "S2.ADD.10",
        "no ADD after DEL",
        "of DEL && touch $FILE; of ADD && [ -e $FILE ] && fail 100 'it was deleted'; real",
    ),
    // DEL.
    mutant(
        "loopback",
        "S2.DEL.4",
        "DEL of what was never added is an error",
        "of ADD && touch $FILE; of DEL && [ ! -e $FILE ] && fail 3 'unknown container'; real",
    ),
    mutant(
        "ptp",
        "S4.DEL.4,S2.DEL.6,S2.DEL.7,LINUX.DEL.4",
        "DEL needs the namespace",
        "of DEL && [ ! -e \"$CNI_NETNS\" ] && fail 3 'no namespace'; real",
    ),
    mutant(
        "ptp",
        "S2.DEL.8",
        "DEL without prevResult does nothing",
        "of DEL && ! has .prevResult && exit 0; real",
    ),
    mutant(
        "ptp",
        "S2.DEL.9,S2.DEL.10",
        "DEL needs the interface",
        "of DEL && ! inside ip link show \"$CNI_IFNAME\" > /dev/null 2>&1 && \
         fail 3 'no interface'; real",
    ),
    mutant(
        "ptp",
        "S2.DEL.11,S2.DEL.13,NET.DEL.2,LINUX.DEL.2,RACE.NET.1",
        "DEL deletes all veth pairs of the host",
        "of DEL && for link in $(ip -br link show type veth | cut -d@ -f1); do \
         ip link del $link; done; real",
    ),
    mutant("ptp", "S2.DEL.12", "DEL removes net1 too", "of DEL && CNI_IFNAME=net1 real; real"),
    mutant(
        "ptp",
        "S2.DEL.15",
        "DEL deletes an interface of that name in the host's own namespace",
        "of DEL && inside ip link del \"$CNI_IFNAME\" 2> /dev/null; real",
    ),
    // CHECK.
    mutant(
        "ptp",
        "S2.CHECK.2,S2.CHECK.3,S2.CHECK.4,S2.CHECK.9",
        "CHECK does nothing",
        "of CHECK && exit 0; real",
    ),
    mutant(
        "ptp",
        "S2.CHECK.5",
        "CHECK accepts an interface that is down",
        "of CHECK && [ -z \"$(inside ip link show dev \"$CNI_IFNAME\" up)\" ] && exit 0; real",
    ),
    mutant(
        "ptp",
        "S2.CHECK.6",
        "CHECK looks at the first address only",
        "of CHECK && { has .prevResult || fail 7 prevResult; inside ip -o addr | \
         grep -q \"$(printf %s \"$IN\" | jq -r '.prevResult.ips[0].address')\" && exit 0; \
         fail 100 'no address'; }; real",
    ),
    mutant(
        "ptp",
        "S2.CHECK.7",
        "CHECK looks at no routes",
        "of CHECK && config 'del(.prevResult.routes)'; real",
    ),
    mutant(
        "ptp",
        "S2.CHECK.8",
        "CHECK accepts another MAC address",
        "of CHECK && has .prevResult && ! printf %s \"$IN\" | grep -q \"$(mac)\" && exit 0; real",
    ),
    mutant(
        "ptp",
        "S2.CHECK.10",
        "CHECK counts the addresses",
        "of CHECK && [ $(inside ip -o addr show dev \"$CNI_IFNAME\" scope global | wc -l) != 2 ] \
         && fail 100 'more addresses'; real",
    ),
    mutant(
        "ptp",
        "S2.CHECK.11",
        "CHECK wants the MAC address of ADD",
        "of CHECK && [ \"$(mac)\" != \"$(cat $FILE)\" ] && fail 100 'another MAC address'; \
         real; S=$?; of ADD && [ $S = 0 ] && mac > $FILE; exit $S",
    ),
    mutant(
        "ptp",
        "S2.CHECK.12",
        "CHECK wants a default route",
        "of CHECK && [ -z \"$(inside ip route show default)\" ] && \
         fail 100 'no default route'; real",
    ),
    mutant(
        "ptp",
        "S2.CHECK.13,S3.CHAIN.8",
        "CHECK counts the interfaces",
        "of CHECK && ! has '.prevResult.interfaces | length == 2 | select(.)' && \
         fail 100 'more interfaces'; real",
    ),
    mutant(
        "ptp",
        "S2.CHECK.15",
        "CHECK counts the host's veth pairs",
        "N=$(ip -br link show type veth | wc -l); of CHECK && [ $N != $(cat $FILE) ] && \
         fail 100 'more links'; real; S=$?; of ADD && ip -br link show type veth | wc -l > $FILE; \
         exit $S",
    ),
    // GC.
    mutant("loopback", "S2.GC.1", "GC prints something", "real && of GC && echo '{}'"),
    mutant(
        "loopback",
        "S2.GC.3",
        "GC wants exactly the keys it knows",
        "of GC && has '.\"cni.dev/valid-attachments\"[] | keys - [\"containerID\", \"ifname\"] | \
         .[]' && fail 7 'unknown key'; real",
    ),
    mutant(
        "ptp",
        "S2.GC.4",
        "GC removes those of a network `other` too",
        "of GC && { CONFIG=$IN; config '.name = \"other\"'; real; IN=$CONFIG; }; real",
    ),
    mutant(
        "ptp",
        "S2.GC.5,S2.GC.6,S2.GC.7,S2.GC.8,S2.GC.10,S4.GC.1,S4.GC.2",
        "GC does nothing",
        "of GC && exit 0; real",
    ),
    mutant(
        "ptp",
        "S2.GC.9",
        "GC without the newer key removes everything",
        "of GC && config 'del(.\"cni.dev/attachments\") | .\"cni.dev/valid-attachments\" //= []'; \
         real",
    ),
    // STATUS.
    mutant(
        "loopback",
        "S2.STATUS.1",
        "STATUS wants a container",
        "of STATUS && [ -z \"$CNI_CONTAINERID\" ] && fail 4 CNI_CONTAINERID; real",
    ),
    mutant(
        "loopback",
        "S2.STATUS.2",
        "STATUS makes a link",
        "of STATUS && ip link add probe type veth peer name probe-peer; real",
    ),
    mutant(
        "ptp",
        "S2.STATUS.3,S2.STATUS.4,S2.STATUS.5,S2.STATUS.6,S4.STATUS.1,S4.STATUS.2",
        "STATUS does nothing",
        "of STATUS && exit 0; real",
    ),
    mutant(
        "ptp",
        "S2.STATUS.7",
        "ADD calls STATUS first",
        "of ADD && ! CNI_COMMAND=STATUS real > /dev/null && fail 50 'STATUS fails'; real",
    ),
];
