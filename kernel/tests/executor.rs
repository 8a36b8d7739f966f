//! Plans on the real kernel, each test in its own network namespaces.
#![cfg(test)]

use std::path::PathBuf;
use std::process::Command;

use kernel::Place::{Host, Pod};
use kernel::{
    Address, Announce, Bridge, Conflict, Mac, Neighbours, Owner, Peer, Plan, Port, Route, Swept,
    Sysctl, Up, Veth, Wait,
};
use nix::sched::{CloneFlags, unshare};

/// The kinds of objects that these plans may leave behind.
const SWEPT: [Swept; 2] = [Swept::of::<Neighbours>(), Swept::of::<Veth>()];

/// A namespace that exists as long as a sleeping process in it.
struct Pod_(std::process::Child);

impl Pod_ {
    fn new() -> Pod_ {
        let child = Command::new("unshare").args(["--net", "sleep", "1000"]).spawn().unwrap();
        let own = std::fs::read_link("/proc/thread-self/ns/net").unwrap();
        let of = PathBuf::from(format!("/proc/{}/ns/net", child.id()));
        while std::fs::read_link(&of).map_or(true, |ns| ns == own) {
            std::thread::yield_now();
        }
        Pod_(child)
    }
    fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/ns/net", self.0.id()))
    }
    fn sh(&self, command: &str) -> (bool, String) {
        sh(&format!("nsenter --net={} {command}", self.path().display()))
    }
}

impl Drop for Pod_ {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn sh(command: &str) -> (bool, String) {
    let out = Command::new("sh").args(["-c", command]).output().unwrap();
    (
        out.status.success(),
        String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr),
    )
}

fn host() {
    unshare(CloneFlags::CLONE_NEWNET).expect("these tests need root: run scripts/test");
    assert!(sh("ip link set lo up").0);
}

fn owner(container: &str) -> Owner {
    Owner { network: "net".into(), container: container.into(), ifname: "eth0".into() }
}

fn plan(owner: Owner, pod: &Pod_, last: u8) -> Plan {
    let name = owner.host_ifname();
    let (host_mac, mac) = (owner.mac("host"), owner.mac("pod"));
    let mut plan = Plan::new(owner, Some(&pod.path()));
    plan.share(
        Host,
        Bridge { name: "br0".into(), mtu: 0, vlan_filtering: false, promiscuous: false },
    );
    plan.share(Host, Sysctl::optional("ipv6/conf/br0/accept_ra", "0"));
    plan.share(Host, Up::of("br0"));
    let peer = Peer { place: Pod, name: "eth0".into(), mac };
    plan.own(
        Host,
        Veth { name: name.clone(), mac: host_mac, mtu: 1400, master: Some("br0".into()), peer },
    );
    plan.own(Host, Port { link: name.clone(), hairpin: true, isolated: false });
    plan.own(Host, Up::of(&name));
    let conflict = Conflict::Refuse;
    plan.share(Host, Address { conflict, ..Address::new("br0", "10.1.2.1/24".parse().unwrap()) });
    plan.share(Host, Address { conflict, ..Address::new("br0", "fd00:1::1/64".parse().unwrap()) });
    for address in [format!("10.1.2.{last}/24"), format!("fd00:1::{last}/64")] {
        plan.own(Pod, Address::new("eth0", address.parse().unwrap()));
    }
    plan.own(Pod, Sysctl::new("ipv4/conf/eth0/arp_notify", "1"));
    plan.own(Pod, Sysctl::new("ipv6/conf/eth0/ndisc_notify", "1"));
    plan.own(Pod, Up::of("eth0"));
    for (dst, via) in [("0.0.0.0/0", "10.1.2.1"), ("::/0", "fd00:1::1")] {
        plan.own(
            Pod,
            Route {
                via: Some(via.parse().unwrap()),
                mtu: 1300,
                ..Route::new("eth0", dst.parse().unwrap())
            },
        );
    }
    let addresses =
        vec![format!("10.1.2.{last}").parse().unwrap(), format!("fd00:1::{last}").parse().unwrap()];
    plan.own(Host, Neighbours { link: "br0".into(), mac, addresses, permanent: false });
    plan.own(Host, Wait::Running { link: name });
    let local = |link: &str, address: String| Wait::Local {
        link: link.into(),
        addresses: vec![address.parse().unwrap()],
    };
    plan.share(Host, local("br0", "fd00:1::1".into()));
    plan.own(Pod, local("eth0", format!("fd00:1::{last}")));
    plan.own(Pod, Announce { link: "eth0".into(), mac });
    plan
}

#[test]
fn a_plan_is_applied_compared_and_removed() {
    host();
    let pod = Pod_::new();
    let plan = plan(owner("one"), &pod, 2);
    let applied = plan.apply().unwrap();
    assert!(applied.macs.contains_key("br0"));
    for address in ["10.1.2.1", "fd00:1::1"] {
        let (ok, text) = pod.sh(&format!("ping -c1 -W1 {address}"));
        assert!(ok, "{text}");
    }
    assert_eq!(
        plan.diff().unwrap(),
        Vec::<String>::new(),
        "{}",
        sh("ip -d addr; ip route; ip -6 route").1 + &pod.sh("ip route").1
    );
    let again = plan.apply().unwrap_err();
    assert!(again.is_taken(), "{again}");
    assert_eq!(plan.diff().unwrap(), Vec::<String>::new());
    plan.remove(&SWEPT).unwrap();
    plan.remove(&SWEPT).unwrap();
    let left = sh("ip -br link").1;
    assert!(!left.contains("veth"), "{left}");
    assert!(!pod.sh("ip -br link").1.contains("eth0"));
    assert_eq!(sh("ip neigh").1, "");
}

#[test]
fn manual_changes_are_named_and_repaired() {
    host();
    let pod = Pod_::new();
    let plan = plan(owner("one"), &pod, 2);
    plan.apply().unwrap();
    let veth = plan.owner.host_ifname();
    for (command, in_pod, named) in [
        ("ip addr del 10.1.2.2/24 dev eth0", true, "address 10.1.2.2/24 is not on eth0"),
        ("ip -6 route del default", true, "route default via fd00:1::1 dev eth0 is gone"),
        ("ip link set eth0 mtu 1350", true, "interface eth0 has the MTU 1350 instead of 1400"),
        ("ip link set eth0 down", true, "interface eth0 is down"),
        (&format!("ip link set {veth} nomaster"), false, "is not in the bridge br0"),
        (&format!("bridge link set dev {veth} hairpin off"), false, "hairpin mode"),
        (&format!("bridge link set dev {veth} isolated on"), false, "isolation"),
        ("ip addr del 10.1.2.1/24 dev br0", false, "address 10.1.2.1/24 is not on br0"),
        (
            "ip route replace default via 10.1.2.1 mtu 1200",
            true,
            "has the mtu 1200 instead of 1300",
        ),
        ("ip link set br0 down", false, "interface br0 is down"),
    ] {
        let (ok, text) = if in_pod { pod.sh(command) } else { sh(command) };
        assert!(ok, "{command}: {text}");
        let differences = plan.diff().unwrap();
        assert!(differences.iter().any(|line| line.contains(named)), "{command}: {differences:?}");
        assert_eq!(plan.repair().unwrap(), differences);
        assert_eq!(plan.diff().unwrap(), Vec::<String>::new(), "{command}");
        assert!(pod.sh("ping -c1 -W1 10.1.2.1").0, "{command}");
    }
}

#[test]
fn a_failed_plan_leaves_nothing() {
    host();
    let pod = Pod_::new();
    let mut plan = plan(owner("one"), &pod, 2);
    let via = Some("192.0.2.1".parse().unwrap()); // not reachable
    let dst = "198.51.100.0/24".parse().unwrap();
    plan.own(Pod, Route { via, ..Route::new("eth0", dst) });
    let before = sh("ip -d addr; ip neigh; ip route").1;
    let error = plan.apply().unwrap_err();
    assert_eq!(
        error.to_string(),
        "add the route 198.51.100.0/24 via 192.0.2.1 dev eth0: Nexthop has invalid gateway \
         (Network is unreachable (os error 101))"
    );
    assert_eq!(sh("ip -d addr; ip neigh; ip route").1, before);
    assert!(!pod.sh("ip -br link").1.contains("eth0"));
}

/// It created the bridge, and another plan connected to it before the failure.
#[test]
fn a_failed_plan_takes_nothing_from_one_that_came_after_it() {
    host();
    assert!(sh("ip link add late type veth peer name far").0);
    let (one, two) = (Pod_::new(), Pod_::new());
    let (mut failing, good) = (plan(owner("one"), &one, 2), plan(owner("two"), &two, 3));
    failing.own(Host, Wait::Running { link: "late".into() });
    failing.own(Host, Up::of("no-such-link"));
    std::thread::scope(|scope| {
        let failing = scope.spawn(move || failing.apply());
        // The bridge is set up after its settings are applied.
        while !sh("ip -br link show br0 up").1.contains("br0") {
            std::thread::yield_now();
        }
        good.apply().unwrap();
        assert!(sh("ip link set late up; ip link set far up").0);
        failing.join().unwrap().unwrap_err();
    });
    assert_eq!(good.diff().unwrap(), Vec::<String>::new());
    for address in ["10.1.2.1", "fd00:1::1"] {
        let (ok, text) = two.sh(&format!("ping -c1 -W1 {address}"));
        assert!(ok, "{text}");
    }
}

/// The kernel finishes after the waits end; until then CHECK names what is missing.
#[test]
fn a_wait_ends_with_the_time_of_the_call() {
    host();
    assert!(sh("ip link add near type veth peer name far; ip link set near up").0);
    let mut plan = Plan::new(owner("one"), None);
    plan.own(Host, Wait::Running { link: "near".into() });
    plan.until = Some(std::time::Instant::now() + std::time::Duration::from_millis(100));
    plan.apply().unwrap();
    assert_eq!(plan.diff().unwrap(), ["interface near has no carrier"]);
    assert!(sh("ip link set far up").0);
    plan.until = None;
    plan.apply().unwrap();
    assert_eq!(plan.diff().unwrap(), Vec::<String>::new());

    // The kernel does not finish after another program has reversed the change.
    assert!(sh("ip link set near down").0);
    plan.until = Some(std::time::Instant::now() + std::time::Duration::from_millis(100));
    let error = plan.apply().unwrap_err();
    assert!(error.to_string().contains("another program has set it down"), "{error}");
}

#[test]
fn an_address_used_again_answers_its_first_packet() {
    host();
    let (first, second, third) = (Pod_::new(), Pod_::new(), Pod_::new());
    let other = plan(owner("other"), &third, 9);
    other.apply().unwrap();
    let one = plan(owner("one"), &first, 2);
    one.apply().unwrap();
    for address in ["10.1.2.2", "fd00:1::2"] {
        assert!(sh(&format!("ping -c1 -W1 {address}")).0);
        assert!(third.sh(&format!("ping -c1 -W1 {address}")).0);
    }
    one.remove(&SWEPT).unwrap();
    let two = plan(owner("two"), &second, 2);
    two.apply().unwrap();
    for address in ["10.1.2.2", "fd00:1::2"] {
        let (ok, text) = sh(&format!("ping -c1 -W1 {address}"));
        assert!(ok, "from the host: {text} {}", sh("ip neigh").1);
        let (ok, text) = third.sh(&format!("ping -c1 -W1 {address}"));
        assert!(ok, "from a container: {text} {}", third.sh("ip neigh").1);
    }
}

#[test]
fn an_unprivileged_user_cannot_block_an_add() {
    host();
    let pod = Pod_::new();
    // Any process of the host can do this.
    let file = std::fs::File::open("/proc/thread-self/ns/net").unwrap();
    file.lock().unwrap();
    plan(owner("one"), &pod, 2).apply().unwrap();
    assert!(pod.sh("ping -c1 -W1 10.1.2.1").0);
}

#[test]
fn gc_removes_stale_objects() {
    host();
    let (first, second) = (Pod_::new(), Pod_::new());
    let (mut one, two) = (plan(owner("one"), &first, 2), plan(owner("two"), &second, 3));
    // No attachment owns a shared link, so GC leaves it.
    let (mac, far) = (owner("x").mac("host"), owner("x").mac("pod"));
    let peer = Peer { place: Host, name: "br0.7".into(), mac: far };
    one.share(
        Host,
        Veth { name: "vethshared".into(), mac, mtu: 0, master: Some("br0".into()), peer },
    );
    one.apply().unwrap();
    two.apply().unwrap();
    // As if the second ADD had been killed before it set the alias.
    assert!(sh(&format!("ip link set {} alias ''", two.owner.host_ifname())).0);
    kernel::collect("another", &[], Vec::new(), &SWEPT).unwrap();
    assert_eq!(sh("ip -br link | grep -c ^veth").1.trim(), "3");
    kernel::collect("net", &[owner("one")], Vec::new(), &SWEPT).unwrap();
    let left = sh("ip -br link").1;
    assert!(
        left.contains("vethshared")
            && left.contains(&one.owner.host_ifname())
            && !left.contains(&two.owner.host_ifname()),
        "{left}"
    );
    assert_eq!(one.diff().unwrap(), Vec::<String>::new());
}

/// More links than one group holds, and similar links of other programs.
#[test]
fn gc_removes_hundreds() {
    host();
    let group = Owner::group("net");
    let make = |name: String, group: u32, alias: &str| {
        let alias =
            format!("link set {name} alias '{alias}'\n").repeat(usize::from(!alias.is_empty()));
        format!("link add {name} group {group} type veth peer name p{name}\n{alias}")
    };
    let stale = (0..300).map(|i| make(format!("s{i}"), group, &format!("ferrocni:net/c{i}/eth0")));
    let nameless = (0..40).map(|i| make(format!("veth{i}"), group, ""));
    let foreign = [
        make("other".into(), Owner::group("other"), "ferrocni:other/c/eth0"),
        make("mine".into(), 0, "mine"),
        make("valid".into(), group, "ferrocni:net/one/eth0"),
    ];
    let batch: String = stale.chain(nameless).chain(foreign).collect();
    let (ok, text) = sh(&format!("ip -b - <<'END'\n{batch}END"));
    assert!(ok, "{text}");
    kernel::collect("net", &[owner("one")], Vec::new(), &SWEPT).unwrap();
    let left = sh("ip -br link").1;
    let mut names: Vec<_> =
        left.lines().map(|line| line.split(['@', ' ']).next().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["lo", "mine", "other", "pmine", "pother", "pvalid", "valid"]);
}

#[test]
fn mac_addresses_are_read_in_every_usual_form() {
    let mac = Mac([0x02, 0, 0x5e, 0x10, 0, 1]);
    for text in ["02:00:5e:10:00:01", "02-00-5E-10-00-01", "0200.5e10.0001"] {
        assert_eq!(Mac::parse(text), Some(mac), "{text}");
    }
    for text in
        ["", "zz", "02:00:5e:10:00", "02:00:5e:10:00:0g", "0:2:005e:10:00:01", "+2:00:5e:10:00:01"]
    {
        assert_eq!(Mac::parse(text), None, "{text}");
    }
}

/// A kernel that does not support a kind reports that; one that does creates nothing.
#[test]
fn support_for_link_kinds_is_detected_without_creating_links() {
    host();
    let before = sh("ip -o link").1;
    for kind in ["veth", "macvlan", "bridge"] {
        kernel::makes(kind).unwrap();
    }
    let error = kernel::makes("nosuchkind").unwrap_err();
    assert_eq!(error.errno, nix::libc::EOPNOTSUPP);
    assert!(
        error.to_string().contains("this kernel does not support links of kind nosuchkind"),
        "{error}"
    );
    assert_eq!(before, sh("ip -o link").1);
}
