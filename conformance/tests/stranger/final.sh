#!/bin/bash
# plainnet: a CNI plugin. It connects a container to a bridge with a veth pair and assigns an IPv4
# address of `subnet`. Addresses are files in /var/lib/plainnet/NETWORK.
set -euo pipefail

STATE=/var/lib/plainnet
VERSIONS='["0.3.0","0.3.1","0.4.0","1.0.0","1.1.0"]'
version=1.1.0
reported=
undo=()

fail() { # code, message, details
    reported=1
    jq -n --arg v "$version" --argjson code "$1" --arg msg "$2" --arg details "${3:-}" \
        '{cniVersion: $v, code: $code, msg: $msg, details: $details}'
    exit 1
}

# An ADD that fails removes what it made, the newest first. Each failure prints an error object.
finish() {
    local rc=$? i
    trap - EXIT
    if ((rc != 0)); then
        for ((i = ${#undo[@]} - 1; i >= 0; i--)); do ${undo[i]} >/dev/null 2>&1 || true; done
        [ -n "$reported" ] || (fail 999 "${CNI_COMMAND:-} failed") || true
        exit 1
    fi
}
trap finish EXIT
trap 'exit 1' TERM INT HUP

need() {
    local name
    for name in "$@"; do
        [ -n "${!name:-}" ] || fail 4 "$name is not set"
    done
}

in_ns() { nsenter --net="$CNI_NETNS" "$@"; }

# Prints the code and the message of an error, or the values of the configuration.
CONFIG='
    def numbers: split(".") | map(tonumber);
    def name: "^[A-Za-z0-9][A-Za-z0-9_.-]*$";
    def cidr: "^[0-9]{1,3}(\\.[0-9]{1,3}){3}/([89]|[12][0-9]|30)$";
    if type != "object" then "6\tthe network configuration is not a JSON object"
    elif [.name, .cniVersion, .bridge, .subnet] | all(type == "string" or . == null) | not
    then "6\tname, cniVersion, bridge and subnet must be strings"
    elif [.cniVersion] - $versions != []
    then "1\tincompatible CNI version \(.cniVersion), not one of \($versions | join(", "))"
    elif (.cniVersion | numbers) < ($since | numbers) then "1\t\($verb) needs cniVersion \($since)"
    elif .name // "" | test(name) | not then "7\tname is missing or has invalid characters: \(.name)"
    elif .subnet // "" | test(cidr) | not then "7\tsubnet is not an IPv4 subnet: \(.subnet)"
    elif .bridge // "plain0" | test("^[A-Za-z0-9._-]{1,15}$") | not
    then "7\tbridge is not the name of an interface: \(.bridge)"
    else "0", .cniVersion, .name, .subnet, .bridge // "plain0"
    end'

read_config() { # oldest version that has the operation
    conf=$(cat)
    local said
    said=$(jq -r --arg since "$1" --arg verb "$CNI_COMMAND" --argjson versions "$VERSIONS" \
        "$CONFIG" <<<"$conf" 2>/dev/null) || fail 6 "the network configuration is not valid JSON"
    [[ $said != [1-9]*$'\t'* ]] || fail "${said%%$'\t'*}" "${said#*$'\t'}"
    mapfile -t values <<<"$said"
    ((${#values[@]} == 5)) || fail 6 "the input is not one network configuration"
    version=${values[1]} name=${values[2]} subnet=${values[3]} bridge=${values[4]}
    local a b c d
    IFS=./ read -r a b c d prefix <<<"$subnet"
    first=$(((a << 24 | b << 16 | c << 8 | d) & (0xffffffff << (32 - prefix)) & 0xffffffff))
    last=$((first + (1 << (32 - prefix)) - 1))
    to_ip $((first + 1))
    gateway=$ip
    dir=$STATE/$name
}

to_ip() { ip="$(($1 >> 24 & 255)).$(($1 >> 16 & 255)).$(($1 >> 8 & 255)).$(($1 & 255))"; }

attachment() {
    need "$@"
    [[ $CNI_CONTAINERID =~ ^[A-Za-z0-9][A-Za-z0-9_.-]*$ ]] ||
        fail 4 "CNI_CONTAINERID has invalid characters" "$CNI_CONTAINERID"
    [[ $CNI_IFNAME =~ ^[^/:[:space:]]{1,15}$ && $CNI_IFNAME != . && $CNI_IFNAME != .. ]] ||
        fail 4 "CNI_IFNAME is not an interface name" "$CNI_IFNAME"
}

veth_name() { echo "pn$(echo -n "$name/$CNI_CONTAINERID/$CNI_IFNAME" | sha1sum | cut -c1-12)"; }

lock() {
    mkdir -p "$dir"
    exec 9>"$STATE/lock"
    flock 9
}

unlock() { exec 9>&-; }

allocate() {
    local n
    for ((n = first + 2; n < last; n++)); do
        to_ip $n
        if [ ! -e "$dir/$ip" ]; then
            undo+=("rm -f $dir/$ip")
            echo "$CNI_CONTAINERID $CNI_IFNAME" >"$dir/$ip"
            address=$ip
            return
        fi
    done
    fail 100 "no free address in $subnet"
}

release() {
    { grep -lsxF -- "$CNI_CONTAINERID $CNI_IFNAME" "$dir"/*.*.*.* || true; } | xargs -r rm -f
}

# Another ADD may have connected a container meanwhile.
drop_bridge() { lock; [ -n "$(ip -o link show master "$bridge")" ] || ip link del "$bridge"; }

ensure_bridge() {
    if ! ip link show "$bridge" >/dev/null 2>&1; then
        undo+=(drop_bridge)
        ip link add "$bridge" type bridge
    fi
    ip addr replace "$gateway/$prefix" dev "$bridge"
    ip link set "$bridge" up
    echo 1 >/proc/sys/net/ipv4/ip_forward
}

check_namespace() {
    [ -e "$CNI_NETNS" ] || fail 4 "CNI_NETNS does not exist" "$CNI_NETNS"
    in_ns true 2>/dev/null || fail 4 "CNI_NETNS is not a network namespace" "$CNI_NETNS"
    [ "$(stat -Lc %i "$CNI_NETNS")" != "$(stat -Lc %i /proc/self/ns/net)" ] ||
        fail 4 "CNI_NETNS is the namespace of the host" "$CNI_NETNS"
}

add() {
    attachment CNI_CONTAINERID CNI_NETNS CNI_IFNAME
    check_namespace
    in_ns ip link show "$CNI_IFNAME" >/dev/null 2>&1 && fail 101 "$CNI_IFNAME exists already"
    lock
    ensure_bridge
    allocate
    host=$(veth_name)
    undo+=("ip link del $host")
    ip link add "$host" type veth peer name "$CNI_IFNAME" netns "$CNI_NETNS" ||
        fail 102 "cannot create the veth pair"
    ip link set "$host" master "$bridge" up
    unlock
    in_ns ip -batch - <<END
addr add $address/$prefix dev $CNI_IFNAME
link set $CNI_IFNAME up
link set lo up
route add default via $gateway dev $CNI_IFNAME
END
    result
}

result() {
    jq -n --arg v "$version" --argjson host "$(ip -j link show)" \
        --argjson container "$(in_ns ip -j link show)" --arg bridge "$bridge" --arg veth "$host" \
        --arg ifname "$CNI_IFNAME" --arg ns "$CNI_NETNS" --arg addr "$address/$prefix" \
        --arg gw "$gateway" '
        def mac($links; $name): {name: $name, mac: $links[] | select(.ifname == $name).address};
        {
            cniVersion: $v,
            interfaces: [
                mac($host; $bridge), mac($host; $veth), mac($container; $ifname) + {sandbox: $ns}
            ],
            ips: [{address: $addr, gateway: $gw, interface: 2}],
            routes: [{dst: "0.0.0.0/0", gw: $gw}],
            dns: {}
        }
        | if $v | startswith("0.") then .ips[0].version = "4" else . end'
}

del() {
    attachment CNI_CONTAINERID CNI_IFNAME
    lock
    ip link del "$(veth_name)" 2>/dev/null || true
    release
}

check() {
    attachment CNI_CONTAINERID CNI_NETNS CNI_IFNAME
    local want
    want=$(jq -r '.prevResult.ips[0].address' <<<"$conf" 2>/dev/null) ||
        fail 7 "prevResult is invalid"
    [ "$want" != null ] || fail 7 "prevResult has no address"
    in_ns ip -j addr show "$CNI_IFNAME" 2>/dev/null |
        jq -e --arg want "$want" \
            '.[0].addr_info | any("\(.local)/\(.prefixlen)" == $want)' >/dev/null ||
        fail 103 "$CNI_IFNAME does not have address $want"
    in_ns ip -j link show "$CNI_IFNAME" | jq -e --argjson conf "$conf" --arg ifname "$CNI_IFNAME" '
        .[0].address as $mac | $conf.prevResult.interfaces // []
        | map(select(.name == $ifname and (.sandbox // "") != "").mac // $mac)
        | all(ascii_downcase == $mac)' >/dev/null ||
        fail 106 "$CNI_IFNAME does not have the MAC address of prevResult"
    # A later plugin may have removed the route, also from the result.
    if jq -e '.prevResult.routes // [] | any(.dst == "0.0.0.0/0")' <<<"$conf" >/dev/null; then
        in_ns ip route show default | grep -q "dev $CNI_IFNAME" || fail 104 "no default route"
    fi
    ip link show "$(veth_name)" >/dev/null 2>&1 || fail 105 "the veth of the host is missing"
}

gc() {
    need CNI_PATH
    lock
    local file valid owner
    valid=$(jq -r '(."cni.dev/valid-attachments" // ."cni.dev/attachments")[]?
        | "\(.containerID) \(.ifname)"' <<<"$conf")
    for file in "$dir"/*.*.*.*; do
        [ -e "$file" ] || continue
        owner=$(cat "$file")
        grep -qxF "$owner" <<<"$valid" && continue
        read -r CNI_CONTAINERID CNI_IFNAME <<<"$owner"
        ip link del "$(veth_name)" 2>/dev/null || true
        rm -f "$file"
    done
}

status() {
    need CNI_PATH
    ip link show >/dev/null || fail 50 "the ip tool is not available"
}

case ${CNI_COMMAND:-} in
VERSION)
    version=$(jq -r '.cniVersion // "1.1.0"' 2>/dev/null || echo 1.1.0)
    jq -n --arg v "$version" --argjson s "$VERSIONS" '{cniVersion: $v, supportedVersions: $s}'
    ;;
ADD) read_config 0.3.0; add ;;
DEL) read_config 0.3.0; del ;;
CHECK) read_config 0.4.0; check ;;
GC) read_config 1.1.0; gc ;;
STATUS) read_config 1.1.0; status ;;
*) fail 4 "CNI_COMMAND is unknown: ${CNI_COMMAND:-}" ;;
esac
