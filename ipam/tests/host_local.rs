//! The built host-local as runtimes and other plugins meet it, and beside the reference's, whose files it shares.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use serde_json::{Value, json};
use tempfile::TempDir;

const OURS: &str = env!("CARGO_BIN_EXE_host-local");

/// The reference's binary.
fn theirs() -> &'static str {
    let path = "/usr/lib/cni/host-local";
    assert!(Path::new(path).exists(), "{path} is missing: install containernetworking-plugins");
    path
}

/// A folder for reservations, and an `ipam` object that leads to it.
struct Net {
    dir: TempDir,
    config: Value,
}

/// What a call came to: the printed JSON, or null; as an error if it failed.
type Outcome = Result<Value, Value>;

impl Net {
    /// A network named `pods`, of version 1.0.0 if the configuration does not say, `ipam.dataDir` being a new folder.
    fn new(mut config: Value) -> Net {
        let dir = tempfile::tempdir().unwrap();
        config["name"] = "pods".into();
        config["type"] = "bridge".into();
        config["ipam"]["type"] = "host-local".into();
        config["ipam"]["dataDir"] = dir.path().to_str().unwrap().into();
        if config.get("cniVersion").is_none() {
            config["cniVersion"] = "1.0.0".into();
        }
        Net { dir, config }
    }

    /// A network with one range set of one subnet.
    fn of(subnet: &str) -> Net {
        Net::new(json!({"ipam": {"subnet": subnet}}))
    }

    fn add(&self, binary: &str, container: &str) -> Outcome {
        self.call(binary, "ADD", &format!("{container} eth0"))
    }

    fn del(&self, binary: &str, container: &str) -> Outcome {
        self.call(binary, "DEL", &format!("{container} eth0"))
    }

    /// Runs a verb for `container ifname [CNI_ARGS]`.
    fn call(&self, binary: &str, verb: &str, target: &str) -> Outcome {
        self.call_with(Command::new(binary), verb, target, &self.config)
    }

    fn call_with(&self, mut command: Command, verb: &str, target: &str, stdin: &Value) -> Outcome {
        let mut words = target.splitn(3, ' ');
        let mut word = || words.next().unwrap_or_default();
        let mut child = command
            .env_clear()
            .env("CNI_COMMAND", verb)
            .env("CNI_CONTAINERID", word())
            .env("CNI_IFNAME", word())
            .env("CNI_ARGS", word())
            .env("CNI_NETNS", "/run/netns/not-looked-at")
            .env("CNI_PATH", "/nonexistent")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(stdin.to_string().as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let printed = match output.stdout.is_empty() {
            true => Value::Null,
            false => serde_json::from_slice(&output.stdout).unwrap(),
        };
        if output.status.success() { Ok(printed) } else { Err(printed) }
    }

    /// The files of the network: mode and content by name.
    fn files(&self) -> BTreeMap<String, String> {
        let Ok(entries) = fs::read_dir(self.dir.path().join("pods")) else {
            return BTreeMap::new();
        };
        let read = |entry: fs::DirEntry| {
            let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
            let content = fs::read_to_string(entry.path()).unwrap();
            (entry.file_name().into_string().unwrap(), format!("{mode:o} {content}"))
        };
        entries.map(|entry| read(entry.unwrap())).collect()
    }

    /// The names of the files that stand for addresses.
    fn taken(&self) -> Vec<String> {
        self.files()
            .into_keys()
            .filter(|name| name.contains(['.', ':']) && !name.starts_with(['l', '.']))
            .collect()
    }

    fn write(&self, name: &str, content: &str) {
        fs::create_dir_all(self.dir.path().join("pods")).unwrap();
        fs::write(self.dir.path().join("pods").join(name), content).unwrap();
    }
}

/// The addresses of a result.
fn addresses(outcome: &Outcome) -> Vec<String> {
    let ips = outcome.as_ref().unwrap()["ips"].as_array().unwrap();
    ips.iter().map(|ip| ip["address"].as_str().unwrap().to_owned()).collect()
}

/// The code and the message of an error.
fn error(outcome: Outcome) -> (u64, String) {
    let error = outcome.unwrap_err();
    (error["code"].as_u64().unwrap(), error["msg"].as_str().unwrap().to_owned())
}

fn dual(version: &str) -> Net {
    Net::new(json!({"cniVersion": version, "ipam": {
        "ranges": [[{"subnet": "10.1.2.0/24"}, {"subnet": "10.2.2.0/24"}], [{"subnet": "2001:db8:1::/64"}]],
        "routes": [{"dst": "0.0.0.0/0"}, {"dst": "192.168.0.0/16", "gw": "10.1.2.9"}, {"dst": "::/0"}],
    }}))
}

#[test]
fn the_result_has_the_shape_of_its_version() {
    let routes =
        json!([{"dst": "0.0.0.0/0"}, {"dst": "192.168.0.0/16", "gw": "10.1.2.9"}, {"dst": "::/0"}]);
    let ips = |numbers: bool| {
        let mut ips = json!([{"address": "10.1.2.2/24", "gateway": "10.1.2.1"},
            {"address": "2001:db8:1::2/64", "gateway": "2001:db8:1::1"}]);
        if numbers {
            ips[0]["version"] = "4".into();
            ips[1]["version"] = "6".into();
        }
        ips
    };
    for version in ["1.1.0", "1.0.0"] {
        let expected = json!({"cniVersion": version, "ips": ips(false), "routes": routes});
        assert_eq!(dual(version).add(OURS, "c1"), Ok(expected));
    }
    for version in ["0.4.0", "0.3.1", "0.3.0"] {
        let expected =
            json!({"cniVersion": version, "ips": ips(true), "routes": routes, "dns": {}});
        assert_eq!(dual(version).add(OURS, "c1"), Ok(expected));
    }
    for version in ["0.2.0", "0.1.0"] {
        let expected = json!({"cniVersion": version, "dns": {},
            "ip4": {"ip": "10.1.2.2/24", "gateway": "10.1.2.1",
                "routes": [{"dst": "0.0.0.0/0"}, {"dst": "192.168.0.0/16", "gw": "10.1.2.9"}]},
            "ip6": {"ip": "2001:db8:1::2/64", "gateway": "2001:db8:1::1", "routes": [{"dst": "::/0"}]}});
        assert_eq!(dual(version).add(OURS, "c1"), Ok(expected));
    }
}

#[test]
fn the_files_are_the_references() {
    let net = dual("1.0.0");
    net.add(OURS, "c1").unwrap();
    net.call(OURS, "ADD", "c1 eth1").unwrap();
    let owned = |ifname: &str| format!("600 c1\r\n{ifname}");
    let expected = [
        ("10.1.2.2", owned("eth0")),
        ("10.1.2.3", owned("eth1")),
        ("2001:db8:1::2", owned("eth0")),
        ("2001:db8:1::3", owned("eth1")),
        ("last_reserved_ip.0", "600 10.1.2.3".into()),
        ("last_reserved_ip.1", "600 2001:db8:1::3".into()),
        ("lock", "750 ".into()),
    ];
    assert_eq!(net.files(), expected.map(|(name, it)| (name.to_owned(), it)).into());
    let folder = fs::metadata(net.dir.path().join("pods")).unwrap();
    assert_eq!(folder.permissions().mode() & 0o777, 0o755);

    net.del(OURS, "c1").unwrap();
    net.del(OURS, "c1").unwrap();
    assert_eq!(net.taken(), ["10.1.2.3", "2001:db8:1::3"]);
}

#[test]
fn each_suite_takes_over_from_the_other() {
    for (first, second) in [(OURS, theirs()), (theirs(), OURS)] {
        let net = dual("1.0.0");
        let mut given = BTreeSet::new();
        for number in 0..10 {
            let binary = if number % 2 == 0 { first } else { second };
            given.extend(addresses(&net.add(binary, &format!("c{number}"))));
        }
        assert_eq!(given.len(), 20);
        for number in 0..10 {
            let (container, swapped) = (format!("c{number}"), [second, first][number % 2]);
            net.call(swapped, "CHECK", &format!("{container} eth0")).unwrap();
            assert_eq!(error(net.add(swapped, &container)), error(net.add(OURS, &container)));
            net.del(swapped, &container).unwrap();
            net.call(OURS, "CHECK", &format!("{container} eth0")).unwrap_err();
            net.call(theirs(), "CHECK", &format!("{container} eth0")).unwrap_err();
        }
        assert_eq!(net.taken(), Vec::<String>::new());
        assert_eq!(addresses(&net.add(second, "c"))[0], "10.1.2.12/24");
        assert_eq!(addresses(&net.add(first, "d"))[0], "10.1.2.13/24");
    }
}

/// Configurations, and what is called with them one after the other.
fn table(resolv: &str) -> Vec<(Value, &'static [&'static str])> {
    const TWO: &[&str] =
        &["ADD a eth0", "ADD b eth0", "ADD a eth1", "CHECK a eth0", "DEL a eth0", "ADD c eth0"];
    const ONCE: &[&str] = &["ADD a eth0", "ADD a eth0", "DEL a eth0", "DEL a eth0"];
    const FILL: &[&str] = &[
        "ADD a eth0",
        "ADD b eth0",
        "ADD c eth0",
        "ADD d eth0",
        "ADD e eth0",
        "ADD f eth0",
        "DEL b eth0",
        "DEL d eth0",
        "ADD g eth0",
        "DEL g eth0",
        "ADD h eth0",
        "ADD i eth0",
        "ADD j eth0",
    ];
    const ASK: &[&str] = &[
        "ADD a eth0 IP=10.1.2.88",
        "ADD b eth0 IP=10.1.2.88/16",
        "ADD c eth0",
        "DEL a eth0",
        "ADD b eth0 IgnoreUnknown=1;K8S_POD_NAME=x;IP=10.1.2.88",
        "ADD d eth0 IP=10.1.2.1",
        "ADD e eth0 IP=10.1.2",
        "ADD f eth0 A=B",
    ];
    let ranges = |ranges: Value| json!({"ipam": {"ranges": ranges}});
    let v4 = json!({"subnet": "10.1.2.0/24"});
    let v6 = json!({"subnet": "2001:db8::/64"});
    vec![
        (json!({"ipam": v4}), TWO),
        (json!({"ipam": v6}), TWO),
        (json!({"ipam": v4}), ONCE),
        (json!({"ipam": v4}), ASK),
        (ranges(json!([[v4], [v6]])), TWO),
        (ranges(json!([[v6], [v4]])), ONCE),
        (ranges(json!([[v4], [{"subnet": "10.2.0.0/16"}], [v6]])), TWO),
        (
            ranges(
                json!([[{"subnet": "10.0.0.0/30"}, {"subnet": "10.0.1.0/30"}, {"subnet": "10.0.2.0/29"}]]),
            ),
            FILL,
        ),
        (json!({"ipam": {"subnet": "10.0.0.0/29"}}), FILL),
        (json!({"ipam": {"subnet": "10.0.0.0/30"}}), FILL),
        (json!({"ipam": {"subnet": "2001:db8::/126"}}), FILL),
        (
            json!({"ipam": {"subnet": "10.0.0.0/24", "rangeStart": "10.0.0.250", "rangeEnd": "10.0.0.254"}}),
            FILL,
        ),
        (
            json!({"ipam": {"subnet": "10.0.0.0/24", "rangeStart": "10.0.0.252", "rangeEnd": "10.0.0.255"}}),
            FILL,
        ),
        (
            json!({"ipam": {"subnet": "10.0.0.0/24", "rangeStart": "10.0.0.0", "rangeEnd": "10.0.0.3"}}),
            FILL,
        ),
        (
            json!({"ipam": {"subnet": "10.0.0.0/24", "rangeStart": "10.0.0.4", "rangeEnd": "10.0.0.7",
            "gateway": "10.0.0.6"}}),
            FILL,
        ),
        (json!({"ipam": {"subnet": "10.0.0.0/24", "gateway": "192.0.2.1"}}), TWO),
        (
            json!({"ipam": {"subnet": "10.0.0.0/24", "gateway": "10.0.0.254", "ranges": [[v6]]}}),
            TWO,
        ),
        (
            json!({"ipam": {"subnet": "10.1.0.0/24", "ranges": [[v4]]},
            "runtimeConfig": {"ipRanges": [[{"subnet": "10.3.0.0/24", "rangeStart": "10.3.0.9"}]]}}),
            TWO,
        ),
        (
            json!({"ipam": {"ranges": [[v4], [v6]]}, "args": {"cni": {"ips": ["10.1.2.77", "2001:db8::77/64"]}}}),
            TWO,
        ),
        (
            json!({"ipam": {"ranges": [[v4], [v6]]}, "runtimeConfig": {"ips": ["10.1.2.77/24"]}}),
            TWO,
        ),
        (
            json!({"ipam": v4, "runtimeConfig": {"ips": ["10.1.2.77/24"]}, "args": {"cni": {"ips": ["10.1.2.77"]}}}),
            TWO,
        ),
        (
            json!({"IPAM": null, "ipam": {"Subnet": "10.1.2.0/24", "ROUTES": [{"dst": "0.0.0.0/0"},
            {"dst": "10.9.0.0/16", "gw": "10.1.2.200"}, {"dst": "2001:db8::/32", "gw": "fe80::1"}]}}),
            TWO,
        ),
        (json!({"ipam": {"subnet": "10.1.2.0/24", "resolvConf": resolv}}), TWO),
        (json!({"ipam": {"subnet": "10.1.2.0/31"}}), &["ADD a eth0"]),
        (json!({"ipam": {"subnet": "10.1.2.3/24"}}), &["ADD a eth0", "CHECK a eth0"]),
        (json!({"ipam": {"subnet": "10.1.2.0/24", "rangeStart": "10.1.3.1"}}), &["ADD a eth0"]),
        (json!({"ipam": {"subnet": "10.1.2.0/24", "rangeEnd": "10.1.3.1"}}), &["ADD a eth0"]),
        (ranges(json!([[]])), &["ADD a eth0"]),
        (ranges(json!([])), &["ADD a eth0"]),
        (ranges(json!([[v4, v6]])), &["ADD a eth0"]),
        (ranges(json!([[v4, v4]])), &["ADD a eth0"]),
        (ranges(json!([[v4], [v6], [{"subnet": "10.0.0.0/8"}]])), &["ADD a eth0"]),
        (
            json!({"cniVersion": "0.2.0", "ipam": {"subnet": "10.0.0.0/24", "ranges": [[v4]]}}),
            &["ADD a eth0"],
        ),
        (
            json!({"cniVersion": "0.2.0", "ipam": {"ranges": [[v4], [v6]]}}),
            &["ADD a eth0", "DEL a eth0"],
        ),
        (json!({"cniVersion": "0.4.0", "ipam": {"ranges": [[v4], [v6]]}}), TWO),
        (json!({"cniVersion": "0.3.1", "ipam": {"ranges": [[v4], [v6]]}}), TWO),
    ]
}

/// What has to be the same: of an error the message, since the reference has one code for all; of a result everything but
/// an empty `dns`, which its older versions print.
fn gist(outcome: &Outcome) -> Outcome {
    let mut gist = outcome.clone();
    match &mut gist {
        Ok(Value::Object(keys)) => keys.retain(|key, value| key != "dns" || *value != json!({})),
        Ok(_) => {}
        Err(error) => *error = error["msg"].take(),
    }
    gist
}

#[test]
fn the_same_calls_give_what_the_reference_gives() {
    let resolv = tempfile::NamedTempFile::new().unwrap();
    fs::write(
        &resolv,
        "# x\nnameserver 10.0.0.53\nnameserver ::1\ndomain a\nsearch b c\noptions ndots:5 rotate\n",
    )
    .unwrap();
    let mut differences: Vec<String> = Vec::new();
    for (config, calls) in table(resolv.path().to_str().unwrap()) {
        let (ours, theirs_net) = (Net::new(config.clone()), Net::new(config.clone()));
        for call in calls {
            let (verb, target) = call.split_once(' ').unwrap();
            let our = ours.call(OURS, verb, target);
            let their = theirs_net.call(theirs(), verb, target);
            if gist(&our) != gist(&their) {
                differences
                    .push(format!("{call} with {config}:\n ours   {our:?}\n theirs {their:?}"));
            }
        }
        // The installed version of the reference has mode 644 where newer ones have 600.
        let newer = |text: String| text.replacen("644 ", "600 ", 1);
        let files: BTreeMap<_, _> =
            theirs_net.files().into_iter().map(|(name, text)| (name, newer(text))).collect();
        if ours.files() != files {
            differences.push(format!("{config}:\n ours   {:?}\n theirs {files:?}", ours.files()));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n\n"));
}

#[test]
fn sixty_four_at_once_get_sixty_four_addresses() {
    for others in [OURS, theirs()] {
        let net = Net::of("10.1.0.0/16");
        let given: BTreeSet<String> = thread::scope(|scope| {
            let add = |number: usize| {
                let binary = if number % 2 == 0 { OURS } else { others };
                addresses(&net.add(binary, &format!("c{number}"))).remove(0)
            };
            let calls: Vec<_> = (0..64).map(|number| scope.spawn(move || add(number))).collect();
            calls.into_iter().map(|call| call.join().unwrap()).collect()
        });
        assert_eq!((given.len(), net.taken().len()), (64, 64));
    }
}

#[test]
fn a_requested_address_does_not_make_a_second_add_good() {
    let net = Net::of("10.1.2.0/24");
    net.add(OURS, "c1").unwrap();
    let (_, msg) = error(net.call(OURS, "ADD", "c1 eth0 IP=10.1.2.50"));
    assert!(msg.ends_with("duplicate allocation is not allowed"), "{msg}");
    assert_eq!(net.taken(), ["10.1.2.2"]);
}

#[test]
fn of_two_requested_addresses_in_one_set_the_first_is_taken() {
    let net = Net::new(
        json!({"ipam": {"subnet": "10.1.2.0/24"}, "runtimeConfig": {"ips": ["10.1.2.9", "10.1.2.8"]}}),
    );
    for container in ["c1", "c2", "c3", "c4"] {
        let (_, msg) = error(net.add(OURS, container));
        assert_eq!(msg, "failed to allocate all requested IPs: 10.1.2.8");
    }
    assert_eq!(net.taken(), Vec::<String>::new());
}

#[test]
fn a_full_set_is_worth_another_try() {
    let net = Net::of("10.1.2.0/30");
    net.add(OURS, "c1").unwrap();
    let before = net.files();
    let (code, msg) = error(net.add(OURS, "c2"));
    assert_eq!(code, 11);
    assert_eq!(
        msg,
        "failed to allocate for range 0: no IP addresses available in range set: 10.1.2.1-10.1.2.2"
    );
    assert_eq!(net.files(), before);
}

#[test]
fn a_failing_add_changes_no_file() {
    let net = Net::new(
        json!({"ipam": {"ranges": [[{"subnet": "10.1.2.0/24"}], [{"subnet": "10.2.2.0/30"}]]}}),
    );
    net.add(OURS, "c1").unwrap();
    let before = net.files();
    net.add(OURS, "c2").unwrap_err();
    let (_, msg) = error(net.call(OURS, "ADD", "c3 eth0 IP=10.9.9.9"));
    assert_eq!(
        msg,
        "failed to allocate for range 1: no IP addresses available in range set: 10.2.2.1-10.2.2.2"
    );
    net.add(OURS, "c1").unwrap_err();
    assert_eq!(net.files(), before);

    // The reference moves its counters all the same; here the failed ones leave no trace.
    let net = Net::of("10.1.2.0/24");
    let (_, msg) = error(net.call(OURS, "ADD", "c1 eth0 IP=10.9.9.9"));
    assert_eq!(msg, "failed to allocate all requested IPs: 10.9.9.9");
    assert_eq!(net.files().into_keys().collect::<Vec<_>>(), ["lock"]);
    let net = Net::new(json!({"ipam": {"subnet": "10.1.2.0/24", "resolvConf": "/nonexistent"}}));
    let (code, msg) = error(net.add(OURS, "c1"));
    assert_eq!(code, 5);
    assert!(msg.starts_with("read resolvConf /nonexistent: "), "{msg}");
    assert_eq!(net.files(), BTreeMap::new());
}

#[test]
fn what_an_old_version_or_a_killed_one_left_is_dealt_with() {
    let net = Net::of("10.1.2.0/24");
    net.write("10.1.2.2", "");
    net.write("10.1.2.3", "old");
    net.write(".draft", "c1\r\net");
    assert_eq!(addresses(&net.add(OURS, "c1")), ["10.1.2.2/24"]);
    assert_eq!(net.files()["10.1.2.2"], "600 c1\r\neth0");
    net.del(OURS, "old").unwrap();
    assert_eq!(net.taken(), ["10.1.2.2"]);
    assert!(!net.files().contains_key(".draft"));
}

/// Kills ADD at every system call that changes a file, and looks at what is there.
#[test]
fn a_kill_leaves_nothing_or_what_del_removes() {
    for at in ["openat", "write", "linkat,link", "unlink,unlinkat", "rename,renameat,renameat2"] {
        let mut killed = 0;
        for when in 1..12 {
            let net = Net::of("10.1.2.0/24");
            net.add(OURS, "c0").unwrap();
            let mut strace = Command::new("strace");
            let inject = format!("inject={at}:signal=KILL:when={when}");
            strace.args(["-f", "-qq", "-o", "/dev/null", "-P"]).arg(net.dir.path().join("pods"));
            for file in ["lock", ".draft", "10.1.2.3", "last_reserved_ip.0"] {
                strace.arg("-P").arg(net.dir.path().join("pods").join(file));
            }
            strace.args(["-e", &format!("trace={at}"), "-e", &inject, OURS]);
            let done = net.call_with(strace, "ADD", "c1 eth0", &net.config).is_ok();

            let content = net.files().remove("10.1.2.3");
            assert!(content.is_none_or(|it| it == "600 c1\r\neth0"), "{at} {when}");
            net.del(OURS, "c1").unwrap();
            assert_eq!(net.taken(), ["10.1.2.2"], "{at} {when}");
            net.add(OURS, "c2").unwrap();
            let names: Vec<String> = net.files().into_keys().collect();
            assert_eq!(names.len(), 4, "{names:?} after {at} {when}");
            if done {
                break;
            }
            killed += 1;
        }
        assert!(killed > 0, "ADD was never killed at {at}");
    }
}

#[test]
fn gc_gives_back_what_is_not_listed() {
    let mut net = Net::of("10.1.2.0/24");
    net.config["cniVersion"] = "1.1.0".into();
    for container in ["c1", "c2", "c3"] {
        net.add(OURS, container).unwrap();
    }
    net.config["cni.dev/valid-attachments"] = json!([{"containerID": "c2", "ifname": "eth0"}]);
    assert_eq!(net.call(OURS, "GC", ""), Ok(Value::Null));
    assert_eq!(net.taken(), ["10.1.2.3"]);
}

#[test]
fn status_says_what_is_full() {
    let mut net = Net::of("10.1.2.0/30");
    net.config["cniVersion"] = "1.1.0".into();
    assert_eq!(net.call(OURS, "STATUS", ""), Ok(Value::Null));
    assert_eq!(net.files(), BTreeMap::new());
    net.add(OURS, "c1").unwrap();
    let msg = "range set 0 (10.1.2.0/30): all 1 addresses are taken";
    assert_eq!(error(net.call(OURS, "STATUS", "")), (50, msg.to_owned()));
}

#[test]
fn paths_stay_where_they_belong() {
    let mut net = Net::of("10.1.2.0/24");
    for bad in ["relative/path", "/tmp/../etc/cni"] {
        net.config["ipam"]["dataDir"] = bad.into();
        let msg = "dataDir has to be an absolute path without ..".to_owned();
        assert_eq!(error(net.add(OURS, "c1")), (7, msg));
    }
    let mut net = Net::of("10.1.2.0/24");
    let elsewhere = tempfile::tempdir().unwrap();
    fs::create_dir(net.dir.path().join("pods")).unwrap();
    for name in ["10.1.2.2", "lock"] {
        let link = net.dir.path().join("pods").join(name);
        std::os::unix::fs::symlink(elsewhere.path().join(name), &link).unwrap();
        if name == "10.1.2.2" {
            assert_eq!(addresses(&net.add(OURS, "c1")), ["10.1.2.3/24"]);
            fs::remove_file(net.dir.path().join("pods/lock")).unwrap();
        }
    }
    assert_eq!(error(net.add(OURS, "c2")).0, 5);
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
    net.config["name"] = "../pods".into();
    assert_eq!(error(net.add(OURS, "c1")).0, 7);
}
