# Makes one of everything that the tests in this folder need of the kernel, in the network namespace it is run in:
# where this works, so do they.
set -e
ip link add base type dummy
ip link add link base name base.5 type vlan id 5
ip link add routes type vrf table 10
ip link add filtering type bridge vlan_filtering 1
ip link add tunnel type ipip local 192.0.2.1 remote 192.0.2.2
ip link add link base name outer type macvlan mode bridge
ip link add other type dummy
ip link add link other name inner type ipvlan mode l2
ipvsadm --add-service --tcp-service 192.0.2.1:80 --scheduler rr
test -e /proc/sys/net/bridge
