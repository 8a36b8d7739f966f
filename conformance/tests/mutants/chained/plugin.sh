#!/bin/sh
# A complete chained plugin, written for the tests of the kit. For each attachment it makes a route
# on the host, whose number is in a file of /var/lib/mark/NETWORK, and turns `allmulti` on in the
# container.
IN=$(cat)
fail() {
    jq -cn --arg v "${VERSION:-1.1.0}" --argjson c "$1" --arg m "$2" \
        '{cniVersion: $v, code: $c, msg: $m}'
    exit 1
}
if [ "$CNI_COMMAND" = VERSION ]; then
    echo '{"cniVersion": "1.1.0", "supportedVersions": ["0.4.0", "1.0.0", "1.1.0"]}'
    exit
fi
VERSION=$(printf %s "$IN" | jq -r '.cniVersion // "0.1.0"')
NAME=$(printf %s "$IN" | jq -r '.name')
D=/var/lib/mark/$NAME
mkdir -p "$D"
exec 9> /run/mark.lock
flock 9
forget() {
    [ -e "$1" ] || return 0
    ip route del blackhole "198.51.100.$(cat "$1")" 2> /dev/null
    rm -f "$1"
}
if [ "$CNI_COMMAND" = GC ]; then
    [ "$VERSION" = 1.1.0 ] || fail 1 'GC needs version 1.1.0'
    VALID=$(printf %s "$IN" | jq -r '
        (.["cni.dev/valid-attachments"] // .["cni.dev/attachments"] // [])[]
        | .containerID + ":" + .ifname')
    for file in "$D"/*:*; do
        printf '%s\n' "$VALID" | grep -qxF "${file##*/}" || forget "$file"
    done
    exit 0
fi
FILE=$D/$CNI_CONTAINERID:$CNI_IFNAME
inside() { nsenter --net="$CNI_NETNS" "$@"; }
if [ "$CNI_COMMAND" = DEL ]; then
    forget "$FILE"
    [ ! -e "$CNI_NETNS" ] || inside ip link set "$CNI_IFNAME" allmulticast off 2> /dev/null
    exit 0
fi
RESULT=$(printf %s "$IN" | jq -ce --arg v "$VERSION" '.prevResult | objects | .cniVersion = $v') ||
    fail 7 'prevResult is missing or invalid'
if [ "$CNI_COMMAND" = CHECK ]; then
    ip route show type blackhole | grep -q "198.51.100.$(cat "$FILE" 2> /dev/null) " ||
        fail 100 'the route is missing'
    inside ip -o link show "$CNI_IFNAME" | grep -q ALLMULTI || fail 100 'allmulti is off'
    exit 0
fi
if [ ! -e "$FILE" ]; then
    N=1
    while grep -qx $N "$D"/* 2> /dev/null; do N=$((N + 1)); done
    echo $N > "$FILE"
    ip route add blackhole 198.51.100.$N
fi
inside ip link set "$CNI_IFNAME" allmulticast on || { forget "$FILE"; fail 100 'no interface'; }
printf '%s\n' "$RESULT"
