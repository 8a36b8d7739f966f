//! CHECK of a chained plugin after another program undid what its ADD changed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::{fs, iter};

use testbed::Pod;

use super::super::steps::{only_from, state, succeeds_without_output, with_input};
use crate::fixture::{Container, Fixture};
use crate::linux::{self, Link, without_dad};
use crate::sysctl;
use crate::verdict::{NotPassed, OutcomeExt, TestResult};

/// What a namespace had before ADD.
struct Before<'a> {
    pod: &'a Pod,
    links: Vec<Link>,
    settings: BTreeMap<PathBuf, String>,
}

impl<'a> Before<'a> {
    fn of(pod: &'a Pod) -> Before<'a> {
        Before { pod, links: linux::links(pod), settings: sysctl::all(pod) }
    }

    /// Restores links and settings, and removes filters and traffic control.
    fn restore(&self) {
        for link in linux::links(self.pod) {
            self.restore_link(&link);
        }
        self.pod.try_run(&["nft", "flush", "ruleset"]);
        self.pod.enter(|| {
            for (path, value) in &self.settings {
                if fs::read_to_string(path).is_ok_and(|now| now != *value) {
                    // A setting that cannot be restored is seen afterwards.
                    let _ = fs::write(path, value);
                }
            }
        });
    }

    fn restore_link(&self, link: &Link) {
        let ip = |words: &[&str]| {
            let start = ["ip", "link", "set", "dev", &link.name];
            self.pod.try_run(&start.into_iter().chain(words.iter().copied()).collect::<Vec<_>>());
        };
        let Some(old) = self.links.iter().find(|old| old.name == link.name) else {
            self.pod.try_run(&["ip", "link", "del", "dev", &link.name]);
            return;
        };
        if old.mac != link.mac {
            ip(&["address", &old.mac]);
        }
        if old.mtu != link.mtu {
            ip(&["mtu", &old.mtu.to_string()]);
        }
        ip(&["promisc", "off", "allmulticast", "off"]);
        for place in ["root", "ingress"] {
            self.pod.try_run(&["tc", "qdisc", "del", "dev", &link.name, place]);
        }
    }
}

/// The state of the kernel, with all settings.
fn look(fixture: &Fixture, container: &Container) -> (String, [BTreeMap<PathBuf, String>; 2]) {
    (state(fixture), [sysctl::all(&fixture.host), sysctl::all(&container.pod)])
}

pub(super) fn undone(fixture: &Fixture) -> TestResult {
    only_from(fixture, "0.4.0")?;
    let container = without_dad(fixture, "a");
    let whole = look(fixture, &container);
    let pods: Vec<Before<'_>> =
        iter::once(&*fixture.host).chain([&container.pod]).map(Before::of).collect();
    let call = fixture.call(&container);
    let result = call.attach()?;
    with_input("before any damage", succeeds_without_output(&call.check(&result)))?;
    let absent = |why: &str| Err(NotPassed::NotApplicable(why.to_owned()));
    if look(fixture, &container) == whole {
        return absent("ADD changes nothing in the kernel");
    }
    pods.iter().for_each(Before::restore);
    if look(fixture, &container) != whole {
        return absent("the kit cannot undo what ADD changes in the kernel");
    }
    let done = "after another program undid what ADD changed in the kernel";
    with_input(done, call.check(&result).fails()).map(drop)
}
