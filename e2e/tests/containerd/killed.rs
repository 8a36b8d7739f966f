//! containerd is killed at the worst moments. The network of living pods continues to work, and
//! `cnitool gc` removes what the other pods had.
//!
//! What is left of those belongs to containerd: it still knows them as pods that are not ready,
//! with the file of their namespace and the cached result of `lo`. These are removed with the pods,
//! which the kubelet stops and removes. Only a namespace that was made right before the kill is
//! unknown to containerd: its empty file stays.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::{fs, io};

use e2e::{PLUGINS, Sandbox};
use nix::mount::umount;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use testbed::Pod;

use crate::networks::{self, with};
use crate::scene::Scene;
use crate::witness::{until, until_no_plugin_runs};

#[test]
fn between_add_and_its_record_on_a_bridge() {
    between_add_and_its_record(networks::bridge());
}

#[test]
fn between_add_and_its_record_on_the_network_of_the_machine() {
    between_add_and_its_record(with(networks::macvlan(), json!({ "hostAccess": true })));
}

/// The plugins have made everything, and containerd has not read the result.
fn between_add_and_its_record(network: Value) {
    let mut crash = Crash::new(network);
    let adds = crash.scene.witness.calls("ADD").len();
    crash.scene.witness.hold("ADD");
    let lost = crash.scene.containerd.meanwhile(|cri| cri.run_sandbox(&Sandbox::new("lost")));
    crash.scene.witness.until("ADD", adds + 1);
    crash.scene.containerd.kill();
    lost.join().unwrap().unwrap_err();
    comes_back(crash);
}

/// After a crash with one lost pod, which has its network.
fn comes_back(mut crash: Crash) {
    crash.scene.witness.release();
    until_no_plugin_runs();
    assert_eq!(crash.scene.machine.reservations().len(), 2 * 3, "the lost pod has addresses too");
    crash.scene.containerd.restart();
    crash.gc();
    crash.only_the_runtimes_own_is_left();
    crash.remove_others();
    crash.end();
}

/// The processes of the pod have ended, and its network still exists.
#[test]
fn between_del_and_its_record() {
    let mut crash = Crash::new(networks::bridge());
    let lost = crash.scene.containerd.run_sandbox(&Sandbox::new("lost")).unwrap();
    let dels = crash.scene.witness.calls("DEL").len();
    crash.scene.witness.hold("DEL");
    let stop = crash.scene.containerd.meanwhile(move |cri| cri.stop_sandbox(&lost));
    crash.scene.witness.until("DEL", dels + 1);
    crash.scene.containerd.kill();
    stop.join().unwrap().unwrap_err();
    comes_back(crash);
}

/// Several times: as soon as some pods of a burst have their network, or run.
#[test]
fn within_a_burst() {
    const MOMENTS: [(usize, usize); 5] = [(1, 0), (4, 0), (0, 1), (8, 0), (0, 4)];
    let mut crash = Crash::new(networks::bridge());
    for (burst, (adds, live)) in MOMENTS.into_iter().enumerate() {
        let before = crash.scene.witness.calls("ADD").len();
        let name = |index| Sandbox::new(&format!("burst{burst}-{index}"));
        let sandboxes: Vec<_> = (0..8).map(name).collect();
        let started = crash.scene.containerd.meanwhile(move |cri| cri.run_sandboxes(&sandboxes));
        crash.scene.witness.until("ADD", before + adds);
        let lives = || crash.scene.containerd.live_sandboxes().len() >= crash.ids.len() + live;
        until("some of the burst live", lives);
        crash.scene.containerd.kill();
        let answered = started.join().unwrap().into_iter().filter_map(|(id, _)| id.ok());
        until_no_plugin_runs();
        crash.scene.containerd.restart();
        crash.gc();
        let live = crash.scene.containerd.live_sandboxes();
        assert!(answered.into_iter().all(|id| live.contains(&id)), "{live:?}");
        crash.only_these_have_a_network(&live);
        crash.remove_others();
    }
    crash.end();
}

/// A machine with two living pods, one of which pings the other all the time.
struct Crash {
    scene: Scene,
    /// The two living pods.
    ids: Vec<String>,
    /// The state with only these pods.
    state: String,
    /// Over IPv4 and IPv6.
    pings: Vec<Child>,
}

impl Crash {
    fn new(network: Value) -> Crash {
        let scene = Scene::watched(network);
        let (a, b) = (scene.containerd.pod("a"), scene.containerd.pod("b"));
        let ping = |address: &String| {
            let mut ping = a.command("ping");
            ping.args(["-q", "-i", "0.02", address]).stdout(Stdio::piped()).spawn().unwrap()
        };
        let pings = b.addresses().iter().map(ping).collect();
        let ids = [a, b].map(e2e::Pod::leave).to_vec();
        let state = scene.state();
        Crash { scene, ids, state, pings }
    }

    /// The operator's clean-up after a crash: all living pods are valid, and nothing else.
    fn gc(&self) {
        let live = self.scene.containerd.live_sandboxes();
        assert!(self.ids.iter().all(|id| live.contains(id)), "{live:?}");
        let lines: String = live.iter().map(|id| format!("{id}/eth0\n")).collect();
        let file = self.scene.machine.folder("gc").join("valid");
        fs::write(&file, lines).unwrap();
        let mut cnitool = Command::new(Path::new(PLUGINS).join("cnitool"));
        let output = cnitool.args(["gc", "pods", "--valid-file"]).arg(file).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    /// The machine is as it was with the two pods, except for the files of the runtime itself.
    fn only_the_runtimes_own_is_left(&self) {
        let changes = testbed::diff(&self.state, &self.scene.state());
        let own = ["  == files", "+ netns cni-", "+ result cni-loopback-"];
        let is_own = |line: &str| own.iter().any(|start| line.starts_with(start));
        assert!(changes.lines().all(is_own), "{changes}");
        self.strays();
    }

    /// The namespaces of other pods. They are empty.
    fn strays(&self) -> Vec<Pod> {
        let mut names = self.scene.machine.namespaces();
        names.retain(|name| !self.state.contains(&format!("netns {name}")));
        let at = |name: String| Pod::at(&name, format!("/run/netns/{name}"));
        let strays: Vec<_> = names.into_iter().map(at).collect();
        for stray in strays.iter().filter(|stray| is_mounted(stray)) {
            let links = stray.run(&["ip", "-o", "link"]);
            assert!(links.lines().all(|link| link.starts_with("1: lo: ")), "{stray:?}: {links}");
        }
        strays
    }

    /// Links, rules, addresses and cached results belong to the living pods, and each pod has all
    /// of them.
    fn only_these_have_a_network(&self, live: &[String]) {
        let state = self.scene.state();
        let mut owners: Vec<_> =
            state.lines().filter(|line| !line.starts_with("result cni-loopback-")).collect();
        owners.retain(|line| id_in(line).is_some());
        let found: BTreeSet<_> = owners.iter().filter_map(|line| id_in(line)).collect();
        assert_eq!(found, live.iter().map(String::as_str).collect(), "{owners:#?}");
        for id in live {
            // A link, two addresses, two elements of rules, a result.
            let count = owners.iter().filter(|line| id_in(line) == Some(id)).count();
            assert_eq!(count, 6, "{id}: {owners:#?}");
            for address in self.scene.containerd.sandbox(id).unwrap().0 {
                assert!(self.scene.machine.ping(&address), "{id} answers on {address}");
            }
        }
    }

    /// Stops and removes all other pods: nothing of them is left, except perhaps a namespace, which
    /// the test removes.
    fn remove_others(&self) {
        let mut others = self.scene.containerd.sandboxes();
        others.retain(|id| !self.ids.contains(id));
        assert!(!others.is_empty());
        self.remove(&others);
        for stray in self.strays() {
            if is_mounted(&stray) {
                umount(stray.path()).unwrap();
            }
            fs::remove_file(stray.path()).unwrap();
        }
        testbed::assert_same!(self.state, self.scene.state());
    }

    /// No ping was lost meanwhile.
    fn all_arrived(&mut self) {
        for mut ping in self.pings.drain(..) {
            kill(Pid::from_raw(ping.id() as i32), Signal::SIGINT).unwrap();
            let said = io::read_to_string(ping.stdout.take().unwrap()).unwrap();
            ping.wait().unwrap();
            let count = |word: &str| -> u32 {
                let line = said.lines().find(|line| line.contains("packets transmitted")).unwrap();
                let part = line.split(", ").find(|part| part.contains(word)).unwrap();
                part.split(' ').next().unwrap().parse().unwrap()
            };
            // The last one may still be in progress.
            let (sent, received) = (count("transmitted"), count("received"));
            assert!(sent > 1 && received + 1 >= sent, "{said}");
        }
    }

    fn remove(&self, ids: &[String]) {
        for id in ids {
            self.scene.containerd.stop_sandbox(id).unwrap();
            self.scene.containerd.remove_sandbox(id).unwrap();
        }
    }

    /// No ping was lost, and nothing is left when the two pods are gone.
    fn end(mut self) {
        self.all_arrived();
        self.remove(&self.ids);
        self.scene.is_clean();
    }
}

/// Whether the namespace is already mounted on its file, which is empty before.
fn is_mounted(namespace: &Pod) -> bool {
    let device = |path: &Path| fs::metadata(path).unwrap().dev();
    device(namespace.path()) != device(Path::new("/run/netns"))
}

/// The ID of a pod in a line: 64 hexadecimal digits.
fn id_in(line: &str) -> Option<&str> {
    let mut words = line.split(|c: char| !c.is_ascii_hexdigit());
    words.find(|word| word.len() == 64)
}
