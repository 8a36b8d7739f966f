//! A plugin for tests, the last of a chain: it records each call, and prints the previous result.
//!
//! Under the name of another plugin, it records the call and then runs that plugin, which is in
//! `REAL`. Files in `DESK`, which the test makes, control what else it does:
//!
//! | file | what a call does |
//! |---|---|
//! | `hold` | with the verb that the file names, it waits until the file is gone |
//! | `meet` | ADD waits until `lo` and `eth0` of its container are both under way |

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant, SystemTime};
use std::{env, fs, thread};

use serde_json::{Value, json};

/// The directory of the control files and of the recorded calls: one file for each call, with names
/// in the order of time.
const DESK: &str = "/run/testbed/witness";
/// The directory of the plugins that it replaces.
const REAL: &str = "/opt/cni/real";
/// The time limit for a wait.
const PATIENCE: Duration = Duration::from_secs(60);

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    work().unwrap_or_else(|error| {
        println!("{}", json!({ "cniVersion": "1.0.0", "code": 100, "msg": error.to_string() }));
        ExitCode::FAILURE
    })
}

fn work() -> Result<ExitCode> {
    let name = env::args().next().unwrap_or_default();
    let name = Path::new(&name).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let stdin = io::read_to_string(io::stdin())?;
    let env: BTreeMap<_, _> = env::vars().filter(|(key, _)| key.starts_with("CNI_")).collect();
    let of = |key: &str| env.get(key).map(String::as_str).unwrap_or_default();
    let conf: Value = serde_json::from_str(&stdin)?;
    let verb = of("CNI_COMMAND");
    if verb != "VERSION" {
        write_down(&json!({ "plugin": name, "env": env, "stdin": conf }))?;
    }
    wait(verb, of("CNI_CONTAINERID"), of("CNI_IFNAME"))?;
    if name != "witness" {
        return run(&Path::new(REAL).join(name), &stdin);
    }
    match verb {
        "VERSION" => println!(
            "{}",
            json!({ "cniVersion": "1.1.0", "supportedVersions": ["0.4.0", "1.0.0", "1.1.0"] })
        ),
        "ADD" => {
            println!("{}", conf.get("prevResult").ok_or("no prevResult: not the last of a chain")?)
        }
        _ => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// The file of a call appears at once and complete.
fn write_down(call: &Value) -> Result<()> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_nanos();
    let file = PathBuf::from(format!("{DESK}/{now}-{}.json", std::process::id()));
    let new = file.with_extension("new");
    fs::write(&new, call.to_string())?;
    Ok(fs::rename(new, file)?)
}

fn wait(verb: &str, container: &str, ifname: &str) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let desk = Path::new(DESK);
    let until = |what: &str, is_so: &dyn Fn() -> bool| {
        while !is_so() {
            if Instant::now() > deadline {
                return Err(format!("the witness waited in vain {what}"));
            }
            thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    };
    let held = || fs::read_to_string(desk.join("hold")).is_ok_and(|verbs| verbs == verb);
    until("to be released", &|| !held())?;
    if verb == "ADD" && desk.join("meet").exists() {
        let mark = |ifname: &str| desk.join(format!("{container}-{ifname}"));
        fs::write(mark(ifname), "")?;
        until("for the other interface", &|| mark("lo").exists() && mark("eth0").exists())?;
    }
    Ok(())
}

/// Runs the plugin itself with the same call.
fn run(plugin: &Path, stdin: &str) -> Result<ExitCode> {
    let mut child = Command::new(plugin).stdin(Stdio::piped()).spawn()?;
    child.stdin.take().ok_or("no pipe to the plugin")?.write_all(stdin.as_bytes())?;
    Ok(match child.wait()?.success() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}
