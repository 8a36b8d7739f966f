//! `tuning` changes sysctls of the container's namespace and settings of the interface that the
//! plugin before it in the list made.
//!
//! ```json
//! { "cniVersion": "1.1.0", "name": "pods", "type": "tuning", "mtu": 1400,
//!   "sysctl": { "net.core.somaxconn": "500", "net.ipv4.conf.IFNAME.arp_filter": "1" } }
//! ```
//!
//! DEL restores what the interface had before, by a file ([`kernel::Memory`]).

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::common::{Chained, InChain, Previous, wanted_mac};
use kernel::Place::Pod;
use kernel::{LinkSettings, Plan, Settings, Sysctl};
use libcni::{Call, Error, Manual, Result, Verb, file, json};
use regex_lite::Regex;
use serde::Deserialize;
use serde_json::Value;

/// A regular expression in each line. Without the file, every sysctl is allowed.
const ALLOW_LIST: &str = "/etc/cni/tuning/allowlist.conf";
/// Where the files are if the configuration names no folder.
const DATA_DIR: &str = "/run/cni/tuning";

/// Serves one call of the protocol.
pub fn run() -> std::process::ExitCode {
    libcni::run::<InChain<Tuning>>()
}

/// The configuration of `tuning` in a network.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Tuning {
    /// Sysctls below net, and their values. IFNAME in a key stands for the interface's name.
    sysctl: BTreeMap<String, String>,
    /// The MAC address of the container's interface.
    #[cfg_attr(test, schemars(extend("format" = "mac")))]
    mac: Option<String>,
    /// Whether the interface receives every frame. If not given, it is left as it is.
    promisc: Option<bool>,
    /// The largest packet, in bytes. 0 leaves the interface as it is.
    mtu: u32,
    /// Whether the interface receives every multicast frame. If not given, it is left as it is.
    allmulti: Option<bool>,
    /// The length of the transmit queue, in packets. If not given, it is left as it is.
    tx_q_len: Option<u32>,
    /// The folder of the files with the earlier settings. If not given, /run/cni/tuning.
    data_dir: Option<String>,
    runtime_config: RuntimeConfig,
    args: Args,
}

/// Arguments of the runtime.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Args {
    cni: CniArgs,
}

/// Arguments for this plugin, which replace the keys of the same names.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct CniArgs {
    /// Sysctls in addition to those of the configuration, or with another value.
    sysctl: BTreeMap<String, String>,
    /// The MAC address of the container's interface.
    #[cfg_attr(test, schemars(extend("format" = "mac")))]
    mac: Option<String>,
    /// Whether the interface receives every frame.
    promisc: Option<bool>,
    /// The largest packet, in bytes.
    mtu: Option<u32>,
    /// Whether the interface receives every multicast frame.
    allmulti: Option<bool>,
    /// The length of the transmit queue, in packets.
    tx_q_len: Option<u32>,
}

/// What the runtime fills in for a declared capability.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct RuntimeConfig {
    /// The MAC address of the container's interface (capability "mac").
    #[cfg_attr(test, schemars(extend("format" = "mac")))]
    mac: Option<String>,
}

impl Chained for Tuning {
    const MANUAL: Manual = Manual::new(
        "tuning",
        env!("CARGO_PKG_VERSION"),
        "sets sysctls of a container, and the MAC address, MTU and flags of its interface",
        include_str!("tuning.schema.json"),
    )
    .of_suite("ferrocni")
    .standing_for(ipam::REFERENCE);

    fn no_previous() -> Error {
        Error::config("Required prevResult missing")
            .details("List tuning after the plugin that makes the container's interface.")
    }

    fn memory(config: &Value) -> Option<PathBuf> {
        let given = json::get(config, "dataDir").and_then(|folder| folder.as_str());
        Some(data_dir(given).to_owned())
    }

    fn plan(&self, call: &Call, plan: &mut Plan, prev: &mut Previous) -> Result<()> {
        let (link, folder) = (prev.ends.pod.clone(), data_dir(self.data_dir.as_deref()));
        if call.verb == Verb::Del {
            // The file says what is restored, not the configuration, which may have changed.
            plan.own(Pod, Settings::new(&link, LinkSettings::default(), folder));
            return Ok(());
        }
        for (key, value) in self.sysctls(call)? {
            plan.own(Pod, Sysctl::new(below_net(key, &link)?, value)); // sysctl -w net/KEY=VALUE
        }
        let wanted = self.settings(call)?;
        if let Some(interface) = prev.interface() {
            interface.mac = wanted.mac.map_or(interface.mac.clone(), |mac| mac.to_string());
            interface.mtu = wanted.mtu.unwrap_or(interface.mtu);
        }
        if wanted != LinkSettings::default() {
            plan.own(Pod, Settings::new(&link, wanted, folder)); // ip -n POD link set eth0 mtu 1400
        }
        Ok(())
    }

    fn status(&self, call: &Call) -> Result<()> {
        self.sysctls(call)?.keys().try_for_each(|key| below_net(key, "IFNAME").map(drop))
    }
}

impl Tuning {
    /// The sysctls with their values, if all of them may be set.
    fn sysctls(&self, call: &Call) -> Result<BTreeMap<&str, &str>> {
        let mut seen = BTreeSet::new();
        let mut given = json::entries(&call.text(), "sysctl")?.into_iter();
        if !given.all(|(key, _)| seen.insert(key)) {
            return Err(Error::config("duplicated sysctl keys are not allowed"));
        }
        let all = self.sysctl.iter().chain(&self.args.cni.sysctl);
        let all: BTreeMap<_, _> = all.map(|(key, value)| (key.as_str(), value.as_str())).collect();
        if call.verb != Verb::Check {
            check_allowed(all.keys())?;
        }
        Ok(all)
    }

    fn settings(&self, call: &Call) -> Result<LinkSettings> {
        let args = &self.args.cni;
        let given = [args.mac.as_deref(), self.runtime_config.mac.as_deref()];
        Ok(LinkSettings {
            mac: wanted_mac(call, &given, self.mac.as_deref())?,
            promisc: args.promisc.or(self.promisc),
            mtu: args.mtu.or(Some(self.mtu)).filter(|mtu| *mtu != 0),
            allmulti: args.allmulti.or(self.allmulti),
            tx_queue_len: args.tx_q_len.or(self.tx_q_len),
        })
    }
}

fn data_dir(given: Option<&str>) -> &Path {
    Path::new(given.filter(|folder| !folder.is_empty()).unwrap_or(DATA_DIR))
}

/// The path of a sysctl below `/proc/sys/net`. Dots in the interface's name stay.
fn below_net(key: &str, ifname: &str) -> Result<String> {
    let path = key.replace('.', "/").replacen("IFNAME", ifname, 1);
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    match parts.split_first() {
        Some((&"net", rest)) if !rest.is_empty() => Ok(rest.join("/")),
        _ => Err(Error::config(format!("invalid net sysctl key: {path:?}"))),
    }
}

/// Checks sysctls, as the configuration writes them, by the node's allow-list.
fn check_allowed<'a>(mut keys: impl Iterator<Item = &'a &'a str>) -> Result<()> {
    let bytes = match file::read(Path::new(ALLOW_LIST), 1 << 20) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        bytes => bytes.map_err(|error| Error::config(format!("{ALLOW_LIST}: {error}")))?,
    };
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let rules: Result<Vec<Regex>, _> = lines.iter().map(|line| Regex::new(line)).collect();
    let rules = rules.map_err(|error| Error::config(format!("{ALLOW_LIST}: {error}")))?;
    match keys.find(|key| !rules.iter().any(|rule| rule.is_match(key))) {
        None => Ok(()),
        Some(key) => Err(Error::config(format!(
            "Sysctl {key} is not allowed. Only the following sysctls are allowed: [{}]",
            lines.join(" ")
        ))),
    }
}

#[test]
fn the_manual_is_true() {
    testbed::assert_manual(
        include_str!("tuning.rs"),
        &schemars::schema_for!(Tuning).to_value(),
        Tuning::MANUAL.schema,
        concat!(env!("CARGO_MANIFEST_DIR"), "/src/tuning.schema.json"),
    );
}
