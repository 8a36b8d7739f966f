//! The container's namespace: what CNI_NETNS can be, and what it cannot.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use super::super::steps::{add_and_del, naming, refused, same, state};
use crate::bench::{Bench, Container, broken};
use crate::requirement::{Judge, Verdict};

/// How long a program may take to enter its namespace.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn no_namespace(bench: &Bench) -> Verdict {
    // What containers share is there already, and may stay.
    bench.added("b")?;
    let container = bench.container("a");
    let file = "/run/netns-file";
    fs::write(file, "no namespace").unwrap_or_else(|error| broken(&error.to_string()));
    let paths =
        ["/run/netns/missing", file, "/run/netns", "/proc/self/ns/mnt", "/dev/null", "relative"];
    let inputs =
        paths.map(|path| (path, bench.call(&container).with(|cni| cni.env("CNI_NETNS", path))));
    refused(bench, inputs)
}

/// A process in the container's namespace.
fn inhabitant(container: &Container) -> Child {
    let mut command = container.pod.command("sleep");
    let child = command.arg("60").spawn().unwrap_or_else(|error| broken(&error.to_string()));
    let inode = |path: String| fs::metadata(path).map(|meta| meta.ino()).ok();
    let wanted = inode(container.pod.path().display().to_string());
    let started = Instant::now();
    while inode(format!("/proc/{}/ns/net", child.id())) != wanted {
        if started.elapsed() > PATIENCE {
            broken("no process in the container's namespace");
        }
        thread::sleep(Duration::from_millis(1));
    }
    child
}

pub(super) fn namespaces_by_other_paths(bench: &Bench) -> Verdict {
    let container = bench.container("a");
    let mut child = inhabitant(&container);
    let link = "/run/netns-link";
    symlink(container.pod.path(), link).unwrap_or_else(|error| broken(&error.to_string()));
    let process = format!("/proc/{}/ns/net", child.id());
    let judged = [process.as_str(), link].iter().try_for_each(|path| {
        let call = bench.call(&container).with(|cni| cni.env("CNI_NETNS", path));
        naming(format!("CNI_NETNS={path}"), add_and_del(&call))
    });
    let _ = child.kill();
    let _ = child.wait();
    judged
}

pub(super) fn own_namespace(bench: &Bench) -> Verdict {
    bench.added("b")?;
    let container = bench.container("a");
    let before = state(bench);
    let call = bench.call(&container).with(|cni| cni.netns(&bench.host));
    let outcome = call.add();
    same(&before, &state(bench), "ADD with CNI_NETNS the host's own namespace")?;
    outcome.fails().map(drop)
}
