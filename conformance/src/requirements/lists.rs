//! Network configuration lists: a chained plugin after a real one, as a runtime calls both.

mod missing;

use serde_json::{Value, json};

use super::steps::{same, state, state_of, succeeds_without_output, unchanged, with_input};
use crate::fixture::{Call, Container, Fixture, NETWORK};
use crate::ipam;
use crate::linux::{lasting, section};
use crate::requirement::{self, AppliesTo, Level, Requirement, Versions};
use crate::settling::{after_removal, eventually};
use crate::verdict::{NotPassed, OutcomeExt, TestResult, ensure};

const LISTS: &str = "CNI 1.1.0, section 3, attachment and deletion";
const GC: &str = "CNI 1.1.0, section 2, GC";

/// The plugins of a suite that can come first in a list, in this order. Without one the kit
/// connects the container.
const FIRST: [&str; 2] = ["ptp", "bridge"];

/// The chapter.
pub const REQUIREMENTS: &[Requirement] = &[
    must(
        "S3.LIST.1",
        LISTS,
        "In a list, ADD in order, CHECK with the final result, and DEL in reverse order must \
         succeed",
        in_order,
    ),
    Requirement {
        level: Level::Should,
        ..must(
            "S3.LIST.2",
            LISTS,
            "After DEL of a list, once or twice, the host should be as after the first round of \
             ADD and DEL",
            rounds,
        )
    },
    must(
        "S3.LIST.3",
        LISTS,
        "DEL of a list must succeed if ADD ended before or after the plugin, without `prevResult`",
        ended_early,
    ),
    Requirement {
        versions: Versions::From("1.1.0"),
        ..must(
            "S3.LIST.4",
            GC,
            "GC must leave a valid attachment of a list unchanged, also beside one that is not \
             valid",
            live_ones_stay,
        )
    },
    must(
        "S3.LIST.5",
        LISTS,
        "If another plugin of the list is missing at DEL, the plugin's DEL must succeed and leave \
         other attachments unchanged",
        missing::another,
    ),
    Requirement {
        level: Level::Should,
        ..must(
            "S3.LIST.6",
            LISTS,
            "If the plugin is missing at DEL of a list, its DEL after its return should remove \
             what it made on the host",
            missing::until_del,
        )
    },
    Requirement {
        level: Level::Should,
        versions: Versions::From("1.1.0"),
        ..must(
            "S3.LIST.7",
            GC,
            "If the plugin is missing at DEL of a list, its GC after its return should remove what \
             it made on the host",
            missing::until_gc,
        )
    },
];

const fn must(
    id: &'static str,
    source: &'static str,
    statement: &'static str,
    test: fn(&Fixture) -> TestResult,
) -> Requirement {
    requirement::must(id, source, statement, AppliesTo::Chained, test)
}

/// An attachment to a list of two plugins.
struct List<'a> {
    fixture: &'a Fixture,
    container: Container,
    /// The first plugin; `None` if the kit connects the container.
    first: Option<Call<'a>>,
    /// The plugin under test.
    last: Call<'a>,
}

impl<'a> List<'a> {
    fn new(fixture: &'a Fixture, name: &str) -> List<'a> {
        let suite = &fixture.case.suite;
        let first = FIRST.into_iter().find(|name| suite.folder_of(name).is_some());
        let container = match first {
            Some(_) => fixture.unconnected(name),
            None => fixture.container(name),
        };
        let first = first.and_then(|plugin| {
            let config = json!({
                "cniVersion": fixture.version(), "name": NETWORK, "type": plugin, "ipMasq": true,
                "isGateway": true, "ipam": { "type": ipam::NAME }
            });
            fixture.call_of(plugin, &config, &container)
        });
        let unconnected = Container { prev: None, ..container.clone() };
        List { fixture, last: fixture.call(&unconnected), container, first }
    }

    /// The end of a test whose first plugin fails, which is not the plugin under test.
    fn without_first<T>(outcome: Result<T, NotPassed>) -> Result<T, NotPassed> {
        outcome.map_err(|_| {
            NotPassed::NotApplicable("the first plugin of the list fails by itself".to_owned())
        })
    }

    /// ADD of the first plugin. Returns its result.
    fn connect(&self) -> Result<Value, NotPassed> {
        match &self.first {
            Some(first) => List::without_first(first.add().succeeds()),
            None => Ok(self.container.prev.clone().unwrap_or_default()),
        }
    }

    /// ADD of the list. Returns the final result.
    fn add(&self) -> Result<Value, NotPassed> {
        let prev = self.connect()?;
        self.last.clone().with(|cni| cni.prev(&prev)).attach()
    }

    /// DEL of the plugin under test.
    fn del_last(&self, result: Option<&Value>) -> TestResult {
        let call = self.last.clone();
        let call = result.into_iter().fold(call, |call, result| call.with(|cni| cni.prev(result)));
        succeeds_without_output(&call.del())
    }

    /// DEL of the first plugin.
    fn disconnect(&self) -> TestResult {
        match &self.first {
            Some(first) => List::without_first(first.del().succeeds()).map(drop),
            None => {
                self.container.pod.try_run(&["ip", "link", "del", "eth0"]);
                Ok(())
            }
        }
    }

    /// Deletes the namespace.
    fn end(&self) {
        self.fixture.delete_namespace(&self.container);
    }
}

/// The kernel of the host. It omits what the first plugin keeps and the kernel derives.
fn host(fixture: &Fixture) -> String {
    lasting(section(&state(fixture), "node"))
}

/// The host must soon be as before.
fn host_returns_to(fixture: &Fixture, before: &str, done: &str) -> TestResult {
    let changes = eventually(|| testbed::diff(before, &host(fixture)), String::is_empty);
    ensure(changes.is_empty(), done, "the host as before", changes)
}

/// The host after one round of the first plugin alone. The first plugin must leave no more in a
/// further round, or the plugin under test could be blamed for it.
fn settled(fixture: &Fixture) -> Result<String, NotPassed> {
    let alone = |name| -> TestResult {
        let list = List::new(fixture, name);
        list.connect()?;
        list.disconnect()?;
        list.end();
        Ok(())
    };
    alone("first")?;
    let before = host(fixture);
    alone("second")?;
    List::without_first(host_returns_to(fixture, &before, "the first plugin alone"))?;
    Ok(before)
}

fn in_order(fixture: &Fixture) -> TestResult {
    let list = List::new(fixture, "a");
    let result = list.add()?;
    if fixture.is_from("0.4.0") {
        let checked = succeeds_without_output(&list.last.check(&result));
        with_input("with the final result", checked)?;
    }
    list.del_last(Some(&result))?;
    list.disconnect()
}

fn rounds(fixture: &Fixture) -> TestResult {
    settled(fixture)?;
    let round = |name: &str, times: usize| -> TestResult {
        let list = List::new(fixture, name);
        let result = list.add()?;
        for _ in 0..times {
            list.del_last(Some(&result))?;
        }
        list.disconnect()?;
        list.end();
        Ok(())
    };
    round("a", 1)?;
    // The kernel removes the namespace's links in the background.
    after_removal();
    let before = host(fixture);
    for (name, times) in [("b", 1), ("c", 2)] {
        round(name, times)?;
        host_returns_to(fixture, &before, &format!("ADD of the list, then DEL {times} times"))?;
    }
    Ok(())
}

fn ended_early(fixture: &Fixture) -> TestResult {
    let before = List::new(fixture, "a");
    before.connect()?;
    with_input("ADD ended before the plugin", before.del_last(None))?;
    let after = List::new(fixture, "b");
    after.add()?;
    with_input("ADD ended after the plugin", after.del_last(None))
}

fn live_ones_stay(fixture: &Fixture) -> TestResult {
    let a = Live::new(fixture, "a")?;
    let b = List::new(fixture, "b");
    b.add()?;
    let valid = [(a.id(), "eth0"), (b.container.id.as_str(), "eth0")];
    let before = state(fixture);
    a.list.last.gc(&valid).succeeds()?;
    unchanged(fixture, &before, "GC with both attachments valid")?;
    b.end();
    a.list.last.gc(&[(a.id(), "eth0")]).succeeds()?;
    a.is_unchanged("the namespace of b deleted, GC with a valid")
}

/// An attachment that other calls must leave unchanged.
struct Live<'a> {
    list: List<'a>,
    result: Value,
    state: String,
    /// Whether CHECK succeeds before the other calls. If not, they are not the cause.
    passes: bool,
}

impl<'a> Live<'a> {
    fn new(fixture: &'a Fixture, name: &str) -> Result<Live<'a>, NotPassed> {
        let list = List::new(fixture, name);
        let result = list.add()?;
        let passes = fixture.is_from("0.4.0") && list.last.check(&result).status.success();
        Ok(Live { state: state_of(&list.container.pod), list, result, passes })
    }

    fn id(&self) -> &str {
        &self.list.container.id
    }

    fn is_unchanged(&self, done: &str) -> TestResult {
        same(&self.state, &state_of(&self.list.container.pod), done)?;
        if self.passes {
            with_input(done, succeeds_without_output(&self.list.last.check(&self.result)))?;
        }
        Ok(())
    }
}
