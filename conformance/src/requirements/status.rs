//! STATUS: whether a plugin can serve an ADD.

use serde_json::json;

use super::steps::{
    add_and_del, few_addresses, has_code, ipam_calls_of, make_ipam_fail, state,
    succeeds_without_output, unchanged, with_input, with_kit_ipam,
};
use crate::fixture::Fixture;
use crate::requirement::{AppliesTo, Level, Requirement, Versions};
use crate::verdict::{OutcomeExt, TestResult, ensure};

/// The chapter.
pub const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "S2.STATUS.1",
        source: "CNI 1.1.0, section 2, STATUS",
        statement: "STATUS must succeed without a container and print nothing if the plugin can \
            serve an ADD",
        level: Level::Must,
        applies_to: AppliesTo::All,
        versions: Versions::From("1.1.0"),
        test: ready,
    },
    Requirement {
        id: "S2.STATUS.2",
        source: "CNI 1.1.0, section 2, STATUS",
        statement: "STATUS must change nothing",
        level: Level::Expected,
        applies_to: AppliesTo::All,
        versions: Versions::From("1.1.0"),
        test: changes_nothing,
    },
    Requirement {
        id: "S2.STATUS.3",
        source: "CNI 1.1.0, section 2, STATUS: introduced with 1.1.0",
        statement: "STATUS must fail if the configuration's version is older than 1.1.0",
        level: Level::Expected,
        applies_to: AppliesTo::All,
        versions: Versions::Newest,
        test: not_before,
    },
    Requirement {
        id: "S2.STATUS.4",
        source: "CNI 1.1.0, section 2, STATUS",
        statement: "STATUS must fail if the IPAM plugin does not exist",
        level: Level::Must,
        applies_to: AppliesTo::Delegating,
        versions: Versions::From("1.1.0"),
        test: no_ipam,
    },
    Requirement {
        id: "S2.STATUS.5",
        source: "CNI 1.1.0, section 2, STATUS, plugin considerations",
        statement: "STATUS must call STATUS of the IPAM plugin",
        level: Level::Must,
        applies_to: AppliesTo::Delegating,
        versions: Versions::From("1.1.0"),
        test: asks_ipam,
    },
    Requirement {
        id: "S2.STATUS.6",
        source: "CNI 1.1.0, section 2, STATUS, plugin considerations",
        statement: "STATUS should fail if STATUS of the IPAM plugin fails",
        level: Level::Should,
        applies_to: AppliesTo::Delegating,
        versions: Versions::From("1.1.0"),
        test: ipam_refuses,
    },
    Requirement {
        id: "S2.STATUS.7",
        source: "CNI 1.1.0, section 2, STATUS, plugin considerations",
        statement: "ADD and DEL should work even if STATUS fails, or if the runtime never calls it",
        level: Level::Should,
        applies_to: AppliesTo::Delegating,
        versions: Versions::From("1.1.0"),
        test: served_nevertheless,
    },
    Requirement {
        id: "S2.STATUS.8",
        source: "CNI 1.1.0, section 2, STATUS, which recommends the error; docs/status.md says \
            how a kubelet reacts",
        statement: "Without free addresses STATUS must succeed (recommended) or fail with code \
            50; with free addresses it must succeed",
        level: Level::Expected,
        applies_to: AppliesTo::Delegating,
        versions: Versions::From("1.1.0"),
        test: nothing_left,
    },
];

fn ready(fixture: &Fixture) -> TestResult {
    let call = fixture.call(&fixture.container("a"));
    succeeds_without_output(&call.status())?;
    call.attach()?;
    with_input("with a container attached", succeeds_without_output(&call.status()))
}

fn changes_nothing(fixture: &Fixture) -> TestResult {
    let call = fixture.call(&fixture.container("a"));
    let before = state(fixture);
    call.status().succeeds()?;
    unchanged(fixture, &before, "STATUS")
}

fn not_before(fixture: &Fixture) -> TestResult {
    let call = fixture.call(&fixture.container("a"));
    for version in ["0.4.0", "1.0.0"] {
        let status = call.clone().with(|cni| cni.key("cniVersion", version)).status();
        with_input(format!("cniVersion {version}"), status.fails())?;
    }
    Ok(())
}

fn no_ipam(fixture: &Fixture) -> TestResult {
    let call = fixture.call(&fixture.container("a"));
    let missing = json!({ "type": "kit-missing" });
    let status = call.with(|cni| cni.key("ipam", missing)).status();
    with_input("an `ipam.type` that is in no folder of CNI_PATH", status.fails().map(drop))
}

fn asks_ipam(fixture: &Fixture) -> TestResult {
    with_kit_ipam(fixture, &fixture.container("a")).status().succeeds()?;
    let asked = ipam_calls_of("STATUS");
    ensure(asked > 0, "STATUS", "STATUS of the IPAM plugin", "it was not called")
}

fn ipam_refuses(fixture: &Fixture) -> TestResult {
    let call = with_kit_ipam(fixture, &fixture.container("a"));
    for code in [50, 51, 11, 100] {
        make_ipam_fail(fixture, "STATUS", code);
        let checked = call.status().fails().map(drop);
        with_input(format!("STATUS of the IPAM plugin fails with code {code}"), checked)?;
    }
    Ok(())
}

fn served_nevertheless(fixture: &Fixture) -> TestResult {
    let call = with_kit_ipam(fixture, &fixture.container("a"));
    make_ipam_fail(fixture, "STATUS", 50);
    add_and_del(&call)?;
    call.status();
    add_and_del(&call)
}

/// The specification recommends an error when no addresses are left, but kubelets then evict
/// healthy pods. So both answers are correct, and neither may persist.
fn nothing_left(fixture: &Fixture) -> TestResult {
    let ipam = few_addresses(fixture, 1)?;
    let call = fixture.call(&fixture.container("a")).with(|cni| cni.key("ipam", ipam));
    succeeds_without_output(&call.status())?;
    call.attach()?;
    let status = call.status();
    if !status.status.success() {
        let error = with_input("the only address is allocated", status.fails())?;
        has_code(&error, 50, "STATUS while the only address is allocated")?;
    }
    call.del().succeeds()?;
    with_input("the only address is free again", succeeds_without_output(&call.status()))
}
