//! What the sections of pages need before their commands run, and what must be true afterwards.

/// A page with commands.
pub struct Page {
    pub path: &'static str,
    /// Commands before the first section.
    pub before: &'static str,
    /// Whether each section has a node of its own.
    pub is_apart: bool,
    pub cases: &'static [Case],
}

/// A section whose commands need something, or do something that can be checked.
pub struct Case {
    pub heading: &'static str,
    /// Commands that bring the node into the state that the section is about.
    pub before: &'static str,
    /// Commands of the section that must fail, in their order. All others must succeed.
    pub fails: &'static [&'static str],
    /// What the section's commands print, among other things.
    pub printed: &'static [&'static str],
    /// Commands that must succeed afterwards.
    pub after: &'static str,
}

pub const NOTHING: Case = Case { heading: "", before: "", fails: &[], printed: &[], after: "" };

/// Commands that the checks of the project run, and the file that does so.
pub const ELSEWHERE: &[(&str, &str)] = &[
    ("scripts/build", "scripts/test"),
    ("scripts/test", ".ci/run"),
    ("scripts/package", ".ci/run"),
    // Below, without the build.
    ("scripts/quickstart", "cnitool/tests/pages/cases.rs"),
];

const ATTACH: &str = "ip netns add a; cnitool add pods a";
const ATTACHED: &str = "ip -n a address show eth0; reaches-the-world a";
const REPLACED: &str = "! ip -n a address show eth0
    ip netns add next; cnitool add pods next; reaches-the-world next";

pub const PAGES: &[Page] = &[
    Page { path: "CONTRIBUTING.md", before: "", is_apart: false, cases: &[] },
    Page { path: "README.md", before: NO_PLUGINS, is_apart: false, cases: README },
    Page { path: "docs/clients.md", before: "", is_apart: false, cases: CLIENTS },
    Page { path: "docs/cnitool.md", before: CNITOOL, is_apart: false, cases: CNITOOLS },
    Page { path: "docs/conformance.md", before: "", is_apart: false, cases: CONFORMANCE },
    Page { path: "docs/examples/README.md", before: NO_NETWORKS, is_apart: false, cases: &[] },
    Page { path: "docs/howto.md", before: "ip netns add a", is_apart: false, cases: HOWTO },
    Page { path: "docs/install.md", before: NO_PLUGINS, is_apart: false, cases: INSTALL },
    Page { path: "docs/kubernetes.md", before: "", is_apart: false, cases: KUBERNETES },
    Page { path: "docs/migrate.md", before: MIGRATE, is_apart: false, cases: MIGRATED },
    Page {
        path: "docs/plan.md",
        before: "ip netns add a; ip netns add b",
        is_apart: false,
        cases: &[],
    },
    Page { path: "docs/plugins/ipip.md", before: "", is_apart: false, cases: IPIP },
    Page { path: "docs/troubleshooting.md", before: ATTACH, is_apart: true, cases: TROUBLE },
    Page { path: "docs/upgrade.md", before: UPGRADE, is_apart: false, cases: UPGRADED },
];

/// A node with a container that the reference plugins attached.
const MIGRATE: &str = "rm /opt/cni/bin/*; cp /usr/lib/cni/* /opt/cni/bin
    sed -i 's/1.1.0/1.0.0/' /etc/cni/net.d/10-pods.conflist
    ip netns add a; bin/cnitool add pods a; reaches-the-world a";

/// A node with a container that another build attached.
const UPGRADE: &str = "rm /opt/cni/bin/*; cp bin/* /opt/cni/bin
    for plugin in /opt/cni/bin/*; do echo 'the release before' >>$plugin; done
    ip netns add a; cnitool add pods a; reaches-the-world a";

const NO_PLUGINS: &str = "rm /opt/cni/bin/*";

const README: &[Case] = &[
    Case {
        heading: "Try it",
        after: "unshare --net --mount $PROJECT/scripts/quickstart --inside",
        ..NOTHING
    },
    Case { heading: "Install", after: "/opt/cni/bin/cnitool lint", ..NOTHING },
];

const NO_NETWORKS: &str = "rm /etc/cni/net.d/*";

/// A container of ctr's, whose ADD failed.
const CLIENTS: &[Case] = &[Case {
    heading: "ctr",
    before:
        "ip netns add web; ip netns exec web sleep 600 >/dev/null 2>&1 & echo $! >/run/pid-of-web
        until ip netns pids web 2>/dev/null | grep .; do sleep 0.1; done
        cnitool add pods web --container-id default-web; rm /var/lib/cni/results/*",
    after: "! ls /var/lib/cni/networks/pods/10.*; kill $(cat /run/pid-of-web)",
    ..NOTHING
}];

const CNITOOL: &str = r#"sed -i 's|"subnet": "10.88.0.0/29"|"ranges": [[{ "subnet": "10.88.0.0/24" }]]|' \
        /etc/cni/net.d/10-pods.conflist
    ip netns add a"#;

const CNITOOLS: &[Case] = &[
    Case {
        heading: "Find mistakes before a container does",
        before: r#"printf '%s\n' 'apiVersion: v1' 'kind: List' 'items:' \
            '- apiVersion: k8s.cni.cncf.io/v1' '  kind: NetworkAttachmentDefinition' \
            '  metadata: { name: lan, namespace: default }' '  spec:' '    config: |' \
            '      { "cniVersion": "1.0.0", "type": "bridge", "bridge": "lan0" }' \
            >/run/definitions.yaml"#,
        printed: &["clean"],
        ..NOTHING
    },
    Case {
        heading: "See what is attached, what is taken, and what looks leaked",
        before: r#"cnitool del pods a; ip link del cni0; rm -r /var/lib/cni/*
            sed -i 's|"10.88.0.0/24" }\]|& , [{ "subnet": "fd00:88::/64" }]|' \
                /etc/cni/net.d/10-pods.conflist
            add() {
                ip netns add $2
                cnitool add pods $2 --container-id $1 \
                    --args "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=$2"
            }
            add 5b416f04b825 web-0; add 045306922edf web-1; add 66e63714a242 db-0
            ip netns del web-1
            until [ $(ip -o link show type veth | grep -c ' veth') = 2 ]; do sleep 0.1; done
            cd /var/lib/cni/networks/pods
            printf '065ecf3ee70c\r\neth0' | tee 10.88.0.5 >fd00:88::5
            touch -d '3 hours ago' 10.88.0.5 fd00:88::5"#,
        printed: &["namespaceGone\tpods\t045306922edf\teth0"],
        ..NOTHING
    },
    Case {
        heading: "Remove stale attachments",
        // Two that the cache does not know: one lives, the other's runtime was killed.
        after: "cnitool check pods web-0; ls /var/lib/cni/networks/pods/10.88.0.2
            ! ls /var/lib/cni/networks/pods/10.88.0.3",
        ..NOTHING
    },
];

const CONFORMANCE: &[Case] = &[
    Case {
        heading: "A first run",
        before: "mkdir mine; cp bin/ptp mine/mine",
        printed: &[" passed, 0 failed", "mine: "],
        ..NOTHING
    },
    Case {
        heading: "Reading the report",
        before: "cni-conformance run --bin-dir mine --config mine.json --only S2.DEL.3 \
                --json mine-1.0.json
            cp mine-1.0.json mine-1.1.json",
        after: "grep -q S2.DEL.3 report.html",
        ..NOTHING
    },
    Case {
        heading: "Compare two suites",
        // The exit status says that something differs.
        fails: &["cni-conformance compare --a /usr/lib/cni --b /opt/cni/bin --plugins loopback"],
        printed: &["1 of 1 scenarios"],
        ..NOTHING
    },
];

const KUBERNETES: &[Case] = &[Case {
    heading: "After a reboot",
    // The unit's command.
    after: "$(sed -n 's/^ExecStart=//p' docs/kubernetes.md | sed s/%i/pods/)",
    ..NOTHING
}];

const IPIP: &[Case] = &[Case {
    heading: "When an uplink goes down and comes back",
    before: "mkdir /etc/NetworkManager/dispatcher.d",
    after: "/etc/NetworkManager/dispatcher.d/50-ipip-sync uplink up",
    ..NOTHING
}];

const INSTALL: &[Case] = &[Case {
    heading: "From the sources",
    printed: &["new      /opt/cni/bin/bridge", "removed  /opt/cni/bin/bridge"],
    after: "! ls /opt/cni/bin/bridge",
    ..NOTHING
}];

/// Pings from `a` to the world, while the section's commands run.
const PINGS: &str =
    "ip netns exec a ping -n -i 0.05 192.0.2.2 >/run/pings 2>&1 & echo $! >/run/pinger";

const MIGRATED: &[Case] = &[
    Case {
        heading: "From the reference plugins",
        before: PINGS,
        printed: &["replaced /opt/cni/bin/bridge", "1 file, clean"],
        // DEL of a container that the reference plugins attached.
        after: "answered; cnitool del pods a; iptables -t nat -S | (! grep CNI-)
            cnitool add pods a; nft list table inet ferrocni | grep 'comment.*pods'",
        ..NOTHING
    },
    Case {
        heading: "Back to the reference plugins",
        before: PINGS,
        printed: &["restored /opt/cni/bin/bridge"],
        after: "answered; bin/cnitool check pods a
            bin/cnitool del pods a; iptables -t nat -S | (! grep CNI-)",
        ..NOTHING
    },
];

const UPGRADED: &[Case] = &[
    Case {
        heading: "To the next release",
        before: PINGS,
        printed: &["replaced /opt/cni/bin/bridge", "1 file, clean"],
        after: "answered; ip netns add b; cnitool add pods b; reaches-the-world b",
        ..NOTHING
    },
    Case {
        heading: "Back",
        before: PINGS,
        printed: &["restored /opt/cni/bin/bridge"],
        after: "answered; cnitool check pods b; cnitool del pods a; cnitool del pods b
            ! ip link show type veth | grep veth",
        ..NOTHING
    },
];

const HOWTO: &[Case] = &[
    Case {
        heading: "Give a container a fixed address",
        printed: &["\"address\": \"10.88.0.9/24\"", "\"mac\": \"02:00:5e:10:00:01\""],
        ..NOTHING
    },
    Case {
        heading: "Give a container IPv4 and IPv6",
        printed: &["10.88.0.10/24 fd00:88::2/64"],
        ..NOTHING
    },
    Case {
        heading: "Attach a container to a second network",
        printed: &["10.99.0.0/24 dev net1"],
        ..NOTHING
    },
    Case { heading: "Change the subnet of a network", printed: &["10.90.0.2/24"], ..NOTHING },
    Case {
        heading: "Put containers on the network of the machine",
        printed: &["\"address\": \"192.0.2.100/24\""],
        after: "! ls /var/lib/cni/networks/* | grep -E '^(10.88.0.9|192.0.2.100)$'",
        ..NOTHING
    },
    Case {
        heading: "Let containers on the network of the machine reach Services",
        // A server of the network `pods`, and a Service for it.
        before: "ip netns add server; server=$(cnitool add pods server |
                sed -n 's|.*\"address\": \"\\(.*\\)/24\".*|\\1|p')
            nft add table ip services
            nft add chain ip services to '{ type nat hook prerouting priority -100; }'
            nft add rule ip services to ip daddr 10.96.0.1 dnat to $server",
        printed: &["10.96.0.1 via 169.254.1.1"],
        after: "ip netns exec a ping -n -c1 -W2 10.96.0.1; cnitool del lan a",
        ..NOTHING
    },
];

const TROUBLE: &[Case] = &[
    Case {
        heading: "No addresses are left",
        before: "for pod in c d e f g; do
                ip netns add $pod; cnitool add pods $pod || true; ip netns del $pod
            done",
        printed: &["5 of 5 taken: it is full", "would remove ", "removing "],
        after: ATTACHED,
        ..NOTHING
    },
    Case {
        heading: "ADD fails",
        printed: &[
            "1 file, clean",
            "ip link add cni0 type bridge",
            "\"address\": \"10.88.0.3/29\"",
        ],
        after: ATTACHED,
        ..NOTHING
    },
    Case {
        heading: "No traffic beyond the node",
        before: "sysctl -w net.ipv4.ip_forward=0; iptables -P FORWARD DROP",
        fails: &["cnitool check pods a"],
        printed: &["sysctl net/ipv4/ip_forward is 0 instead of 1", "-P FORWARD DROP"],
        after: ATTACHED,
    },
    Case {
        heading: "After a firewall was flushed",
        before: "nft flush ruleset",
        printed: &["10.88.0.2 is not masqueraded"],
        after: ATTACHED,
        ..NOTHING
    },
    Case {
        heading: "CHECK fails",
        before: "ip -n a route flush all; ip link set cni0 down",
        fails: &["cnitool check pods a"],
        printed: &["differences from what ADD made", "route"],
        after: ATTACHED,
    },
    Case {
        heading: "After the subnet was changed",
        before: "sed -i s/10.88.0/10.89.0/ /etc/cni/net.d/10-pods.conflist",
        printed: &["10.88.0.1/29 is in use on cni0", "10.88.0.2"],
        after: REPLACED,
        ..NOTHING
    },
    Case {
        heading: "The network is not ready",
        before: "sed -i s/subnet/subnett/ /etc/cni/net.d/10-pods.conflist",
        fails: &["cnitool lint", "cnitool status pods"],
        printed: &["did you mean \"subnet\"?", "no IP ranges specified"],
        after: ATTACHED,
    },
    Case {
        heading: "After a reboot",
        before: "ip netns del a; ip link del cni0; nft flush ruleset",
        printed: &["removing ", "0 of 5 taken"],
        after: "ip netns add next; cnitool add pods next; reaches-the-world next",
        ..NOTHING
    },
    Case {
        heading: "A plugin is missing",
        before: r#"cnitool del pods a; cp /usr/lib/cni/portmap /opt/cni/bin
            sed -i -e 's/"1.1.0"/"1.0.0"/' -e 's/ } \] }$/ }, { "type": "portmap" } ] }/' \
                /etc/cni/net.d/10-pods.conflist
            cnitool add pods a; mv /opt/cni/bin/portmap /opt/cni"#,
        fails: &["cnitool lint", "cnitool del pods a"],
        printed: &["portmap"],
        after: "! ls /var/lib/cni/networks/pods/10.*; ! ip -n a address show eth0
            mv /opt/cni/portmap /opt/cni/bin; cnitool del pods a",
    },
];
