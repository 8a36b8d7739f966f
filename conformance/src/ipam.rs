//! The kit as an IPAM plugin: `kit-ipam`. It records how it is called, and returns the answers that
//! a test sets.
//!
//! The tests of delegation use it to check what the plugin under test passes on, and how it handles
//! an answer. Suites without an IPAM plugin get their addresses from it.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::json::{each, set};
use crate::suite::{LINKS, Suite};
use crate::version::numbers;

/// The name of the plugin.
pub const NAME: &str = "kit-ipam";
/// The directory with the plugin.
pub const FOLDER: &str = "/run/testbed/kit/bin";
/// The directory of the recorded calls, in numbered files.
const CALLS: &str = "/run/testbed/kit/calls";
/// The directory of the answers that a test sets, one file for each command.
const ANSWERS: &str = "/run/testbed/kit/answers";
/// The directory of the addresses that it has allocated, one file for each.
const TAKEN: &str = "/run/testbed/kit/taken";

/// This file exists if the plugin under test supports only IPv4.
const IPV4_ONLY: &str = "/run/testbed/kit/ipv4-only";

/// A recorded call of the plugin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IpamCall {
    /// The environment.
    pub env: Vec<(String, String)>,
    /// The standard input.
    pub stdin: String,
}

/// The answer to a call.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Answer {
    /// The standard output.
    pub stdout: String,
    /// The exit status.
    pub status: u8,
}

impl IpamCall {
    /// The value of an environment variable.
    pub fn var(&self, name: &str) -> Option<&str> {
        self.env.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The call of this process.
    pub(crate) fn of_this_process(stdin: &str) -> IpamCall {
        let text = |text: OsString| text.to_string_lossy().into_owned();
        let env = env::vars_os().map(|(name, value)| (text(name), text(value))).collect();
        IpamCall { env, stdin: stdin.to_owned() }
    }

    /// The command in CNI_COMMAND.
    pub fn verb(&self) -> &str {
        self.var("CNI_COMMAND").unwrap_or_default()
    }
}

/// Installs the plugin on this host.
///
/// # Errors
///
/// If a file cannot be made.
pub(crate) fn install(ipv4_only: bool) -> Result<(), String> {
    for path in [FOLDER, CALLS, ANSWERS, TAKEN] {
        folder(path)?;
    }
    if ipv4_only {
        fs::write(IPV4_ONLY, "").map_err(|error| format!("write {IPV4_ONLY}: {error}"))?;
    }
    [FOLDER, LINKS].iter().try_for_each(|folder| link_self(&format!("{folder}/{NAME}")))
}

/// An `ipam` configuration for a suite: host-local with IPv4 and IPv6 ranges if the suite has it,
/// otherwise this plugin.
pub fn any(suite: &Suite) -> Value {
    match suite.folder_of("host-local") {
        Some(_) => json!({
            "type": "host-local",
            "ranges": [[{ "subnet": "10.1.2.0/24" }], [{ "subnet": "fd00:1:2::/64" }]],
            "routes": [{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }]
        }),
        None => json!({ "type": NAME }),
    }
}

/// Sets the answer to a command.
///
/// # Errors
///
/// If the answer cannot be written.
pub fn answer(verb: &str, stdout: impl ToString, status: u8) -> Result<(), String> {
    let answer = Answer { stdout: stdout.to_string(), status };
    let text = serde_json::to_string(&answer).map_err(|error| error.to_string())?;
    let path = format!("{ANSWERS}/{verb}");
    fs::write(&path, text).map_err(|error| format!("write {path}: {error}"))
}

/// Restores the plugin's own answer to a command.
///
/// # Errors
///
/// If the file of the answer cannot be removed.
pub fn forget(verb: &str) -> Result<(), String> {
    let path = format!("{ANSWERS}/{verb}");
    fs::remove_file(&path).map_err(|error| format!("remove {path}: {error}"))
}

/// The calls so far, oldest first.
pub fn calls() -> Vec<IpamCall> {
    calls_in(Path::new(CALLS))
}

/// The calls that are recorded in a directory, oldest first.
pub(crate) fn calls_in(folder: &Path) -> Vec<IpamCall> {
    let read = |number: usize| fs::read(folder.join(number.to_string())).ok();
    (0..).map_while(read).filter_map(|text| serde_json::from_slice(&text).ok()).collect()
}

/// Whether this process was started as the plugin.
pub fn is_invoked() -> bool {
    let name = env::args_os().next().map(PathBuf::from);
    name.is_some_and(|name| name.file_name() == Some(NAME.as_ref()))
}

/// The main function of the plugin.
pub fn main() -> ExitCode {
    match run() {
        Ok(answer) => {
            print!("{}", answer.stdout);
            ExitCode::from(answer.status)
        }
        Err(error) => {
            println!("{}", json!({ "cniVersion": "1.1.0", "code": 999, "msg": error }));
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<Answer, String> {
    let verb = env::var("CNI_COMMAND").unwrap_or_default();
    let mut stdin = String::new();
    if verb != "VERSION" {
        let read = std::io::stdin().read_to_string(&mut stdin);
        read.map_err(|error| format!("read standard input: {error}"))?;
    }
    keep(Path::new(CALLS), &IpamCall::of_this_process(&stdin))?;
    if let Ok(text) = fs::read(format!("{ANSWERS}/{verb}")) {
        return serde_json::from_slice(&text).map_err(|error| error.to_string());
    }
    let config: Value = serde_json::from_str(&stdin).unwrap_or_default();
    let stdout = match verb.as_str() {
        "VERSION" => json!({
            "cniVersion": "1.1.0",
            "supportedVersions": ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]
        })
        .to_string(),
        "ADD" => allocate(&config)?.to_string(),
        "DEL" => release().map(|()| String::new())?,
        _ => String::new(),
    };
    Ok(Answer { stdout, status: 0 })
}

/// Records a call in a directory.
pub(crate) fn keep(folder: &Path, seen: &IpamCall) -> Result<(), String> {
    let text = serde_json::to_vec(seen).map_err(|error| error.to_string())?;
    claim(folder, 0.., &text).map(|_| ())
}

/// Creates the first file in a directory whose number is still free, and returns the number.
fn claim(
    folder: &Path,
    mut numbers: impl Iterator<Item = usize>,
    content: &[u8],
) -> Result<usize, String> {
    use std::io::Write;
    let free = numbers.find_map(|number| {
        let made = fs::File::create_new(folder.join(number.to_string())).ok()?;
        Some((number, made))
    });
    let (number, mut file) = free.ok_or("all numbers are taken")?;
    file.write_all(content)
        .map_err(|error| format!("write {}/{number}: {error}", folder.display()))?;
    Ok(number)
}

/// The attachment that calls.
fn owner() -> String {
    let var = |name: &str| env::var(name).unwrap_or_default();
    format!("{} {}", var("CNI_CONTAINERID"), var("CNI_IFNAME"))
}

fn allocate(config: &Value) -> Result<Value, String> {
    let number = claim(Path::new(TAKEN), 2..255, owner().as_bytes())?;
    // The common library matches keys without regard to case, and plugins rely on that.
    let mut keys = config.as_object().into_iter().flatten();
    let version = keys.find(|(key, _)| key.eq_ignore_ascii_case("cniVersion"));
    let version = version.and_then(|(_, version)| version.as_str()).unwrap_or("0.1.0");
    let answer = addresses(version, number);
    Ok(if numbers(version) < numbers("0.3.0") { oldest_format(&answer) } else { answer })
}

/// An answer in the format of the versions 0.1.0 and 0.2.0, which has one address of each family.
fn oldest_format(answer: &Value) -> Value {
    let mut old = json!({ "cniVersion": answer.get("cniVersion") });
    let pairs = each(answer, "ips").zip(each(answer, "routes"));
    for ((ip, route), key) in pairs.zip(["ip4", "ip6"]) {
        let (address, gateway) = (ip.get("address"), ip.get("gateway"));
        set(&mut old, key, json!({ "ip": address, "gateway": gateway, "routes": [route] }));
    }
    old
}

/// An answer to ADD: the addresses with that number and default routes, for IPv4 and, unless the
/// plugin under test supports only IPv4, IPv6.
pub fn addresses(version: &str, number: usize) -> Value {
    let mut ips = json!([
        { "address": format!("10.1.2.{number}/24"), "gateway": "10.1.2.1" },
        { "address": format!("fd00:1:2::{number:x}/64"), "gateway": "fd00:1:2::1" }
    ]);
    let mut routes = json!([{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }]);
    let [Some(addresses), Some(defaults)] = [&mut ips, &mut routes].map(Value::as_array_mut) else {
        return Value::Null;
    };
    if Path::new(IPV4_ONLY).exists() {
        addresses.truncate(1);
        defaults.truncate(1);
    }
    if !version.starts_with('1') {
        addresses.iter_mut().zip(["4", "6"]).for_each(|(ip, family)| set(ip, "version", family));
    }
    json!({ "cniVersion": version, "ips": ips, "routes": routes })
}

fn release() -> Result<(), String> {
    for entry in fs::read_dir(TAKEN).map_err(|error| error.to_string())?.flatten() {
        if fs::read_to_string(entry.path()).is_ok_and(|text| text == owner()) {
            fs::remove_file(entry.path()).map_err(|error| error.to_string())?;
        }
    }
    Ok(())
}

/// Creates a directory if it does not exist.
fn folder(folder: &str) -> Result<(), String> {
    fs::create_dir_all(folder).map_err(|error| format!("make {folder}: {error}"))
}

/// Makes a link to the kit's own file with the name of a plugin.
fn link_self(path: &str) -> Result<(), String> {
    let own =
        std::env::current_exe().map_err(|error| format!("find the kit's own file: {error}"))?;
    symlink(&own, path).map_err(|error| format!("make {path}: {error}"))
}
