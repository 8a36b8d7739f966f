//! The container's namespace: valid and invalid values of CNI_NETNS.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use super::super::steps::{add_and_del, refused, same, state, with_input};
use crate::fixture::{Container, Fixture};
use crate::isolation::broken;
use crate::verdict::{OutcomeExt, TestResult};

/// The time in which a program must enter its namespace.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn no_namespace(fixture: &Fixture) -> TestResult {
    // Objects that containers share already exist, and may stay.
    fixture.added("b")?;
    let container = fixture.container("a");
    let file = "/run/netns-file";
    fs::write(file, "no namespace").unwrap_or_else(|error| broken(&error.to_string()));
    let paths =
        ["/run/netns/missing", file, "/run/netns", "/proc/self/ns/mnt", "/dev/null", "relative"];
    let inputs =
        paths.map(|path| (path, fixture.call(&container).with(|cni| cni.env("CNI_NETNS", path))));
    refused(fixture, inputs)
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

pub(super) fn namespaces_by_other_paths(fixture: &Fixture) -> TestResult {
    let container = fixture.container("a");
    let mut child = inhabitant(&container);
    let link = "/run/netns-link";
    symlink(container.pod.path(), link).unwrap_or_else(|error| broken(&error.to_string()));
    let process = format!("/proc/{}/ns/net", child.id());
    let checked = [process.as_str(), link].iter().try_for_each(|path| {
        let call = fixture.call(&container).with(|cni| cni.env("CNI_NETNS", path));
        with_input(format!("CNI_NETNS={path}"), add_and_del(&call))
    });
    let _ = child.kill();
    let _ = child.wait();
    checked
}

pub(super) fn own_namespace(fixture: &Fixture) -> TestResult {
    fixture.added("b")?;
    let container = fixture.container("a");
    let before = state(fixture);
    let call = fixture.call(&container).with(|cni| cni.netns(&fixture.host));
    let outcome = call.add();
    same(&before, &state(fixture), "ADD with CNI_NETNS the host's own namespace")?;
    outcome.fails().map(drop)
}
