//! `cnitool add` of a live attachment, whichever program made it: a failure does not undo it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::thread;

use serde_json::{Value, json};
use testbed::{Pod, assert_same};

use super::{Lab, PLUGINS, calls, ips, on_a_node, script};

const CACHE: &str = "/run/cache";

/// A node with the network as a chain of the plugin and one that fails if `/run/refuses` exists.
fn lab(plugin: &'static str) -> Lab {
    let lab = Lab::new(plugin);
    let text = "[ $CNI_COMMAND = DEL ] && exit; [ ! -e /run/refuses ] || { echo '{\"code\": 111, \
                \"msg\": \"no\"}'; exit 1; }; echo '{\"cniVersion\": \"1.0.0\"}'";
    script("later", text);
    let chain = json!({
        "cniVersion": "1.0.0", "name": "pods", "plugins": [lab.config, { "type": "later" }],
    });
    fs::create_dir("/run/net.d").unwrap();
    fs::write("/run/net.d/pods.conflist", chain.to_string()).unwrap();
    lab
}

fn command(verb: &str, container: &str, pod: &Pod) -> Command {
    let mut command = Command::new(testbed::binary("cnitool"));
    command.args([verb, "pods"]).arg(pod.path()).args([
        "--container-id",
        container,
        "--cache-dir",
        CACHE,
    ]);
    command.env("NETCONFPATH", "/run/net.d");
    command.env("CNI_PATH", format!("/run/plugins:{}", testbed::bin().display()));
    command
}

fn run(verb: &str, container: &str, pod: &Pod) -> Output {
    command(verb, container, pod).output().unwrap()
}

#[track_caller]
fn ok(output: &Output) -> Value {
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

#[track_caller]
fn refused(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    said
}

/// Adds the attachment again, into the same namespace and into another one, with a later plugin
/// that accepts and one that rejects.
fn survives(lab: &Lab, [a, b]: &[Pod; 2]) {
    let plugin = lab.plugin;
    calls();
    let before = lab.node.state();
    for refuses in [false, true] {
        for pod in [a, b] {
            if refuses {
                fs::write("/run/refuses", "").unwrap();
            }
            let said = refused(&run("add", "c1", pod));
            fs::remove_file("/run/refuses").ok();
            assert!(said.contains("nothing was undone"), "{plugin}: {said}");
            // The plugin itself rejects the call, so neither the next plugin nor any DEL is called.
            assert_eq!(calls(), Vec::<String>::new(), "{plugin}");
            assert_same!(before, lab.node.state(), "{plugin}");
            assert!(lab.works(a), "{plugin}");
        }
    }
}

#[test]
fn an_attachment_in_the_cache_survives() {
    for plugin in PLUGINS {
        on_a_node(|| {
            let lab = lab(plugin);
            let pods = ["a", "b"].map(|name| lab.node.pod(name));
            ok(&run("add", "c1", &pods[0]));
            survives(&lab, &pods);
            ok(&run("del", "c1", &pods[0]));
            assert_eq!(lab.owned(), Vec::<String>::new(), "{plugin}");
        });
    }
}

/// A runtime with its own cache made the attachment, or the cache was lost.
#[test]
fn an_attachment_that_is_not_in_the_cache_survives() {
    for plugin in PLUGINS {
        on_a_node(|| {
            let mut lab = lab(plugin);
            let pods = ["a", "b"].map(|name| lab.node.pod(name));
            lab.config["cniVersion"] = "1.0.0".into();
            lab.call("c1", &pods[0]).add().ok();
            survives(&lab, &pods);
            lab.call("c1", &pods[0]).del().ok();
            assert_eq!(lab.owned(), Vec::<String>::new(), "{plugin}");
        });
    }
}

#[test]
fn an_attachment_of_the_reference_suite_survives() {
    for plugin in PLUGINS {
        on_a_node(|| {
            let mut lab = lab(plugin);
            let pods = ["a", "b"].map(|name| lab.node.pod(name));
            lab.config["cniVersion"] = "1.0.0".into();
            lab.config["hostAccess"] = false.into();
            lab.call("c1", &pods[0]).suite(testbed::reference()).add().ok();
            survives(&lab, &pods);
        });
    }
}

#[test]
fn a_failed_add_rolls_back_its_own_objects() {
    for plugin in PLUGINS {
        on_a_node(|| {
            let lab = lab(plugin);
            let pod = lab.node.pod("a");
            fs::write("/run/refuses", "").unwrap();
            let said = refused(&run("add", "c1", &pod));
            assert!(said.contains("plugin type=\"later\" failed (add): no"), "{plugin}: {said}");
            assert_eq!(calls(), ["ADD", "DEL"], "{plugin}");
            assert_eq!(lab.owned(), Vec::<String>::new(), "{plugin}");
            fs::remove_file("/run/refuses").unwrap();
            ok(&run("add", "c1", &pod));
            assert!(lab.works(&pod), "{plugin}");
        });
    }
}

/// Concurrent adds of one attachment: one of them makes it, and no other rolls it back.
fn race(lab: &Lab, pods: &[Pod], other: &Pod) {
    let plugin = lab.plugin;
    for round in 0..6 {
        let mut commands: Vec<_> = pods.iter().map(|pod| command("add", "c1", pod)).collect();
        let outputs: Vec<Output> = thread::scope(|scope| {
            let running =
                commands.iter_mut().map(|command| scope.spawn(move || command.output().unwrap()));
            running.collect::<Vec<_>>().into_iter().map(|run| run.join().unwrap()).collect()
        });
        let won = |index: &usize| outputs[*index].status.success();
        let winners: Vec<usize> = (0..pods.len()).filter(won).collect();
        assert_eq!(winners.len(), 1, "{plugin}, round {round}: {outputs:?}");
        let winner = &pods[winners[0]];
        assert!(lab.works(winner), "{plugin}, round {round}");
        let second = lab.call("c2", other);
        second.add().ok();
        assert!(lab.works(winner) && lab.works(other), "{plugin}, round {round}");
        second.del().ok();
        ok(&run("del", "c1", winner));
        assert_eq!(lab.owned(), Vec::<String>::new(), "{plugin}, round {round}");
    }
}

#[test]
fn one_of_several_adds_wins() {
    for plugin in PLUGINS {
        on_a_node(|| {
            let lab = lab(plugin);
            let [a, b, other] = ["a", "b", "other"].map(|name| lab.node.pod(name));
            race(&lab, &[a.clone(), b.clone()], &other);
            race(&lab, &[a.clone(), a], &other);
        });
    }
}

/// The result cannot be cached for such an ID; the attachment is removed all the same.
#[test]
fn an_id_that_is_too_long_for_the_cache_leaves_nothing() {
    let lab = lab("bridge");
    let pod = lab.node.pod("a");
    let id = "i".repeat(300);
    let said = refused(&run("add", &id, &pod));
    assert!(said.contains("File name too long"), "{said}");
    assert_eq!(lab.owned(), Vec::<String>::new());
    lab.call(&id, &pod).add().ok();
    ok(&run("del", &id, &pod));
    assert_eq!(lab.owned(), Vec::<String>::new());
    assert!(
        !Path::new(CACHE).join("results").read_dir().is_ok_and(|mut files| files.next().is_some())
    );
    let made = lab.call("c2", &pod).add().ok();
    assert_eq!(ips(&made).len(), 1);
}
