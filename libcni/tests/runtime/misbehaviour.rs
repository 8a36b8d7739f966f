//! Plugins that do not do as they should.

use std::io::Write;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use libcni::{Code, Error};

use crate::bed::{ANSWERS, Bed, error, list, network, pod};
use serde_json::json;

/// The error of an ADD through a plugin with this script.
fn add(body: &str) -> Error {
    let bed = Bed::new();
    bed.script("bad", body);
    let error = error(bed.runtime().add(&network("1.0.0", &["bad"]), &pod("c1")));
    assert!(error.msg.starts_with(r#"plugin type="bad" failed (add): "#), "{error}");
    assert!(!bed.cached_file("net-c1-eth0").exists());
    error
}

#[test]
fn invalid_output_of_a_plugin_is_shown() {
    for (body, shown) in [
        ("echo oops", "oops"),
        ("echo '[]'", "expected a JSON object"),
        ("exit 0", "it printed nothing"),
        (r#"echo '{"cniVersion": "7.0.0"}'"#, "7.0.0"),
        (r#"echo '{"ips": [{"address": "nonsense"}]}'"#, "nonsense"),
        ("echo why >&2; exit 3", "why"),
        ("echo oops; echo why >&2; exit 3", "why"),
        ("echo oops; exit 3", "oops"),
        ("exit 3", "exit status 3"),
        ("echo why >&2; kill -9 $$", "SIGKILL"),
        ("echo why >&2; kill -11 $$", "why"),
        ("kill -11 $$", "SIGSEGV"),
    ] {
        let error = add(body).to_string();
        assert!(error.contains(shown), "{body}: {error}");
    }
}

#[test]
fn a_plugin_that_does_not_read_its_configuration_is_no_error() {
    let bed = Bed::new();
    bed.script("deaf", &format!("exec <&-\n{ANSWERS}"));
    let long = "x".repeat(1 << 20);
    let network = list(
        json!({ "name": "net", "cniVersion": "1.0.0", "plugins": [{ "type": "deaf", "long": long }] }),
    );
    assert_eq!(bed.runtime().add(&network, &pod("c1")).unwrap().ips.len(), 1);
}

/// A plugin that says it is there and then hangs, also if only its child does.
const HANGS: &str = "echo started >&2; sleep 1000 & wait";

#[test]
fn one_deadline_is_for_the_whole_chain() {
    let bed = Bed::with(&["one", "three"]);
    bed.plugin("two", HANGS);
    let mut runtime = bed.runtime();
    runtime.timeout = Some(Duration::from_millis(500));
    let before = Instant::now();
    let error = error(runtime.add(&network("1.0.0", &["one", "two", "three"]), &pod("c1")));
    assert!(before.elapsed() < Duration::from_secs(100), "the plugin was waited for");
    assert_eq!(error.code, Code::TRY_AGAIN, "{error}");
    assert!(error.msg.starts_with(r#"plugin type="two" failed (add): "#), "{error}");
    assert_eq!(bed.calls(), ["ADD one c1", "ADD two c1"]);
}

#[test]
fn a_cancelled_operation_ends() {
    let bed = Bed::new();
    bed.plugin("hangs", HANGS);
    let (reader, mut writer) = std::io::pipe().unwrap();
    let mut runtime = bed.runtime();
    runtime.cancel = Some(reader.as_fd());
    let error = std::thread::scope(|scope| {
        let adding = scope.spawn(|| error(runtime.add(&network("1.0.0", &["hangs"]), &pod("c1"))));
        writer.write_all(b"!").unwrap();
        adding.join().unwrap()
    });
    assert!(error.msg.starts_with(r#"plugin type="hangs" failed (add): "#), "{error}");
}
