//! `ctr run --cni` calls the plugins: what ctr cleans up itself, and what needs a clean-up.
#![cfg(test)]

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use e2e::{Containerd, IMAGE, Machine, Release, Sandbox, Web, client, output, page};
use serde_json::{Value, json};
use testbed::{Output, Pod};

/// A network of the machine.
fn network(plugins: Value) -> Value {
    json!({ "cniVersion": "1.0.0", "name": "pods", "plugins": plugins })
}

fn bridge() -> Value {
    json!({
        "type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": true,
        "ipam": {
            "type": "host-local",
            "ranges": [[{ "subnet": "10.88.0.0/24" }], [{ "subnet": "fd00:88::/64" }]],
            "routes": [{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }]
        }
    })
}

/// Runs ctr, which may fail.
fn ctr(containerd: &Containerd, arguments: &[&str]) -> Output {
    output(containerd.ctr_command().args(arguments))
}

/// Starts an attached container, which runs until its task is killed.
fn attached(containerd: &Containerd, name: &str, command: &[&str]) -> Child {
    let mut ctr = containerd.ctr_command();
    ctr.args(["run", "--rm", "--cni", IMAGE, name]).args(command).stdout(Stdio::null());
    ctr.spawn().unwrap()
}

/// The namespace of a container, once it runs.
fn pod(containerd: &Containerd, name: &str) -> Pod {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let tasks = containerd.ctr(&["task", "ls"]);
        let mut lines = tasks.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        if let Some(task) = lines.find(|task| task[0] == name && task[2] == "RUNNING") {
            return Pod::at(name, format!("/proc/{}/ns/net", task[1]));
        }
        assert!(Instant::now() < deadline, "{name} does not run:\n{tasks}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Ends a detached container.
fn end(containerd: &Containerd, name: &str) {
    containerd.ctr(&["task", "rm", "--force", name]);
    containerd.ctr(&["container", "rm", name]);
}

/// Runs cnitool, which must succeed.
fn cnitool(machine: &Machine, arguments: &[&str]) -> Output {
    let done = machine.try_run(&[&["/opt/cni/bin/cnitool"], arguments].concat());
    assert!(done.status.success(), "cnitool {arguments:?}: {}", done.stderr);
    done
}

/// The first message of `cnitool gc` on a network in version 1.0.0.
const NO_GC: &str = "the configuration of pods is of version 1.0.0, in which plugins know no GC: \
                     only what is in the cache goes. Give it \"cniVersions\": [\"1.0.0\", \
                     \"1.1.0\"] too\n";

#[test]
fn attached_containers_leave_nothing() {
    let machine = Machine::new();
    let outside = machine.outside();
    let _web = Web::start(&machine, &outside);
    machine.network(network(json!([bridge()])));
    let before = machine.state();
    let containerd = Containerd::start(&machine, Release::asked());
    let mut a = attached(&containerd, "a", &["sleep", "1000000"]);
    let mut b = attached(&containerd, "b", &["httpd", "-f", "-p", "80", "-h", "/www"]);
    let (pod_a, pod_b) = (pod(&containerd, "a"), pod(&containerd, "b"));
    assert_eq!(machine.reservations().len(), 4);
    for address in addresses(&pod_b) {
        assert!(pod_a.ping(&address) && machine.ping(&address), "{address}");
        assert_eq!(page(&pod_a, &address), "served by a pod\n");
        assert_eq!(page(&machine, &address), "served by a pod\n");
    }
    for address in [outside.v4, outside.v6] {
        assert!(pod_a.ping(address), "{address}");
        let url = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
        let fetch = ["run", "--rm", "--cni", IMAGE, "c", "wget", "-qO-", &format!("http://{url}/")];
        assert_eq!(containerd.ctr(&fetch), "from outside\n");
    }
    for (name, child) in [("a", &mut a), ("b", &mut b)] {
        containerd.ctr(&["task", "kill", "--signal", "SIGKILL", name]);
        child.wait().unwrap();
    }
    assert_eq!(machine.reservations(), [""; 0]);
    let failed = ctr(&containerd, &["run", "--rm", "--cni", IMAGE, "d", "no-such-command"]);
    assert!(failed.stderr.contains("executable file not found"), "{}", failed.stderr);
    containerd.stop();
    insta::assert_snapshot!(machine.changes(&before));
}

/// The IPv4 and IPv6 addresses of eth0.
fn addresses(pod: &Pod) -> Vec<String> {
    let shown: Value =
        serde_json::from_str(&pod.run(&["ip", "-j", "addr", "show", "dev", "eth0"])).unwrap();
    let all = shown[0]["addr_info"].as_array().unwrap().iter();
    let global = all.filter(|address| address["scope"] == "global");
    let addresses: Vec<_> =
        global.map(|address| address["local"].as_str().unwrap().to_owned()).collect();
    assert_eq!(addresses.len(), 2, "{shown:#}");
    addresses
}

#[test]
fn detached_containers_are_taken_down_by_cnitool() {
    let machine = Machine::new();
    let outside = machine.outside();
    machine.network(network(json!([bridge()])));
    let before = machine.state();
    let containerd = Containerd::start(&machine, Release::asked());
    for name in ["a", "b", "c"] {
        containerd.ctr(&["run", "--detach", "--cni", IMAGE, name]);
    }
    let [a, b, live] = ["a", "b", "c"].map(|name| pod(&containerd, name));
    end(&containerd, "a");
    // As if it had ended by itself.
    let process = b.path().components().nth(2).unwrap().as_os_str().to_str().unwrap();
    machine.run(&["kill", "-KILL", process]);
    end(&containerd, "b");
    assert_eq!(machine.reservations().len(), 6);
    let gone = |pod: &Pod| {
        let (name, namespace) = (pod.name(), pod.path().display());
        format!("default-{name}/eth0 from pods ({namespace} is gone)\n")
    };
    let found = cnitool(&machine, &["gc", "pods", "--dry-run"]);
    assert_eq!(found.stderr, format!("{NO_GC}would remove {}would remove {}", gone(&a), gone(&b)));
    let namespace = b.path().to_str().unwrap();
    cnitool(&machine, &["del", "pods", namespace, "--container-id", "default-b"]);
    assert_eq!(machine.reservations().len(), 4);
    let removed = cnitool(&machine, &["gc", "pods"]);
    assert_eq!(removed.stderr, format!("{NO_GC}removing {}", gone(&a)));
    assert_eq!(machine.reservations(), ["pods/10.88.0.4", "pods/fd00:88::4"]);
    assert!(live.ping(outside.v4) && live.ping(outside.v6));
    containerd.ctr(&["task", "kill", "--signal", "SIGKILL", "c"]);
    // The newer ctr cleans up after a task that it kills.
    let left = if Release::asked() == Release::Newest { 0 } else { 2 };
    assert_eq!(machine.reservations().len(), left);
    end(&containerd, "c");
    cnitool(&machine, &["gc", "pods"]);
    containerd.stop();
    insta::assert_snapshot!(machine.changes(&before));
}

#[test]
fn a_network_that_fails_gives_the_reason_and_leaves_nothing() {
    let machine = Machine::new();
    let link = json!({ "type": "macvlan", "master": "no-such-link", "ipam": bridge()["ipam"] });
    machine.network(network(json!([link])));
    let before = machine.state();
    let containerd = Containerd::start(&machine, Release::asked());
    for options in [&["--rm"][..], &["--detach"]] {
        let run = [&["run", "--cni"], options, &[IMAGE, "a"]].concat();
        let failed = ctr(&containerd, &run);
        assert_eq!(
            failed.stderr,
            concat!(
                r#"ctr: plugin type="macvlan" failed (add): Link not found: no-such-link; "#,
                "\"master\" has to be a link of the host\n"
            )
        );
        assert_eq!(machine.reservations(), [""; 0]);
        // The older ctr leaves its own part of the container in either case.
        ctr(&containerd, &["task", "rm", "--force", "a"]);
        ctr(&containerd, &["container", "rm", "a"]);
    }
    containerd.stop();
    insta::assert_snapshot!(machine.changes(&before));
}

#[test]
fn a_chain_that_fails_is_taken_down() {
    let machine = Machine::new();
    let second =
        json!({ "type": "ptp", "ipam": { "type": "host-local", "subnet": "10.89.0.0/24" } });
    machine.network(network(json!([bridge(), second])));
    let before = machine.state();
    let containerd = Containerd::start(&machine, Release::asked());
    let said = r#"ctr: plugin type="ptp" failed (add): create the interface eth0: interface "eth0" already exists"#;
    let failed = ctr(&containerd, &["run", "--rm", "--cni", IMAGE, "a"]);
    assert!(failed.stderr.starts_with(said), "{}", failed.stderr);
    assert_eq!(machine.reservations(), [""; 0]);
    let failed = ctr(&containerd, &["run", "--detach", "--cni", IMAGE, "b"]);
    assert!(failed.stderr.starts_with(said), "{}", failed.stderr);
    assert_eq!(machine.reservations().len(), 2);
    // A failed ADD leaves no cached result, but DEL needs none.
    let namespace = "/proc/gone/ns/net";
    cnitool(&machine, &["del", "pods", namespace, "--container-id", "default-b"]);
    assert_eq!(machine.reservations(), [""; 0]);
    end(&containerd, "b");
    containerd.stop();
    insta::assert_snapshot!(machine.changes(&before));
}

#[test]
fn of_several_networks_the_first_is_used() {
    let machine = Machine::new();
    machine.network(network(json!([bridge()])));
    let mut first = network(json!([{ "type": "ptp", "ipam": bridge()["ipam"] }]));
    first["name"] = json!("first");
    machine.network(first);
    let containerd = Containerd::start(&machine, Release::asked());
    containerd.ctr(&["run", "--detach", "--cni", IMAGE, "a"]);
    assert_eq!(machine.reservations(), ["first/10.88.0.2", "first/fd00:88::2"]);
    assert_eq!(addresses(&pod(&containerd, "a")), ["10.88.0.2", "fd00:88::2"]);
}

#[test]
fn version_1_1_0_is_for_the_newer() {
    let machine = Machine::new();
    let mut newer = network(json!([bridge()]));
    newer["cniVersion"] = json!("1.1.0");
    machine.network(newer);
    let containerd = Containerd::start(&machine, Release::asked());
    let run = ctr(&containerd, &["run", "--rm", "--cni", IMAGE, "a", "ip", "addr"]);
    let pod = containerd.run_sandbox(&Sandbox::new("b"));
    match Release::asked() {
        Release::Stable => {
            let said =
                r#"plugin type="bridge" failed (add): unsupported CNI result version "1.1.0""#;
            assert_eq!(run.stderr, format!("ctr: {said}\n"));
            assert!(pod.as_ref().is_err_and(|error| error.ends_with(said)), "{pod:?}");
        }
        Release::Newest => {
            assert!(run.stdout.contains("inet 10.88.0.2/24"), "{}", run.stderr);
            containerd.stop_sandbox(&pod.unwrap()).unwrap();
        }
    }
    assert_eq!(machine.reservations(), [""; 0]);
}

#[test]
fn containerd_itself_looks_elsewhere_on_debian() {
    let settings = client("containerd", "etc/containerd/config.toml");
    let settings = std::fs::read_to_string(settings).unwrap();
    assert!(settings.contains("bin_dir = \"/usr/lib/cni\"\n"), "{settings}");
}
