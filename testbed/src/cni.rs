//! Calls a plugin as a runtime does.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{ErrorKind, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::Value;

use crate::{Pod, bin};

/// The time limit for a call of a plugin.
const DEADLINE: Duration = Duration::from_secs(60);

/// A call of a plugin, before it is made. It can be made several times, also from threads that the
/// node's thread starts.
///
/// The plugin's environment contains only the variables set here, and `PATH`.
#[derive(Debug, Clone)]
pub struct Cni {
    plugin: String,
    folder: Option<PathBuf>,
    under: Vec<OsString>,
    env: BTreeMap<OsString, OsString>,
    unset: Vec<OsString>,
    stdin: Vec<u8>,
}

/// The outcome of a call.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The call: `bridge ADD`.
    pub call: String,
    /// The exit status.
    pub status: ExitStatus,
    /// The standard output.
    pub stdout: String,
    /// The standard error.
    pub stderr: String,
    /// Whether the plugin exceeded the time limit and was killed.
    pub hung: bool,
}

impl Cni {
    /// A call of the built plugin `plugin`: container `c1`, interface `eth0`, no namespace, and the
    /// plugin's directory as `CNI_PATH`.
    pub fn new(plugin: &str) -> Cni {
        let cni = Cni {
            plugin: plugin.to_owned(),
            folder: None,
            under: Vec::new(),
            env: BTreeMap::new(),
            unset: Vec::new(),
            stdin: Vec::new(),
        };
        let path = std::env::var_os("PATH").unwrap_or_default();
        cni.env("PATH", path).container("c1").ifname("eth0")
    }

    /// Uses the plugins in `folder` instead: [`reference()`](crate::reference).
    #[must_use]
    pub fn suite(mut self, folder: impl Into<PathBuf>) -> Cni {
        self.folder = Some(folder.into());
        self
    }

    /// Runs the plugin under another program, which gets the binary as its last argument: `strace
    /// -f`.
    #[must_use]
    pub fn under(mut self, command: &[&str]) -> Cni {
        self.under = command.iter().map(OsString::from).collect();
        self
    }

    /// The configuration: JSON text or a [`Value`].
    #[must_use]
    pub fn conf(self, conf: impl ToString) -> Cni {
        self.stdin(conf.to_string())
    }

    /// Sets the plugin's standard input, byte by byte.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Cni {
        self.stdin = bytes.into();
        self
    }

    /// Sets `prevResult` in the configuration.
    #[must_use]
    pub fn prev(self, result: &Value) -> Cni {
        self.key("prevResult", result.clone())
    }

    /// Sets a key of the configuration, which must be a JSON object.
    #[must_use]
    pub fn key(mut self, key: &str, value: impl Into<Value>) -> Cni {
        let mut conf: Value = serde_json::from_slice(&self.stdin).expect("a configuration of JSON");
        conf[key] = value.into();
        self.stdin = conf.to_string().into_bytes();
        self
    }

    /// `CNI_CONTAINERID`.
    #[must_use]
    pub fn container(self, id: &str) -> Cni {
        self.env("CNI_CONTAINERID", id)
    }

    /// `CNI_NETNS`: the namespace of the pod.
    #[must_use]
    pub fn netns(self, pod: &Pod) -> Cni {
        self.env("CNI_NETNS", pod.path())
    }

    /// `CNI_IFNAME`.
    #[must_use]
    pub fn ifname(self, name: &str) -> Cni {
        self.env("CNI_IFNAME", name)
    }

    /// `CNI_ARGS`.
    #[must_use]
    pub fn args(self, args: &str) -> Cni {
        self.env("CNI_ARGS", args)
    }

    /// Sets any variable, also `CNI_PATH` and `CNI_COMMAND`.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Cni {
        self.unset.retain(|other| other != name.as_ref());
        self.env.insert(name.as_ref().to_owned(), value.as_ref().to_owned());
        self
    }

    /// Removes a variable, also `CNI_COMMAND`, which the call sets otherwise.
    #[must_use]
    pub fn unset(mut self, name: &str) -> Cni {
        self.env.remove(OsStr::new(name));
        self.unset.push(name.into());
        self
    }

    /// Makes an ADD.
    pub fn add(&self) -> Outcome {
        self.raw("ADD")
    }

    /// Makes a CHECK. [`prev`](Cni::prev) sets the result of ADD.
    pub fn check(&self) -> Outcome {
        self.raw("CHECK")
    }

    /// Makes a DEL.
    pub fn del(&self) -> Outcome {
        self.raw("DEL")
    }

    /// Makes a GC.
    pub fn gc(&self) -> Outcome {
        self.raw("GC")
    }

    /// Makes a STATUS.
    pub fn status(&self) -> Outcome {
        self.raw("STATUS")
    }

    /// Makes a VERSION.
    pub fn version(&self) -> Outcome {
        self.raw("VERSION")
    }

    /// Makes a call with any command, exactly as given.
    ///
    /// # Panics
    ///
    /// If the plugin cannot be started, or hangs.
    pub fn raw(&self, verb: &str) -> Outcome {
        let outcome = self.within(verb, DEADLINE);
        assert!(!outcome.hung, "{verb} hung and was ended after {DEADLINE:?}:\n{outcome}");
        outcome
    }

    /// As [`raw`](Cni::raw), but a plugin that exceeds `deadline` is killed with all processes in
    /// its process group, and [`Outcome::hung`] is set.
    ///
    /// # Panics
    ///
    /// If the plugin cannot be started.
    pub fn within(&self, verb: &str, deadline: Duration) -> Outcome {
        let folder = self.folder.clone().unwrap_or_else(bin::bin);
        let call = format!("{} {verb}", self.plugin);
        let mut command = self.command(&folder, verb);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{call}: {error}"));
        let mut stdin = child.stdin.take().expect("a pipe to the plugin");
        thread::scope(|scope| {
            scope.spawn(move || match stdin.write_all(&self.stdin) {
                // A plugin may answer before it has read all of its input.
                Err(error) if error.kind() != ErrorKind::BrokenPipe => panic!("stdin: {error}"),
                _ => drop(stdin),
            });
            outcome(call, child, deadline)
        })
    }

    /// The call as a command that the caller starts, and the standard input.
    pub fn prepared(&self, verb: &str) -> (Command, &[u8]) {
        let folder = self.folder.clone().unwrap_or_else(bin::bin);
        (self.command(&folder, verb), &self.stdin)
    }

    /// The call as a shell command.
    pub fn shell(&self, verb: &str) -> String {
        let folder = self.folder.clone().unwrap_or_else(bin::bin);
        let mut env: BTreeMap<&OsStr, &OsStr> =
            self.env.iter().map(|(name, value)| (&**name, &**value)).collect();
        env.entry(OsStr::new("CNI_PATH")).or_insert(folder.as_os_str());
        env.entry(OsStr::new("CNI_COMMAND")).or_insert(OsStr::new(verb));
        env.retain(|name, _| *name != "PATH" && !self.unset.iter().any(|unset| unset == name));
        let env: String = env
            .iter()
            .map(|(name, value)| format!("{}={} ", name.display(), quoted(value)))
            .collect();
        let binary = folder.join(&self.plugin);
        let stdin = String::from_utf8_lossy(&self.stdin);
        format!("{env}{} <<< {}", quoted(binary.as_os_str()), quoted(OsStr::new(&*stdin)))
    }

    fn command(&self, folder: &Path, verb: &str) -> Command {
        let binary = bin::in_folder(folder, &self.plugin);
        let mut command = match self.under.split_first() {
            None => Command::new(binary),
            Some((program, arguments)) => {
                let mut command = Command::new(program);
                command.args(arguments).arg(binary);
                command
            }
        };
        command.env_clear().env("CNI_PATH", folder).env("CNI_COMMAND", verb).envs(&self.env);
        self.unset.iter().for_each(|name| {
            command.env_remove(name);
        });
        // In a process group of its own, a hanging plugin can be killed with the plugins that it
        // called.
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        command
    }
}

/// Quotes a word for a shell.
fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-:,=@+".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.into_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// Waits for a plugin, and kills it at the deadline.
fn outcome(call: String, child: Child, deadline: Duration) -> Outcome {
    let group = Pid::from_raw(child.id().cast_signed());
    let (done, waiting) = mpsc::channel::<()>();
    let (output, hung) = thread::scope(|scope| {
        let watch = scope.spawn(move || {
            let hangs = waiting.recv_timeout(deadline) == Err(mpsc::RecvTimeoutError::Timeout);
            hangs && killpg(group, Signal::SIGKILL).is_ok()
        });
        let output = child.wait_with_output();
        drop(done);
        (output.unwrap_or_else(|error| panic!("{call}: {error}")), watch.join().unwrap())
    });
    Outcome {
        call,
        status: output.status,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        hung,
    }
}

impl Outcome {
    /// The JSON output of a call that must succeed; [`Value::Null`] for empty output.
    ///
    /// # Panics
    ///
    /// If the call failed or printed anything except JSON; the message contains the outcome.
    #[track_caller]
    pub fn ok(&self) -> Value {
        assert!(self.status.success(), "expected success\n{self}");
        self.json()
    }

    /// The `code`, `msg` and `details` of a call that must fail as the specification defines it:
    /// exit status 1, and only an error on standard output.
    ///
    /// # Panics
    ///
    /// If it did not; the message contains the outcome.
    #[track_caller]
    pub fn err(&self) -> (u64, String, String) {
        assert_eq!(self.status.code(), Some(1), "expected exit status 1\n{self}");
        let error = self.json();
        let text = |key: &str| error[key].as_str().unwrap_or_default().to_owned();
        let code =
            error["code"].as_u64().unwrap_or_else(|| panic!("expected an error code\n{self}"));
        assert!(!text("msg").is_empty(), "expected a message\n{self}");
        (code, text("msg"), text("details"))
    }

    /// The JSON output of a call; [`Value::Null`] for empty output.
    ///
    /// # Panics
    ///
    /// If the output is not JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        if self.stdout.trim().is_empty() {
            return Value::Null;
        }
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("expected JSON: {error}\n{self}"))
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Outcome { call, status, stdout, stderr, hung: _ } = self;
        write!(f, "{call}: {status}\n--- stdout\n{stdout}\n--- stderr\n{stderr}")
    }
}
