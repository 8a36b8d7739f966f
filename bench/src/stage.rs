//! Where a contestant does a case: a node of its own, on a thread of its own, that waits for its turns.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use testbed::Node;

use crate::call::{self, Container, NETWORK};
use crate::case::{Case, Prepared, Verb};
use crate::contestant::{Contestant, Kind};
use crate::job::{Job, Ran, Step};

/// For the kernel's cleaning up, so that it does not disturb who is next.
const PAUSE: Duration = Duration::from_millis(40);

/// A contestant's place to do a case.
#[derive(Debug)]
pub struct Stage {
    turns: Sender<Turn>,
    done: Receiver<Result<Vec<Ran>, String>>,
}

/// What is to be done.
#[derive(Debug, Clone, Copy)]
pub enum Turn {
    /// All verbs, once each.
    Round,
    /// All verbs, under strace; instead of times, [`Ran`] has what [`crate::calls`] counts.
    Traced,
    /// So many containers come, so many at a time, and go.
    Burst(usize, usize),
}

impl Stage {
    /// Makes the place. `launch` is the launcher.
    pub fn new(case: &'static Case, who: &Contestant, launch: &Path) -> Stage {
        let (turns, next) = channel();
        let (tell, done) = channel();
        let (who, launch) = (who.clone(), launch.to_owned());
        thread::spawn(move || {
            let mut place = Place::new(case, who, launch);
            while let Ok(turn) = next.recv() {
                if tell.send(place.turn(turn)).is_err() {
                    break;
                }
            }
        });
        Stage { turns, done }
    }

    /// Has a turn, and waits until it is over.
    ///
    /// # Errors
    ///
    /// Something that was run failed.
    pub fn turn(&self, turn: Turn) -> Result<Vec<Ran>, String> {
        let gone = "the thread has ended: see above";
        self.turns.send(turn).map_err(|_| gone.to_owned())?;
        self.done.recv().map_err(|_| gone.to_owned())?
    }
}

struct Place {
    node: Node,
    case: &'static Case,
    who: Contestant,
    launch: PathBuf,
    containers: Vec<Container>,
}

impl Place {
    fn new(case: &'static Case, who: Contestant, launch: PathBuf) -> Place {
        let node = Node::new();
        prepare(&node, case, &who);
        let containers = (0..call::containers(case))
            .map(|number| {
                let pod = node.pod(&format!("c{number}"));
                let netns = pod.path().display().to_string();
                Container { number: number as u32, netns, result: String::new() }
            })
            .collect();
        Place { node, case, who, launch, containers }
    }

    fn turn(&mut self, turn: Turn) -> Result<Vec<Ran>, String> {
        match turn {
            Turn::Round => self.case.verbs.iter().map(|verb| self.verb(*verb, 1, 1)).collect(),
            Turn::Burst(many, at_once) => {
                [Verb::Add, Verb::Del].iter().map(|verb| self.verb(*verb, many, at_once)).collect()
            }
            Turn::Traced => Ok(Vec::new()),
        }
    }

    /// Runs a verb for the first containers.
    fn verb(&mut self, verb: Verb, many: usize, at_once: usize) -> Result<Ran, String> {
        let calls = self
            .containers
            .iter()
            .take(many)
            .map(|container| call::steps(self.case, &self.who, verb, container))
            .collect();
        let ran = self.run(&Job { at_once, calls })?;
        if verb == Verb::Add {
            for (container, done) in self.containers.iter_mut().zip(&ran.calls) {
                container.result = done.stdout.trim().to_owned();
            }
        }
        thread::sleep(PAUSE);
        Ok(ran)
    }

    fn run(&self, job: &Job) -> Result<Ran, String> {
        let say = |error| format!("{}: {error}", self.launch.display());
        let mut command = Command::new(&self.launch);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut launcher = command.spawn().map_err(say)?;
        let mut text = Vec::new();
        job.send(&mut text).map_err(say)?;
        // It reads all before it begins.
        if let Some(mut stdin) = launcher.stdin.take() {
            stdin.write_all(&text).map_err(say)?;
        }
        let output = launcher.wait_with_output().map_err(say)?;
        let ran = Ran::receive(output.stdout.as_slice()).map_err(say)?;
        match ran.calls.iter().find(|call| !call.error.is_empty()) {
            Some(failed) => Err(format!("{}, {}: {}", self.case.id, self.who.label, failed.error)),
            None => Ok(ran),
        }
    }
}

/// Makes what the case wants to be there before.
fn prepare(node: &Node, case: &Case, who: &Contestant) {
    for prepared in case.prepared {
        match prepared {
            Prepared::Uplink => drop(
                node.sh("ip link add uplink index 1000 type veth peer name far; ip link set far up
                ip link set uplink up"),
            ),
            Prepared::Taken(_) => {}
        }
    }
    if case.chain.len() > 1 {
        let _ = fs::create_dir_all("/etc/cni/net.d");
        let _ = fs::write(format!("/etc/cni/net.d/{NETWORK}.conflist"), call::list(case));
    }
    if matches!(who.kind, Kind::Floor(_)) {
        for word in case.floor.unwrap_or_default().split(' ') {
            match word {
                "bridge" => drop(node.sh(FLOOR_BRIDGE)),
                "ptp" => drop(node.sh("sysctl -qw net.ipv4.ip_forward=1")),
                "masq" => drop(node.sh(FLOOR_MASQUERADE)),
                _ => {}
            }
        }
    }
}

/// What the first ADD makes for all containers of the network; the floor has it from the start.
const FLOOR_BRIDGE: &str = "ip link add cni0 index 1000 type bridge
    ip addr add 10.88.0.1/16 brd + dev cni0
    sysctl -qw net.ipv6.conf.cni0.accept_ra=0 net.ipv4.ip_forward=1
    ip link set cni0 up";
const FLOOR_MASQUERADE: &str = "nft -f - <<END
    table inet ferrocni {
        map masq4 { type ipv4_addr : verdict; }
        map masq6 { type ipv6_addr : verdict; }
        chain postrouting {
            type nat hook postrouting priority srcnat; policy accept;
            ip daddr 224.0.0.0/4 return
            ip6 daddr ff00::/8 return
            ip saddr vmap @masq4
            ip6 saddr vmap @masq6
        }
        chain masq_10.88.0.0/16 { ip daddr 10.88.0.0/16 return; masquerade; }
    }
END";

/// A step under another program.
pub fn under(step: Step, program: &[String]) -> Step {
    Step { command: [program, &step.command].concat(), ..step }
}
