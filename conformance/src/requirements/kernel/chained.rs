//! Effects of chained plugins: what ADD changes is in its result, and DEL undoes it.

use super::super::steps::{same, state_of};
use super::added::{addresses_exist, links_are_as_said, routes_exist};
use super::without_asked_sysctls;
use crate::fixture::Fixture;
use crate::linux::{self, ParsedResult, added_without_dad, lasting, section, without_dad};
use crate::profile::{Kind, Profile};
use crate::requirement::{AppliesTo, Level, Requirement, expected, must};
use crate::verdict::{OutcomeExt, TestResult, ensure};

const RESULT: &str = "CNI 1.1.0, section 5, ADD Success";
const DEL: &str = "CNI 1.1.0, section 2, DEL: undo any modifications";

/// The chapter.
pub const REQUIREMENTS: &[Requirement] = &[
    expected(
        "LINUX.CHAIN.1",
        "With the kit's own configuration of the plugin, ADD must change the kernel, a file or the \
         result",
        AppliesTo::Where(is_of_the_kit, "are chained and well known, tested as the kit knows them"),
        has_effect,
    ),
    must(
        "LINUX.CHAIN.2",
        RESULT,
        "The MAC addresses, addresses and routes of the result must be those in the kernel",
        AppliesTo::Chained,
        result_is_real,
    ),
    expected(
        "LINUX.CHAIN.3",
        "ADD must remove no link, change no MAC address, and add or remove no address, unless the \
         result says so",
        AppliesTo::Chained,
        changes_are_told,
    ),
    Requirement {
        level: Level::Should,
        ..must(
            "LINUX.CHAIN.4",
            DEL,
            "DEL should undo what ADD changed in the container, except sysctls that the \
             configuration names",
            AppliesTo::Chained,
            container_as_before,
        )
    },
    Requirement {
        level: Level::Should,
        ..must(
            "LINUX.CHAIN.5",
            DEL,
            "ADD must leave another attachment unchanged, and DEL should undo what ADD changed on \
             the host",
            AppliesTo::Chained,
            beside_another,
        )
    },
];

/// Whether the configuration is one of the kit's, which all have an effect.
fn is_of_the_kit(profile: &Profile) -> bool {
    let mut known = Profile::all().filter_map(Profile::known);
    profile.kind == Kind::Chained && known.any(|known| known.config == profile.config)
}

fn has_effect(fixture: &Fixture) -> TestResult {
    let container = fixture.container("c1");
    fixture.call(&container).add().succeeds()?;
    let expected = "a change of the kernel, of a file or of the result";
    ensure(fixture.has_effect(), "ADD", expected, "no change that the kit can see")
}

fn result_is_real(fixture: &Fixture) -> TestResult {
    let (container, result) = added_without_dad(fixture, "c1")?;
    let said = ParsedResult::of(&result)?;
    links_are_as_said(fixture, &container.pod, &said)?;
    addresses_exist(&container.pod, &said)?;
    routes_exist(&container.pod, &said)
}

fn changes_are_told(fixture: &Fixture) -> TestResult {
    let container = without_dad(fixture, "c1");
    let links = || [linux::links(&container.pod), linux::links(&fixture.host)].concat();
    let (links_before, addresses_before) = (links(), linux::addresses(&container.pod));
    let said = ParsedResult::of(&fixture.call(&container).attach()?)?;
    let links_after = links();
    for old in &links_before {
        let new = links_after.iter().find(|new| new.name == old.name);
        let told = said.interfaces.iter().find(|told| told.name == old.name);
        let is_told = match new {
            Some(new) => {
                new.mac == old.mac || told.is_some_and(|t| t.mac.as_ref() == Some(&new.mac))
            }
            None => told.is_none(),
        };
        let seen = format!("{new:?}; in the result: {told:?}");
        ensure(is_told, "ADD", format!("{} as before, {}", old.name, old.mac), seen)?;
    }
    let addresses_after = linux::addresses(&container.pod);
    let is_said = |address| said.ips.iter().any(|ip| ip.address == address);
    let untold = |one: &[(String, linux::Cidr)], other: &[(String, linux::Cidr)], is: bool| {
        let changed = one.iter().filter(|(_, address)| !other.iter().any(|(_, o)| o == address));
        let untold = changed.filter(|(_, cidr)| !cidr.ip.is_loopback() && is_said(*cidr) == is);
        untold.map(|(link, cidr)| format!("{cidr} on {link}")).collect::<Vec<_>>().join(", ")
    };
    let added = untold(&addresses_after, &addresses_before, false);
    ensure(added.is_empty(), "ADD", "each new address in the result", added)?;
    let removed = untold(&addresses_before, &addresses_after, true);
    ensure(removed.is_empty(), "ADD", "each address of the result on a link", removed)
}

fn container_as_before(fixture: &Fixture) -> TestResult {
    let container = without_dad(fixture, "c1");
    let state = || without_asked_sysctls(fixture, &fixture.host.state());
    let before = state();
    let result = fixture.call(&container).attach()?;
    fixture.call(&container).with(|cni| cni.prev(&result)).del().succeeds()?;
    super::same(fixture, "ADD, then DEL", "c1", &before, &state())
}

fn beside_another(fixture: &Fixture) -> TestResult {
    let container = without_dad(fixture, "c2");
    let (other, _) = added_without_dad(fixture, "c1")?;
    // The connection of c2 ends with it, and with it all settings of its links.
    let is_kept = |line: &&str| !line.contains("host-c2");
    let host = || -> String {
        let state = lasting(&fixture.state());
        let parts = ["node", "c1", "files", "disk"].map(|name| section(&state, name).to_owned());
        let parts = parts.join("\n");
        parts.lines().filter(is_kept).map(|line| format!("{line}\n")).collect()
    };
    let (before, of_other) = (host(), state_of(&other.pod));
    let result = fixture.call(&container).attach()?;
    same(&of_other, &state_of(&other.pod), "ADD of c2, seen from c1")?;
    fixture.call(&container).with(|cni| cni.prev(&result)).del().succeeds()?;
    container.pod.sh("ip link del eth0");
    same(&before, &host(), "ADD and DEL of c2, while c1 is there; its interface deleted")
}
