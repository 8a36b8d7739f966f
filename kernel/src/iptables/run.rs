//! Runs the host's iptables: found by name in the usual directories, with fixed arguments, rules on
//! standard input, and no shell.

use std::env;
use std::ffi::OsString;
use std::io::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use crate::{Doing, Error, Result};

/// Where iptables usually is, independent of the runtime's PATH.
const FOLDERS: &str = "/usr/sbin:/sbin:/usr/local/sbin";

/// An address family, and its iptables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Ipv4,
    Ipv6,
}

impl Family {
    pub(super) const BOTH: [Family; 2] = [Family::Ipv4, Family::Ipv6];

    pub(super) fn of(address: IpAddr) -> Family {
        if address.is_ipv6() { Family::Ipv6 } else { Family::Ipv4 }
    }

    pub(super) fn is_of(self, address: IpAddr) -> bool {
        self == Family::of(address)
    }

    /// The prefix of its programs' names.
    pub(super) fn name(self) -> &'static str {
        match self {
            Family::Ipv4 => "iptables",
            Family::Ipv6 => "ip6tables",
        }
    }

    pub(super) fn multicast(self) -> &'static str {
        match self {
            Family::Ipv4 => "224.0.0.0/4",
            Family::Ipv6 => "ff00::/8",
        }
    }

    pub(super) fn is_installed(self) -> bool {
        find(&format!("{}-save", self.name())).is_some()
    }
}

/// A table of an address family.
#[derive(Debug, Clone, Copy)]
pub(super) struct Table {
    pub(super) family: Family,
    pub(super) name: &'static str,
    /// The setting with which the caller needs no iptables, for hints.
    pub(super) instead: &'static str,
}

/// `iptables-save -t nat`
pub(super) fn save(table: Table) -> Result<String> {
    let output = run(table, &format!("{}-save", table.family.name()), &["-t", table.name], "")?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// `iptables-restore --noflush --wait`
pub(super) fn restore(table: Table, rules: &str) -> Result<()> {
    let program = format!("{}-restore", table.family.name());
    run(table, &program, &["--noflush", "--wait"], rules).map(drop)
}

/// `iptables-legacy -S FORWARD`, if the kernel has loaded the legacy table already, because the
/// program would load it.
pub(super) fn legacy_forward(filter: Table) -> Result<Option<String>> {
    let loaded = match filter.family {
        Family::Ipv4 => "/proc/net/ip_tables_names",
        Family::Ipv6 => "/proc/net/ip6_tables_names",
    };
    let loaded = std::fs::read_to_string(loaded).unwrap_or_default();
    let program = format!("{}-legacy", filter.family.name());
    if !loaded.lines().any(|table| table == filter.name) || find(&program).is_none() {
        return Ok(None);
    }
    let output = run(filter, &program, &["-w", "5", "-S", "FORWARD"], "")?;
    Ok(Some(String::from_utf8_lossy(&output.stdout).into_owned()))
}

fn run(table: Table, program: &str, arguments: &[&str], input: &str) -> Result<Output> {
    let action = || format!("run {program} {}", arguments.join(" "));
    let Some(path) = find(program) else {
        return Err(missing(action(), program, table.instead));
    };
    let mut child = Command::new(path)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .doing(action)?;
    // The program reads while this call writes, and prints little meanwhile, so neither blocks the
    // other. A program that exits without reading is judged by its exit status.
    let written = child.stdin.take().map_or(Ok(()), |mut pipe| pipe.write_all(input.as_bytes()));
    let output = child.wait_with_output().doing(action)?;
    if output.status.success() {
        written.doing(action)?;
        return Ok(output);
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
    let Table { name, instead, .. } = table;
    Err(Error::found(action(), format!("{}: {said}", output.status)).hint(format!(
        "check whether `iptables -t {name} -S` works on this host, or set {instead}"
    )))
}

/// The error about a program that is not installed.
pub(super) fn missing(action: impl Into<String>, program: &str, instead: &str) -> Error {
    Error::errno(action, nix::libc::ENOENT)
        .said(format!("{program} is in no directory of PATH, nor in {FOLDERS}"))
        .hint(format!("install iptables, or set {instead}, which needs no program"))
}

/// The program's path, from the directories of PATH and the usual ones.
fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let usual = OsString::from(FOLDERS);
    let folders: Vec<PathBuf> = env::split_paths(&path).chain(env::split_paths(&usual)).collect();
    let absolute = folders.into_iter().filter(|folder| folder.is_absolute());
    absolute.map(|folder| folder.join(program)).find(|path| path.is_file())
}
