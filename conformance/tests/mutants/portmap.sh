#!/bin/sh
# A correct plugin that publishes ports with nf_tables, for the requirements that the reference
# plugin does not meet.
IN=$(cat)
get() { printf %s "$IN" | jq -r "$1"; }

if [ "$CNI_COMMAND" = VERSION ]; then
    echo '{"cniVersion": "1.0.0", "supportedVersions": ["0.4.0", "1.0.0"]}'
    exit
fi
nft -f - << END
add table inet published
add chain inet published guard { type filter hook prerouting priority -350; }
flush chain inet published guard
add rule inet published guard iifname != lo ip daddr 127.0.0.0/8 drop
add chain inet published zones { type filter hook prerouting priority -340; }
add chain inet published prerouting { type nat hook prerouting priority -90; }
add chain inet published output { type nat hook output priority -90; }
add chain inet published postrouting { type nat hook postrouting priority 90; }
flush chain inet published postrouting
add rule inet published postrouting oifname != lo ip saddr 127.0.0.0/8 masquerade
END

# A container that vanished may still have rules, so new ones come first.
rule() { nft insert rule inet published "$@" comment "\"$CNI_CONTAINERID\""; }

# Tracked datagrams of an earlier container are in another zone.
zone() {
    number=$(($(printf %s "$CNI_CONTAINERID" | cksum | cut -d' ' -f1) % 65000 + 1))
    rule zones fib daddr type local udp dport "$1" ct zone set $number
    rule zones "$2" saddr "$3" udp sport "$4" ct zone set $number
}

publish() {
    get '.runtimeConfig.portMappings[]? | "\(.hostPort) \(.containerPort) \(.protocol) \(.hostIP)"' |
        while read -r port to protocol own; do
            case $own in null) own= ;; *:*) [ "$1" = ip6 ] || continue ;; *) [ "$1" = ip ] || continue ;; esac
            for chain in prerouting output; do
                rule $chain fib daddr type local ${own:+$1 daddr $own} $protocol dport $port dnat $1 to "$3:$to"
            done
            [ "$protocol" = udp ] && zone "$port" "$1" "$2" "$to"
        done
}

case $CNI_COMMAND in
ADD)
    sysctl -qw net.ipv4.conf.all.route_localnet=1
    for address in $(get '.prevResult.ips[].address | sub("/.*"; "")'); do
        case $address in
        *:*) publish ip6 "$address" "[$address]" ;;
        *) publish ip "$address" "$address" ;;
        esac
    done
    get .prevResult
    ;;
DEL)
    nft -a list table inet published | awk -v of="\"$CNI_CONTAINERID\"" \
        '$1 == "chain" { chain = $2 } index($0, of) { print chain, $NF }' |
        while read -r chain handle; do nft delete rule inet published "$chain" handle "$handle"; done
    ;;
esac
