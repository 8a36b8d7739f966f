use std::os::fd::AsFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};

use tempfile::TempDir;

use super::*;

/// A plugin written in shell.
fn plugin(script: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plugin");
    std::fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    (folder, file)
}

fn run(script: &str, stdin: &[u8]) -> Result<Vec<u8>> {
    let (_folder, file) = plugin(script);
    Exec { program: &file, env: &[], stdin, deadline: Some(soon(60)), cancel: None }.run()
}

fn soon(seconds: u64) -> Instant {
    Instant::now() + Duration::from_secs(seconds)
}

fn fails(script: &str) -> Error {
    run(script, b"{}").unwrap_err()
}

#[test]
fn large_input_and_output_do_not_block_each_other() {
    let input = vec![b'x'; 3 << 20];
    assert_eq!(run("exec cat", &input).unwrap(), input);
    // All output comes before the first byte of input is read.
    let output = run("head -c 1000000 /dev/zero; cat >/dev/null", &input).unwrap();
    assert_eq!(output.len(), 1_000_000);
}

#[test]
fn unread_input_is_not_an_error() {
    assert_eq!(run("echo done", &vec![b'x'; 3 << 20]).unwrap(), b"done\n");
}

#[test]
fn the_environment_is_inherited_and_overridden() {
    let (_folder, file) = plugin("echo $CNI_COMMAND; test -n \"$PATH\"");
    let env = [("CNI_COMMAND".to_owned(), "ADD".to_owned())];
    let exec = Exec { program: &file, env: &env, stdin: b"", deadline: None, cancel: None };
    assert_eq!(exec.run().unwrap(), b"ADD\n");
}

#[test]
fn a_plugins_own_error_passes_unchanged() {
    let error = fails(r#"echo noise >&2; echo '{"code": 11, "msg": "m", "details": "d"}'; exit 1"#);
    assert_eq!(error, Error::new(Code::TRY_AGAIN, "m").details("d"));
    let error = fails(r#"echo '{"cniVersion": "1.1.0"}{"code": 8, "msg": "same"}'; exit 1"#);
    assert_eq!(error, Error::new(Code::INVALID_NETNS, "same"));
}

#[test]
fn failures_without_an_error_report_the_status_and_the_output() {
    let silent = fails("exit 3");
    assert_eq!(silent.msg, "netplugin failed with no error message: exit status 3");
    let stderr = fails("echo 'out of ideas' >&2; exit 1");
    assert_eq!(stderr.msg, "netplugin failed: \"out of ideas\"");
    assert!(stderr.details.contains("/plugin"), "{stderr}");
    let garbage = fails("echo oops; echo why >&2; exit 1");
    assert!(
        garbage
            .msg
            .starts_with("netplugin failed but error parsing its diagnostic message \"oops\": "),
        "{garbage}"
    );
    assert!(garbage.details.contains("why"), "{garbage}");
    let shapeless = fails("echo '{\"a\": 1}'; exit 1");
    assert!(shapeless.msg.ends_with("it has no code and msg"), "{shapeless}");
    assert_eq!((silent.code, garbage.code), (Code::INTERNAL, Code::INTERNAL));
}

#[test]
fn death_by_a_signal_is_named_with_the_last_words() {
    let error = fails("echo 'last words' >&2; kill -SEGV $$");
    assert_eq!(error.msg, "netplugin failed with no error message: signal: SIGSEGV");
    assert!(error.details.contains("last words"), "{error}");
}

#[test]
fn success_has_to_come_with_json_where_a_result_is_expected() {
    let json = |script: &str| {
        let (_folder, file) = plugin(script);
        Exec { program: &file, env: &[], stdin: b"", deadline: None, cancel: None }.run_json()
    };
    assert!(json("echo '{\"cniVersion\": \"1.1.0\"}'").is_ok());
    assert!(json("true").unwrap_err().details.contains("printed nothing"));
    assert!(json("echo hello").unwrap_err().details.contains("hello"));
}

#[test]
fn cancel_kills_the_whole_group() {
    let (folder, file) = plugin("exec 3>\"$0.fifo\"; sleep 1000 & echo ready >&3; wait");
    let fifo = folder.path().join("plugin.fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let nonblocking = nix::fcntl::OFlag::O_NONBLOCK.bits();
    let fifo = std::fs::File::options().read(true).custom_flags(nonblocking).open(&fifo).unwrap();
    let exec =
        Exec { program: &file, env: &[], stdin: b"", deadline: None, cancel: Some(fifo.as_fd()) };
    let error = exec.run().unwrap_err();
    assert!(
        error.msg.starts_with("netplugin failed with no error message: signal: killed (cancelled)"),
        "{error}"
    );
    // The grandchild has the fifo open as well: its end is the end of the file.
    nix::fcntl::fcntl(&fifo, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::empty())).unwrap();
    assert_eq!(io::read_to_string(&fifo).unwrap(), "ready\n");
}

#[test]
fn a_child_that_closes_its_output_is_waited_for_until_the_deadline() {
    let (_folder, file) = plugin("exec >&- 2>&-; exec sleep 1000");
    let deadline = Some(Instant::now() + Duration::from_millis(300));
    let exec = Exec { program: &file, env: &[], stdin: b"", deadline, cancel: None };
    let error = exec.run().unwrap_err();
    assert_eq!(error.code, Code::TRY_AGAIN);
    assert!(error.msg.starts_with("netplugin failed with no error message: signal: killed"));
}

#[test]
fn a_daemon_that_keeps_the_pipes_open_is_not_waited_for() {
    let (folder, file) = plugin("sleep 1000 & echo $! > \"$0.pid\"; echo '{}'");
    let exec =
        Exec { program: &file, env: &[], stdin: b"", deadline: Some(soon(60)), cancel: None };
    assert_eq!(exec.run().unwrap(), b"{}\n");
    let pid = std::fs::read_to_string(folder.path().join("plugin.pid")).unwrap();
    let pid = nix::unistd::Pid::from_raw(pid.trim().parse().unwrap());
    nix::sys::signal::kill(pid, Signal::SIGKILL).expect("the daemon is left alone");
}

#[test]
fn endless_output_is_cut_off() {
    assert!(fails("exec cat /dev/zero").msg.contains("more than 16777216 bytes"));
    let error = fails("head -c 1000000 /dev/zero | tr '\\0' x >&2; echo END >&2; exit 1");
    assert!(error.details.ends_with("END") && error.details.len() < 20_000, "{}", error.msg);
}

#[test]
fn a_binary_that_is_being_written_is_tried_again_within_the_deadline() {
    let (_folder, file) = plugin("echo done");
    let writing = std::fs::File::options().append(true).open(&file).unwrap();
    let deadline = Some(Instant::now() + Duration::from_millis(1200));
    let exec = Exec { program: &file, env: &[], stdin: b"", deadline, cancel: None };
    let error = exec.run().unwrap_err();
    assert!(error.msg.contains("Text file busy"), "{error}");
    drop(writing);
    assert_eq!(Exec { deadline: None, ..exec }.run().unwrap(), b"done\n");
}

#[test]
fn a_plugin_that_cannot_be_run_is_an_error_with_the_reason() {
    let program = Path::new("/nonexistent/plugin");
    let exec = Exec { program, env: &[], stdin: b"", deadline: None, cancel: None };
    let error = exec.run().unwrap_err();
    assert_eq!(
        error.msg,
        "failed to run /nonexistent/plugin: No such file or directory (os error 2)"
    );
}

#[test]
fn plugins_are_found_in_the_order_of_the_path() {
    let (first, _) = plugin("true");
    let (second, file) = plugin("true");
    std::fs::rename(first.path().join("plugin"), first.path().join("other")).unwrap();
    std::fs::create_dir(first.path().join("plugin")).unwrap();
    let path = [first.path().to_owned(), second.path().to_owned()];
    let name = |name: &str| PluginType::new(name).unwrap();
    assert_eq!(find(&name("plugin"), &path).unwrap(), file, "a folder is no plugin");
    let error = find(&name("none"), &path).unwrap_err();
    let folders = format!("{} {}", path[0].display(), path[1].display());
    assert_eq!(error.msg, format!("failed to find plugin \"none\" in path [{folders}]"));
    assert_eq!(find(&name("plugin"), &[]).unwrap_err().msg, "no paths provided");
}

#[test]
fn a_person_gives_arguments_and_no_verb() {
    let by_hand = |script: &str, seconds| {
        let (_folder, file) = plugin(script);
        super::by_hand(&file, &["--schema"], soon(seconds))
    };
    assert_eq!(by_hand("echo \"$1 ${CNI_COMMAND-none}\"; cat", 60).unwrap(), b"--schema none\n");
    assert_eq!(by_hand("echo about; exit 2", 60).unwrap(), b"");
    assert_eq!(by_hand("exec sleep 1000", 1).unwrap_err().code, Code::TRY_AGAIN);
}
