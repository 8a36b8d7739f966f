//! The table of `docs/plugins/ipip.md` about packets between two nodes, from counted packets.

use std::fs;

use serde_json::json;
use testbed::{Pod, assert_same};

use super::{ADDRESSES, Between, Cluster, PODS, Use, on_the_wire, tunnelled};

/// The number of pings of each row.
const SENT: usize = 20;

/// One row of the table.
struct Row {
    scenario: &'static str,
    answered: usize,
    /// The number of tunnel packets that left the first node.
    tunnelled: u64,
}

impl Row {
    /// Pings from the pod of the first node to that of the second.
    fn of(scenario: &'static str, cluster: &Cluster) -> Row {
        Row::by(scenario, cluster, || answered(&cluster.pods[0], PODS[1], &[]))
    }

    fn by(scenario: &'static str, cluster: &Cluster, pings: impl FnOnce() -> usize) -> Row {
        let mut answered = 0;
        let work = || answered = pings();
        let tunnelled = on_the_wire(cluster, &tunnelled(cluster), work);
        Row { scenario, answered, tunnelled }
    }
}

/// The number of answered pings.
fn answered(pod: &Pod, address: &str, options: &[&str]) -> usize {
    let sent = SENT.to_string();
    let ping = ["ping", "-n", "-q", "-i0.02", "-W1", "-c", &sent];
    let said = pod.try_run(&[&ping, options, &[address]].concat()).stdout;
    let line = said.lines().find(|line| line.contains(" packets transmitted, ")).unwrap();
    let (_, rest) = line.split_once(" transmitted, ").unwrap();
    rest.split_once(" received").unwrap().0.parse().unwrap()
}

fn plain(rows: &mut Vec<Row>) {
    let cluster = Cluster::joined(Between::Switch, Use::Chained);
    rows.push(Row::of("two nodes on one link, `bridge` and `ptp` in front", &cluster));
    for (scenario, size) in [
        ("the same, packets of 1480 bytes that must not be fragmented", "1452"),
        ("the same, packets of 1481 bytes that must not be fragmented", "1453"),
    ] {
        let options = ["-M", "do", "-s", size];
        rows.push(Row::by(scenario, &cluster, || answered(&cluster.pods[0], PODS[1], &options)));
    }
    let from_node = || answered(&cluster.hosts[0], PODS[1], &[]);
    rows.push(Row::by("the same, from the node itself", &cluster, from_node));
    cluster.write_peers(&json!([{ "node": ADDRESSES[0], "podCIDRs": ["10.1.1.0/24"] }]));
    cluster.sync(0);
    rows.push(Row::of("the same, after the other node left the list", &cluster));
}

fn routed(rows: &mut Vec<Row>) {
    let cluster = Cluster::joined(Between::Router, Use::Alone);
    rows.push(Row::of("a router between the nodes, `ipip` alone", &cluster));
}

fn named(rows: &mut Vec<Row>) {
    let cluster = Cluster::new(Between::Router, Use::Chained).with(json!({ "device": "pods0" }));
    cluster.join(0);
    cluster.join(1);
    rows.push(Row::of("a router between the nodes, `device` of another name", &cluster));
}

fn cross_subnet(rows: &mut Vec<Row>) {
    for (between, scenario) in [
        (Between::Switch, "`crossSubnet`, two nodes on one link"),
        (Between::Router, "`crossSubnet`, a router between the nodes"),
    ] {
        let cluster = Cluster::new(between, Use::Chained).with(json!({ "mode": "crossSubnet" }));
        cluster.join(0);
        cluster.join(1);
        rows.push(Row::of(scenario, &cluster));
    }
}

#[test]
fn exactly_the_documented_packets_pass() {
    let mut rows = Vec::new();
    for scenarios in [plain, routed, named, cross_subnet] {
        // Each runs on a node of its own.
        let made = std::thread::spawn(move || {
            let mut rows = Vec::new();
            scenarios(&mut rows);
            rows
        });
        rows.extend(made.join().unwrap());
    }
    let mut table =
        "| scenario | pings | answered | packets in the tunnel |\n|---|---|---|---|\n".to_owned();
    for Row { scenario, answered, tunnelled } in rows {
        table += &format!("| {scenario} | {SENT} | {answered} | {tunnelled} |\n");
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/plugins/ipip.md");
    let page = fs::read_to_string(path).unwrap();
    let (before, rest) = page.split_once("<!-- packets -->\n").unwrap();
    let (shown, after) = rest.split_once("<!-- /packets -->\n").unwrap();
    // The lab keeps only files below LAB_OUT.
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let page = format!("{before}<!-- packets -->\n{table}<!-- /packets -->\n{after}");
        fs::write(path, page).unwrap();
    }
    assert_same!(shown, table, "UPDATE_DOCS=1 LAB_OUT=docs/plugins scripts/test --lab what_passes");
}
