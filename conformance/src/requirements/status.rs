//! STATUS: whether a plugin could serve an ADD.

use serde_json::json;

use super::steps::{
    add_and_del, few_addresses, ipam_calls_of, let_ipam_refuse, naming, silent, state, unchanged,
    with_kit_ipam,
};
use crate::bench::Bench;
use crate::requirement::{Judge, Level, Of, Requirement, Verdict, Versions, ensure};

/// The chapter.
pub const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "S2.STATUS.1",
        source: "CNI 1.1.0, section 2, STATUS",
        says: "STATUS of a plugin that can serve an ADD succeeds, prints nothing, and needs no container",
        level: Level::Must,
        of: Of::All,
        versions: Versions::From("1.1.0"),
        test: ready,
    },
    Requirement {
        id: "S2.STATUS.2",
        source: "CNI 1.1.0, section 2, STATUS",
        says: "STATUS changes nothing",
        level: Level::Expected,
        of: Of::All,
        versions: Versions::From("1.1.0"),
        test: changes_nothing,
    },
    Requirement {
        id: "S2.STATUS.3",
        source: "CNI 1.1.0, section 2, STATUS: introduced with 1.1.0",
        says: "STATUS with a configuration of a version before 1.1.0 is an error",
        level: Level::Must,
        of: Of::All,
        versions: Versions::Newest,
        test: not_before,
    },
    Requirement {
        id: "S2.STATUS.4",
        source: "CNI 1.1.0, section 2, STATUS",
        says: "STATUS is an error if the address management plugin is not there",
        level: Level::Must,
        of: Of::Delegating,
        versions: Versions::From("1.1.0"),
        test: no_ipam,
    },
    Requirement {
        id: "S2.STATUS.5",
        source: "CNI 1.1.0, section 2, STATUS, plugin considerations",
        says: "STATUS asks the address management plugin for its status",
        level: Level::Must,
        of: Of::Delegating,
        versions: Versions::From("1.1.0"),
        test: asks_ipam,
    },
    Requirement {
        id: "S2.STATUS.6",
        source: "CNI 1.1.0, section 2, STATUS, plugin considerations",
        says: "STATUS is an error if the address management plugin's is",
        level: Level::Should,
        of: Of::Delegating,
        versions: Versions::From("1.1.0"),
        test: ipam_refuses,
    },
    Requirement {
        id: "S2.STATUS.7",
        source: "CNI 1.1.0, section 2, STATUS, plugin considerations",
        says: "ADD and DEL are served even if STATUS is an error, and if nobody asks for it",
        level: Level::Must,
        of: Of::Delegating,
        versions: Versions::From("1.1.0"),
        test: served_nevertheless,
    },
    Requirement {
        id: "S2.STATUS.8",
        source: "CNI 1.1.0, section 2, STATUS",
        says: "STATUS is an error when no addresses are left, and no longer when there are again",
        level: Level::Should,
        of: Of::Delegating,
        versions: Versions::From("1.1.0"),
        test: nothing_left,
    },
];

fn ready(bench: &Bench) -> Verdict {
    let call = bench.call(&bench.container("a"));
    silent(&call.status())?;
    call.add().succeeds()?;
    naming("with a container attached", silent(&call.status()))
}

fn changes_nothing(bench: &Bench) -> Verdict {
    let call = bench.call(&bench.container("a"));
    let before = state(bench);
    call.status().succeeds()?;
    unchanged(bench, &before, "STATUS")
}

fn not_before(bench: &Bench) -> Verdict {
    let call = bench.call(&bench.container("a"));
    for version in ["0.4.0", "1.0.0"] {
        let status = call.clone().with(|cni| cni.key("cniVersion", version)).status();
        naming(format!("cniVersion {version}"), status.fails())?;
    }
    Ok(())
}

fn no_ipam(bench: &Bench) -> Verdict {
    let call = bench.call(&bench.container("a"));
    let missing = json!({ "type": "kit-missing" });
    let status = call.with(|cni| cni.key("ipam", missing)).status();
    naming("an `ipam.type` that is in no folder of CNI_PATH", status.fails().map(drop))
}

fn asks_ipam(bench: &Bench) -> Verdict {
    with_kit_ipam(bench, &bench.container("a")).status().succeeds()?;
    let asked = ipam_calls_of("STATUS");
    ensure(asked > 0, "STATUS", "STATUS of the address management plugin", "it was not called")
}

fn ipam_refuses(bench: &Bench) -> Verdict {
    let call = with_kit_ipam(bench, &bench.container("a"));
    for code in [50, 51, 11, 100] {
        let_ipam_refuse(bench, "STATUS", code);
        let judged = call.status().fails().map(drop);
        naming(format!("the address management plugin's is error {code}"), judged)?;
    }
    Ok(())
}

fn served_nevertheless(bench: &Bench) -> Verdict {
    let call = with_kit_ipam(bench, &bench.container("a"));
    let_ipam_refuse(bench, "STATUS", 50);
    add_and_del(&call)?;
    call.status();
    add_and_del(&call)
}

fn nothing_left(bench: &Bench) -> Verdict {
    let ipam = few_addresses(bench, 1)?;
    let call = bench.call(&bench.container("a")).with(|cni| cni.key("ipam", ipam));
    silent(&call.status())?;
    call.add().succeeds()?;
    naming("the only address is taken", call.status().fails())?;
    call.del().succeeds()?;
    naming("the only address is free again", silent(&call.status()))
}
