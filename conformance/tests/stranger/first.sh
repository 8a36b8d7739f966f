#!/bin/bash
# plainnet: a CNI plugin. It connects a container to a bridge with a veth pair and assigns an IPv4
# address of `subnet`. Addresses are files in /var/lib/plainnet/NETWORK.
set -euo pipefail

STATE=/var/lib/plainnet
VERSIONS='["0.3.0","0.3.1","0.4.0","1.0.0","1.1.0"]'

fail() { # code, message, details
    jq -n --arg v "${version:-1.1.0}" --argjson code "$1" --arg msg "$2" --arg details "${3:-}" \
        '{cniVersion: $v, code: $code, msg: $msg, details: $details}'
    exit 1
}

need() {
    for name in "$@"; do
        [ -n "${!name:-}" ] || fail 4 "$name is not set"
    done
}

key() { jq -r ".$1 // empty" <<<"$conf"; }

in_ns() { nsenter --net="$CNI_NETNS" "$@"; }

to_int() {
    local a b c d
    IFS=. read -r a b c d <<<"$1"
    echo $(((a << 24) + (b << 16) + (c << 8) + d))
}

to_ip() { echo "$(($1 >> 24 & 255)).$(($1 >> 16 & 255)).$(($1 >> 8 & 255)).$(($1 & 255))"; }

read_config() {
    conf=$(cat)
    jq -e . <<<"$conf" >/dev/null 2>&1 || fail 6 "invalid network configuration"
    version=$(key cniVersion)
    version=${version:-0.1.0}
    jq -e --arg v "$version" 'index($v)' <<<"$VERSIONS" >/dev/null ||
        fail 1 "incompatible CNI version" "$version is not one of $VERSIONS"
    name=$(key name)
    [ -n "$name" ] || fail 7 "name is missing"
    bridge=$(key bridge)
    bridge=${bridge:-plain0}
    subnet=$(key subnet)
    [ -n "$subnet" ] || fail 7 "subnet is missing"
    prefix=${subnet#*/}
    first=$(($(to_int "${subnet%/*}") & (0xffffffff << (32 - prefix)) & 0xffffffff))
    last=$((first + (1 << (32 - prefix)) - 1))
    gateway=$(to_ip $((first + 1)))
    dir=$STATE/$name
}

veth_name() { echo "pn$(echo -n "$name/$CNI_CONTAINERID/$CNI_IFNAME" | sha1sum | cut -c1-12)"; }

lock() {
    mkdir -p "$dir"
    exec 9>"$dir/lock"
    flock 9
}

allocate() {
    local n
    for ((n = first + 2; n < last; n++)); do
        if [ ! -e "$dir/$(to_ip $n)" ]; then
            address=$(to_ip $n)
            echo "$CNI_CONTAINERID $CNI_IFNAME" >"$dir/$address"
            return
        fi
    done
    fail 100 "no free address in $subnet"
}

release() {
    local file
    for file in "$dir"/*.*.*.*; do
        if [ -e "$file" ] && [ "$(cat "$file")" = "$CNI_CONTAINERID $CNI_IFNAME" ]; then
            rm -f "$file"
        fi
    done
}

ensure_bridge() {
    if ! ip link show "$bridge" >/dev/null 2>&1; then
        ip link add "$bridge" type bridge
    fi
    ip addr replace "$gateway/$prefix" dev "$bridge"
    ip link set "$bridge" up
    echo 1 >/proc/sys/net/ipv4/ip_forward
}

add() {
    need CNI_CONTAINERID CNI_NETNS CNI_IFNAME
    in_ns ip link show "$CNI_IFNAME" >/dev/null 2>&1 && fail 101 "$CNI_IFNAME exists already"
    lock
    ensure_bridge
    allocate
    host=$(veth_name)
    ip link add "$host" type veth peer name "$CNI_IFNAME" netns "$CNI_NETNS" ||
        { release; fail 102 "cannot create the veth pair"; }
    ip link set "$host" master "$bridge" up
    in_ns ip addr add "$address/$prefix" dev "$CNI_IFNAME"
    in_ns ip link set "$CNI_IFNAME" up
    in_ns ip link set lo up
    in_ns ip route add default via "$gateway" dev "$CNI_IFNAME"
    result
}

mac_of() { ip -j link show "$1" | jq -r '.[0].address'; }

result() {
    jq -n --arg v "$version" --arg bridge "$bridge" --arg bmac "$(mac_of "$bridge")" \
        --arg host "$host" --arg hmac "$(mac_of "$host")" --arg ifname "$CNI_IFNAME" \
        --arg mac "$(in_ns ip -j link show "$CNI_IFNAME" | jq -r '.[0].address')" \
        --arg ns "$CNI_NETNS" --arg addr "$address/$prefix" --arg gw "$gateway" '
        {
            cniVersion: $v,
            interfaces: [
                {name: $bridge, mac: $bmac},
                {name: $host, mac: $hmac},
                {name: $ifname, mac: $mac, sandbox: $ns}
            ],
            ips: [{address: $addr, gateway: $gw, interface: 2}],
            routes: [{dst: "0.0.0.0/0", gw: $gw}],
            dns: {}
        }
        | if $v | startswith("0.") then .ips[0].version = "4" else . end'
}

del() {
    need CNI_CONTAINERID CNI_IFNAME
    lock
    ip link del "$(veth_name)" 2>/dev/null || true
    release
}

check() {
    need CNI_CONTAINERID CNI_NETNS CNI_IFNAME
    local want
    want=$(jq -r '.prevResult.ips[0].address // empty' <<<"$conf")
    [ -n "$want" ] || fail 7 "prevResult is missing"
    in_ns ip -j addr show "$CNI_IFNAME" 2>/dev/null |
        jq -e --arg want "$want" \
            '.[0].addr_info | any("\(.local)/\(.prefixlen)" == $want)' >/dev/null ||
        fail 103 "$CNI_IFNAME does not have address $want"
    in_ns ip route show default | grep -q "dev $CNI_IFNAME" || fail 104 "no default route"
    ip link show "$(veth_name)" >/dev/null 2>&1 || fail 105 "the veth of the host is missing"
}

gc() {
    lock
    local file valid owner
    valid=$(jq -r '."cni.dev/valid-attachments"[]? | "\(.containerID) \(.ifname)"' <<<"$conf")
    for file in "$dir"/*.*.*.*; do
        [ -e "$file" ] || continue
        owner=$(cat "$file")
        grep -qxF "$owner" <<<"$valid" && continue
        read -r CNI_CONTAINERID CNI_IFNAME <<<"$owner"
        ip link del "$(veth_name)" 2>/dev/null || true
        rm -f "$file"
    done
}

status() { ip link show >/dev/null || fail 50 "the ip tool is not available"; }

case ${CNI_COMMAND:-} in
VERSION)
    version=$(jq -r '.cniVersion // "1.1.0"' 2>/dev/null || echo 1.1.0)
    jq -n --arg v "$version" --argjson s "$VERSIONS" '{cniVersion: $v, supportedVersions: $s}'
    ;;
ADD) read_config; add ;;
DEL) read_config; del ;;
CHECK) read_config; check ;;
GC) read_config; gc ;;
STATUS) read_config; status ;;
*) fail 4 "CNI_COMMAND is unknown: ${CNI_COMMAND:-}" ;;
esac
