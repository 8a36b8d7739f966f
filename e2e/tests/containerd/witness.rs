//! A plugin that records its calls.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use e2e::{Machine, PLUGINS};
use serde_json::{Value, json};

const DESK: &str = "/run/testbed/witness";
const REAL: &str = "/opt/cni/real";

/// The plugin `witness` in a chain: see `e2e/src/bin/witness.rs`.
pub struct Witness;

/// A recorded call.
#[derive(Debug, Clone)]
pub struct Called {
    pub plugin: String,
    pub verb: String,
    pub env: Value,
    pub stdin: Value,
}

impl Witness {
    pub fn install(_: &Machine) -> Witness {
        fs::create_dir_all(DESK).unwrap();
        fs::create_dir_all(REAL).unwrap();
        fs::copy(env!("CARGO_BIN_EXE_witness"), Path::new(PLUGINS).join("witness")).unwrap();
        Witness
    }

    /// Its configuration in a chain, with all capabilities that runtimes support.
    pub fn plugin() -> Value {
        json!({ "type": "witness", "capabilities": { "portMappings": true, "bandwidth": true } })
    }

    /// Replaces a plugin, which it then runs.
    pub fn stand_before(&self, plugin: &str) {
        let place = Path::new(PLUGINS).join(plugin);
        fs::rename(&place, Path::new(REAL).join(plugin)).unwrap();
        fs::copy(env!("CARGO_BIN_EXE_witness"), place).unwrap();
    }

    /// The calls with this command, in the order of time.
    pub fn calls(&self, verb: &str) -> Vec<Called> {
        let mut files: Vec<_> =
            fs::read_dir(DESK).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.retain(|file| file.extension().is_some_and(|end| end == "json"));
        files.sort();
        let calls = files.iter().map(|file| {
            let call: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let (plugin, verb) = (text(&call["plugin"]), text(&call["env"]["CNI_COMMAND"]));
            Called { plugin, verb, env: call["env"].clone(), stdin: call["stdin"].clone() }
        });
        calls.filter(|call| call.verb == verb).collect()
    }

    /// Waits for this number of calls with this command.
    pub fn until(&self, verb: &str, count: usize) {
        until(&format!("{verb} comes for the {count}. time"), || self.calls(verb).len() >= count);
    }

    /// From now on calls with this command block.
    pub fn hold(&self, verb: &str) {
        fs::write(Path::new(DESK).join("hold"), verb).unwrap();
    }

    /// Lets the blocked calls continue.
    pub fn release(&self) {
        fs::remove_file(Path::new(DESK).join("hold")).unwrap();
    }

    /// From now on ADD of `lo` and ADD of `eth0` wait for each other.
    pub fn let_meet(&self) {
        fs::write(Path::new(DESK).join("meet"), "").unwrap();
    }
}

impl Called {
    pub fn env(&self, key: &str) -> &str {
        self.env[key].as_str().unwrap_or_else(|| panic!("{key} is not set: {self:?}"))
    }
}

/// Waits until no plugin runs: plugins outlive a runtime that is killed.
pub fn until_no_plugin_runs() {
    let runs = || {
        let programs = fs::read_dir("/proc").unwrap().filter_map(|entry| {
            let program = fs::read_link(entry.unwrap().path().join("exe"));
            program.ok()
        });
        programs.into_iter().any(|program| program.starts_with(PLUGINS))
    };
    until("no plugin runs", || !runs());
}

/// Waits until a condition holds.
pub fn until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(2));
    }
}
