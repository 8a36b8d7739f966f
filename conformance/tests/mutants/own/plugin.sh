#!/bin/sh
# A complete plugin that manages its own addresses, written for the tests of the kit: a veth pair,
# an address from a counter, and a file for each attachment in /var/lib/own/NETWORK.
IN=$(cat)
key() { printf %s "$IN" | jq -c "$1"; }
fail() {
    jq -cn --arg v "${VERSION:-1.1.0}" --argjson c "$1" --arg m "$2" \
        '{cniVersion: $v, code: $c, msg: $m}'
    exit 1
}
if [ "$CNI_COMMAND" = VERSION ]; then
    echo '{"cniVersion": "1.1.0", "supportedVersions": ["0.4.0", "1.0.0", "1.1.0"]}'
    exit
fi

printf %s "$IN" | jq -es 'length == 1 and (.[0] | type == "object")' > /dev/null 2>&1 ||
    fail 6 'the configuration is not a JSON object'
VERSION=$(key '.cniVersion // "0.1.0"' | tr -d '"')
case $VERSION in
    0.4.0 | 1.0.0 | 1.1.0) ;;
    *) VERSION=; fail 1 'the version is not supported' ;;
esac
NAME=$(key '.name // "" | strings' | tr -d '"')
valid() { printf %s "$1" | tr '\n' '/' | grep -Eq '^[a-zA-Z0-9][a-zA-Z0-9_.-]*$'; }
valid "$NAME" || fail 7 'the name of the network is missing or invalid'

D=/var/lib/own/$NAME
mkdir -p "$D"
exec 9> /run/own.lock
flock 9
# The host's end has a name that derives from the attachment.
host() { echo "own$(printf %s "$NAME/$1/$2" | sha256sum | cut -c 1-10)"; }
forget() { ip link del "$(host "$1" "$2")" 2> /dev/null; rm -f "$D/$1:$2"; }
inside() { nsenter --net="$CNI_NETNS" "$@"; }

[ -n "$CNI_PATH" ] || fail 4 'CNI_PATH is missing'
if [ "$CNI_COMMAND" = GC ]; then
    [ "$VERSION" = 1.1.0 ] || fail 1 'GC needs version 1.1.0'
    VALID=$(key '(.["cni.dev/valid-attachments"] // .["cni.dev/attachments"] // [])[]
        | .containerID + ":" + .ifname' | tr -d '"')
    for file in "$D"/*:*; do
        entry=${file##*/}
        [ -e "$file" ] || continue
        printf '%s\n' "$VALID" | grep -qxF "$entry" || forget "${entry%%:*}" "${entry#*:}"
    done
    exit
fi
if [ "$CNI_COMMAND" = STATUS ]; then
    [ "$VERSION" = 1.1.0 ] || fail 1 'STATUS needs version 1.1.0'
    exit
fi
case $CNI_COMMAND in ADD | CHECK | DEL) ;; *) fail 4 "the command $CNI_COMMAND is unknown" ;; esac

valid "$CNI_CONTAINERID" || fail 4 'CNI_CONTAINERID is missing or invalid'
printf %s "$CNI_IFNAME" | tr '\n' '/' | grep -Eq '^[^/:[:space:]]{1,15}$' ||
    fail 4 'CNI_IFNAME is missing or invalid'
case $CNI_IFNAME in . | ..) fail 4 'CNI_IFNAME is invalid' ;; esac
FILE=$D/$CNI_CONTAINERID:$CNI_IFNAME
LINK=$(host "$CNI_CONTAINERID" "$CNI_IFNAME")

if [ "$CNI_COMMAND" = DEL ]; then
    forget "$CNI_CONTAINERID" "$CNI_IFNAME"
    exit 0
fi

[ -e "$CNI_NETNS" ] || fail 4 'CNI_NETNS is missing or does not exist'
inside true 2> /dev/null || fail 4 'CNI_NETNS is not a network namespace'

if [ "$CNI_COMMAND" = CHECK ]; then
    SAID=$(printf %s "$IN" | jq -r --arg name "$CNI_IFNAME" '.prevResult | objects
        | (.interfaces | map(.name == $name and (.sandbox // "") != "") | index(true)) as $at
        | "mac " + .interfaces[$at].mac, (.ips[]? | select(.interface == $at) | "ip " + .address),
        (.routes[]? | "route " + .dst), "end"' 2> /dev/null)
    [ "${SAID##*
}" = end ] || fail 7 'prevResult is missing or invalid'
    ip link show dev "$LINK" > /dev/null 2>&1 || fail 100 'the link on the host is missing'
    SEEN=$(inside ip -o link show dev "$CNI_IFNAME" 2> /dev/null) ||
        fail 100 'the interface is missing'
    case $SEEN in *[\<,]UP[,\>]*) ;; *) fail 100 'the interface is down' ;; esac
    ADDRESSES=$(inside ip -o addr show dev "$CNI_IFNAME")
    printf '%s\n' "$SAID" | while read -r kind value; do
        case $kind in
            mac)
                [ -z "${SEEN##*link/ether $value *}" ] || fail 100 'the MAC address differs' ;;
            ip)
                [ -z "${ADDRESSES##* $value *}" ] || fail 100 "the address $value is missing" ;;
            route)
                family=-4; case $value in *:*) family=-6 ;; esac
                [ -n "$(inside ip $family route show table all to exact "$value")" ] ||
                    fail 100 "the route to $value is missing"
                ;;
        esac
    done
    exit
fi

# ADD
[ "$(stat -Lc %i "$CNI_NETNS")" != "$(stat -Lc %i /proc/self/ns/net)" ] ||
    fail 4 'CNI_NETNS is the namespace of the host'
inside ip link show dev "$CNI_IFNAME" > /dev/null 2>&1 &&
    fail 100 'the interface exists already'
N=$(($(cat /run/own.counter 2> /dev/null || echo 1) + 1))
echo $N > /run/own.counter
V4=10.77.$((N / 200)).$((N % 200 + 2)) V6=fd00:77::$N
undo() { forget "$CNI_CONTAINERID" "$CNI_IFNAME"; fail 100 "the kernel refuses: $1"; }
touch "$FILE"
ip link add "$LINK" type veth peer name "$CNI_IFNAME" netns "$CNI_NETNS" || undo 'a veth pair'
{
    ip addr add 10.77.0.1/32 dev "$LINK" && ip addr add fd00:77::1/128 dev "$LINK" nodad &&
        ip link set "$LINK" up &&
        ip route add $V4/32 dev "$LINK" && ip route add $V6/128 dev "$LINK"
} || undo 'addresses and routes on the host'
# The metric makes the routes of a second interface of the container differ.
inside sh -ec 'ip addr add "$2/32" dev "$1"; ip addr add "$3/128" dev "$1" nodad
    ip link set "$1" up
    ip route add 10.77.0.1 dev "$1" metric "$4"; ip route add fd00:77::1 dev "$1" metric "$4"
    ip route add default via 10.77.0.1 dev "$1" metric "$4"
    ip -6 route add default via fd00:77::1 dev "$1" metric "$4"
' sh "$CNI_IFNAME" $V4 $V6 $((100 + N)) || undo 'addresses and routes in the container'

INNER=$(inside ip -j link show dev "$CNI_IFNAME" | jq -r '.[0].address')
OUTER=$(ip -j link show dev "$LINK" | jq -r '.[0].address')
printf %s "$IN" | jq --arg link "$LINK" --arg name "$CNI_IFNAME" --arg sandbox "$CNI_NETNS" \
    --arg v4 "$V4/32" --arg v6 "$V6/128" --arg outer "$OUTER" --arg inner "$INNER" '
    def of($version): if .cniVersion == "0.4.0" then { version: $version } else {} end;
    {
        cniVersion,
        interfaces: [
            { name: $link, mac: $outer },
            { name: $name, mac: $inner, sandbox: $sandbox }
        ],
        ips: [
            { address: $v4, gateway: "10.77.0.1", interface: 1 } + of("4"),
            { address: $v6, gateway: "fd00:77::1", interface: 1 } + of("6")
        ],
        routes: [{ dst: "0.0.0.0/0", gw: "10.77.0.1" }, { dst: "::/0", gw: "fd00:77::1" }],
        dns: (.dns // {})
    }'
