//! The built command, with shell scripts in the place of plugins.
#![cfg(test)]

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A folder with a network `net` of plugins, and nothing of this machine.
struct Bed(TempDir);

/// What a run of cnitool came to.
struct Run {
    status: Option<i32>,
    stdout: String,
    stderr: String,
}

const ANSWERS: &str = r#"case $CNI_COMMAND in
    ADD) echo '{"ips": [{"address": "10.1.0.2/16"}]}';;
    PLAN) echo '{"plan": {"pod": "/run/netns/p", "steps": [{"place": "pod", "ownership": "owned", "object": {}, "shown": "ip link set lo up"}]}, "result": {}}';;
    REPAIR) echo '["eth0 was down"]';;
    VERSION) echo '{"cniVersion": "1.1.0", "supportedVersions": ["1.0.0", "1.1.0"]}';;
esac"#;

impl Bed {
    /// A bed whose network has these plugins, all of them well-behaved until overwritten.
    fn new(plugins: &[&str]) -> Bed {
        let bed = Bed(TempDir::new().unwrap());
        for dir in ["bin", "net.d"] {
            fs::create_dir(bed.path(dir)).unwrap();
        }
        let kinds: Vec<_> = plugins
            .iter()
            .map(|kind| json!({ "type": kind, "capabilities": { "mac": true } }))
            .collect();
        let list = json!({ "name": "net", "cniVersion": "1.1.0", "plugins": kinds });
        fs::write(bed.path("net.d/net.conflist"), list.to_string()).unwrap();
        for plugin in plugins {
            bed.plugin(plugin, ANSWERS);
        }
        bed
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn plugin(&self, name: &str, body: &str) {
        let dir = self.0.path().display();
        let script = format!(
            "#!/bin/sh\ncat > {dir}/stdin\nenv > {dir}/env\necho \"$CNI_COMMAND {name}\" >> \
             {dir}/log\n{body}\n"
        );
        let file = self.path("bin").join(name);
        fs::write(&file, script).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// cnitool, with these folders and none of our environment's settings.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cnitool"));
        command.args(args).arg("--cache-dir").arg(self.path("cache"));
        command.env("NETCONFPATH", self.path("net.d")).env("CNI_PATH", self.path("bin"));
        for variable in ["CNI_ARGS", "CAP_ARGS", "CNI_IFNAME", "FERROCNI_TIMEOUT"] {
            command.env_remove(variable);
        }
        command
    }

    fn run(&self, args: &[&str]) -> Run {
        run(&mut self.command(args))
    }

    /// The calls so far; forgotten then.
    fn calls(&self) -> Vec<String> {
        let log = fs::read_to_string(self.path("log")).unwrap_or_default();
        fs::write(self.path("log"), "").unwrap();
        log.lines().map(str::to_owned).collect()
    }

    fn env(&self, name: &str) -> String {
        let text = fs::read_to_string(self.path("env")).unwrap();
        let value = text.lines().find_map(|line| line.strip_prefix(&format!("{name}=")));
        value.unwrap_or("UNSET").to_owned()
    }

    fn cached(&self) -> usize {
        fs::read_dir(self.path("cache/results")).map_or(0, Iterator::count)
    }
}

fn run(command: &mut Command) -> Run {
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Run { status: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

#[test]
fn add_check_and_del_speak_as_the_references() {
    let bed = Bed::new(&["one", "two"]);
    let add = bed.run(&["add", "net", "/run//netns/../netns/p"]);
    assert_eq!((add.status, &*add.stderr), (Some(0), ""));
    let result = "{\n    \"cniVersion\": \"1.1.0\",\n    \"ips\": [\n        {\n            \
                  \"address\": \"10.1.0.2/16\"\n        }\n    ]\n}";
    assert_eq!(add.stdout, result);
    // printf /run/netns/p | sha512sum | cut -c -20
    assert_eq!(bed.env("CNI_CONTAINERID"), "cnitool-e814646c1f09fccf34e0");
    assert_eq!(bed.env("CNI_NETNS"), "/run/netns/p");
    assert_eq!(bed.env("CNI_IFNAME"), "eth0");
    assert_eq!(bed.env("FERROCNI_TIMEOUT"), "235");
    assert_eq!(bed.cached(), 1);
    // The name means the same namespace, as in `ip netns`.
    for (verb, calls) in [("check", ["CHECK one", "CHECK two"]), ("del", ["DEL two", "DEL one"])] {
        bed.calls();
        let done = bed.run(&[verb, "net", "p"]);
        assert_eq!((done.status, &*done.stdout, &*done.stderr), (Some(0), "", ""), "{verb}");
        assert_eq!(bed.calls(), calls);
    }
    assert_eq!(bed.cached(), 0);
}

#[test]
fn variables_are_read_and_options_are_stronger() {
    let bed = Bed::new(&["one"]);
    let mut add = bed.command(&["add", "net", "p"]);
    add.env("CNI_ARGS", "A=1;B=2").env("CAP_ARGS", r#"{"mac": "02::1"}"#).env("CNI_IFNAME", "net1");
    assert_eq!(run(&mut add).status, Some(0));
    assert_eq!((bed.env("CNI_ARGS"), bed.env("CNI_IFNAME")), ("A=1;B=2".into(), "net1".into()));
    let stdin =
        || -> Value { serde_json::from_slice(&fs::read(bed.path("stdin")).unwrap()).unwrap() };
    assert_eq!(stdin()["runtimeConfig"], json!({ "mac": "02::1" }));
    add.args(["--args", "C=3", "--capabilities", r#"{"mac": "02::2"}"#, "--ifname", "net2"]);
    add.args(["--container-id", "mine", "--timeout", "10"]);
    assert_eq!(run(&mut add).status, Some(0));
    assert_eq!((bed.env("CNI_ARGS"), bed.env("CNI_IFNAME")), ("C=3".into(), "net2".into()));
    assert_eq!(
        (bed.env("CNI_CONTAINERID"), bed.env("FERROCNI_TIMEOUT")),
        ("mine".into(), "9".into())
    );
    assert_eq!(stdin()["runtimeConfig"], json!({ "mac": "02::2" }));
    let elsewhere = bed.run(&["add", "net", "p", "--conf-dir", "/nowhere"]);
    let said = "no net configurations found in /nowhere: the cache has attachments of it: run \
                `cnitool ls net --conf-dir /nowhere";
    assert!(elsewhere.stderr.starts_with(said), "{}", elsewhere.stderr);
    let elsewhere = bed.run(&["add", "net", "p", "--plugin-dir", "/nowhere"]);
    assert!(elsewhere.stderr.contains("in path [/nowhere]"), "{}", elsewhere.stderr);
}

#[test]
fn invalid_arguments_are_errors() {
    let bed = Bed::new(&["one"]);
    for (args, said) in [
        (&[][..], "connects network namespaces"),
        (&["join", "net", "p"], "unknown verb \"join\"\n`cnitool --help` lists"),
        (&["chekc", "net", "p"], "unknown verb \"chekc\"; did you mean \"check\"?\n"),
        (&["gc", "net", "--dryrun"], "invalid option '--dryrun'; did you mean \"--dry-run\"?\n"),
        (&["gc", "net", "p"], "gc: \"p\" is one word too many; --valid and --valid-file name"),
        (&["version", "net", "p"], "version: \"p\" is one word too many\n"),
        (&["add", "net"], "add: NETNS is missing"),
        (&["status"], "status: NET is missing"),
        (&["add", "net", "p", "q"], "\"q\" is one word too many"),
        (&["add", "net", "p", "--all"], "are for gc"),
        (&["gc", "net", "--all", "--valid", "c/eth0"], "--all says that nothing is valid"),
        (&["gc", "net", "--valid", "c"], "CONTAINERID/IFNAME is expected"),
        (&["add", "net", "p", "--timeout", "0"], "in seconds, 1 at least"),
        (&["add", "net", "p", "--timeout", "soon"], "soon"),
        (&["add", "net", "p", "--nonsense"], "--nonsense"),
        (&["add", "net", "p", "--args", "A="], "invalid CNI_ARGS pair \"A=\""),
        (&["add", "net", "p", "--args", "A=1;"], "invalid CNI_ARGS pair \"\""),
        (&["add", "net", "p", "--capabilities", "[]"], "CAP_ARGS is not a JSON object"),
        (&["add", "net", "p", "--ifname", ""], "interface name is empty"),
        (&["add", "net", "p", "--container-id", "../x"], "invalid characters in containerID"),
        (&["add", "net", ""], "the network namespace is empty"),
        (&["add", "other", "p"], "no net configuration with name \"other\""),
    ] {
        let run = bed.run(args);
        assert_eq!((run.status, &*run.stdout), (Some(1), ""), "{args:?}");
        assert!(run.stderr.contains(said), "{args:?}: {}", run.stderr);
        // The mistake is not to scroll away above a page of help.
        assert!(args.is_empty() || run.stderr.lines().count() <= 2, "{args:?}: {}", run.stderr);
    }
    assert!(bed.calls().is_empty());
}

#[test]
fn help_is_there_for_each_verb() {
    let bed = Bed::new(&[]);
    for verb in ["add", "check", "del", "gc", "status", "plan", "repair", "ls", "version"] {
        let help = bed.run(&[verb, "--help"]);
        assert_eq!((help.status, &*help.stderr), (Some(0), ""));
        assert!(help.stdout.starts_with(&format!("cnitool {verb} ")), "{}", help.stdout);
        assert!(bed.run(&["-h"]).stdout.contains(&format!("cnitool {verb} ")));
    }
}

#[test]
fn an_add_that_fails_is_undone_and_the_first_error_shown() {
    let bed = Bed::new(&["one", "two", "three"]);
    bed.plugin(
        "two",
        r#"echo '{"code": 11, "msg": "not now", "details": "the kernel said so"}'; exit 1"#,
    );
    let add = bed.run(&["add", "net", "p"]);
    assert_eq!((add.status, &*add.stdout), (Some(1), ""));
    assert_eq!(bed.calls(), ["ADD one", "ADD two", "DEL three", "DEL two", "DEL one"]);
    let last = add.stderr.lines().last().unwrap();
    assert_eq!(last, r#"plugin type="two" failed (add): not now: the kernel said so"#);
    assert_eq!(bed.cached(), 0);
}

#[test]
fn an_attachment_that_was_there_before_survives_a_second_add_that_fails() {
    let bed = Bed::new(&["one"]);
    assert_eq!(bed.run(&["add", "net", "p"]).status, Some(0));
    bed.plugin("one", r#"echo '{"code": 999, "msg": "it is there"}'; exit 1"#);
    bed.calls();
    let add = bed.run(&["add", "net", "p"]);
    assert!(add.stderr.contains("this attachment was there before"), "{}", add.stderr);
    assert_eq!(bed.calls(), ["ADD one"]);
    assert_eq!(bed.cached(), 1);
}

#[test]
fn an_interrupted_add_is_undone() {
    let bed = Bed::new(&["one", "two"]);
    let fifo = bed.path("started");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let hangs = format!("[ $CNI_COMMAND = DEL ] && exit; echo > {}; sleep 1000", fifo.display());
    bed.plugin("two", &hangs);
    let mut command = bed.command(&["add", "net", "p"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    fs::File::open(&fifo).unwrap().read_to_end(&mut Vec::new()).unwrap();
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGINT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert_eq!(bed.calls(), ["ADD one", "ADD two", "DEL two", "DEL one"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("undoing the add"));
}

#[test]
fn a_plugin_that_hangs_is_given_up() {
    let bed = Bed::new(&["one"]);
    bed.plugin("one", "[ $CNI_COMMAND = DEL ] && exit; sleep 1000");
    let add = bed.run(&["add", "net", "p", "--timeout", "1"]);
    assert_eq!(add.status, Some(1));
    assert_eq!(bed.calls(), ["ADD one", "DEL one"]);
}

#[test]
fn gc_keeps_live_attachments_by_default() {
    let bed = Bed::new(&["one"]);
    let alive = bed.path("namespace");
    fs::write(&alive, "").unwrap();
    let add = |netns: &str, id: &str| {
        assert_eq!(bed.run(&["add", "net", netns, "--container-id", id]).status, Some(0));
    };
    let all_three = || {
        add(alive.to_str().unwrap(), "alive");
        add("/nowhere/1", "gone1");
        add("/nowhere/2", "gone2");
        bed.calls();
    };
    all_three();
    let dry = bed.run(&["gc", "net", "--dry-run"]);
    assert_eq!((dry.status, &*dry.stdout), (Some(0), ""));
    let said = "would remove gone1/eth0 from net (/nowhere/1 is gone)\nwould remove gone2/eth0 \
                from net (/nowhere/2 is gone)\n";
    assert_eq!(dry.stderr, said);
    assert!(bed.calls().is_empty());
    let gc = bed.run(&["gc", "net"]);
    assert_eq!((gc.status, gc.stderr), (Some(0), said.replace("would remove", "removing")));
    assert_eq!(bed.calls(), ["DEL one", "DEL one", "GC one"]);
    assert_eq!(bed.cached(), 1);

    all_three();
    fs::write(bed.path("valid"), "gone1/eth0\n\n").unwrap();
    let file = bed.path("valid");
    let gc =
        bed.run(&["gc", "net", "--valid", "gone2/eth0", "--valid-file", file.to_str().unwrap()]);
    assert!(gc.stderr.starts_with("removing alive/eth0 from net ("), "{}", gc.stderr);
    let stdin: Value = serde_json::from_slice(&fs::read(bed.path("stdin")).unwrap()).unwrap();
    let valid = json!([{ "containerID": "gone2", "ifname": "eth0" }, { "containerID": "gone1", "ifname": "eth0" }]);
    assert_eq!(stdin["cni.dev/valid-attachments"], valid);
    assert_eq!(bed.cached(), 2);

    assert_eq!(bed.run(&["gc", "net", "--all"]).status, Some(0));
    assert_eq!(bed.cached(), 0);
}

/// The version that a runtime speaks may be too old for GC; with `cniVersions`, cnitool takes a
/// newer one.
#[test]
fn gc_reports_a_configuration_that_is_too_old() {
    let bed = Bed::new(&["one"]);
    let configure = |mut list: Value| {
        list["name"] = json!("net");
        list["plugins"] = json!([{ "type": "one" }]);
        fs::write(bed.path("net.d/net.conflist"), list.to_string()).unwrap();
    };
    configure(json!({ "cniVersion": "1.0.0" }));
    assert_eq!(bed.run(&["add", "net", "/nowhere/1", "--container-id", "gone"]).status, Some(0));
    bed.calls();
    let gc = bed.run(&["gc", "net"]);
    let (note, removing) = gc.stderr.split_once('\n').unwrap();
    assert_eq!(
        note,
        "the configuration of net is of version 1.0.0, in which plugins know no GC: only what is \
         in the cache goes. Give it \"cniVersions\": [\"1.0.0\", \"1.1.0\"] too"
    );
    assert_eq!(removing, "removing gone/eth0 from net (/nowhere/1 is gone)\n");
    assert_eq!((gc.status, bed.calls()), (Some(0), vec!["DEL one".to_owned()]));
    configure(json!({ "cniVersion": "1.0.0", "cniVersions": ["1.0.0", "1.1.0"] }));
    let gc = bed.run(&["gc", "net"]);
    assert_eq!((gc.status, &*gc.stderr), (Some(0), ""));
    assert_eq!(bed.calls(), ["GC one"]);
}

#[test]
fn a_plan_is_printed_and_nothing_is_kept() {
    let bed = Bed::new(&["one"]);
    let plan = bed.run(&["plan", "net"]);
    assert_eq!((plan.status, &*plan.stderr), (Some(0), ""));
    let tree = "net (CNI 1.1.0)\n├─ one\n│  └─ pod /run/netns/p\n│     └─ ip link set lo up\n└─ \
                result\n   └─ empty\n";
    assert_eq!(plan.stdout, tree);
    assert_eq!(
        (bed.env("CNI_CONTAINERID"), bed.env("CNI_NETNS")),
        ("cnitool-plan".into(), String::new())
    );
    let plan: Value =
        serde_json::from_str(&bed.run(&["plan", "net", "p", "--json"]).stdout).unwrap();
    assert_eq!(plan["plugins"][0]["plan"]["steps"][0]["shown"], "ip link set lo up");
    assert_eq!(bed.env("CNI_NETNS"), "/run/netns/p");
    assert_eq!(bed.calls(), ["PLAN one", "PLAN one"]);
    assert_eq!(bed.cached(), 0);
}

#[test]
fn repair_repairs_the_cached_attachments() {
    let bed = Bed::new(&["one"]);
    let none = bed.run(&["repair", "net"]);
    assert_eq!((none.status, &*none.stderr), (Some(0), "no attachment of net is in the cache\n"));
    for (netns, id) in [("p", "c1"), ("q", "c2")] {
        assert_eq!(bed.run(&["add", "net", netns, "--container-id", id]).status, Some(0));
    }
    let repair = bed.run(&["repair", "net"]);
    assert_eq!(
        repair.stdout,
        "c1/eth0: repaired by one: eth0 was down\nc2/eth0: repaired by one: eth0 was down\n"
    );
    let repaired: Value =
        serde_json::from_str(&bed.run(&["repair", "net", "q", "--json"]).stdout).unwrap();
    let attachment = json!({ "containerID": "c2", "ifname": "eth0" });
    assert_eq!(
        repaired,
        json!([{ "attachment": attachment, "repaired": ["repaired by one: eth0 was down"] }])
    );
    bed.plugin("one", r#"[ $CNI_CONTAINERID = c1 ] && { echo '{"code": 999, "msg": "no"}'; exit 1; } || echo '[]'"#);
    let repair = bed.run(&["repair", "net"]);
    assert_eq!(repair.status, Some(1));
    assert_eq!(repair.stdout, "c2/eth0: nothing to repair\n", "{}", repair.stderr);
    assert!(
        repair.stderr.contains(r#"c1/eth0: plugin type="one" failed (repair): no"#),
        "{}",
        repair.stderr
    );
}

#[test]
fn version_is_ours_or_that_of_a_networks_plugins() {
    let bed = Bed::new(&["one"]);
    let own = bed.run(&["version"]).stdout;
    assert!(own.ends_with("supported: 0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0\n"), "{own}");
    for option in ["--version", "-V"] {
        assert_eq!(bed.run(&[option]).stdout, own, "{option}");
    }
    assert_eq!(bed.run(&["version", "net"]).stdout, "one: 1.0.0, 1.1.0\n");
}

/// A fixed address that is asked for by a misspelt name must not become another address.
#[test]
fn a_capability_that_no_plugin_declares_is_refused_before_anything_is_done() {
    let bed = Bed::new(&["one"]);
    for verb in ["add", "plan"] {
        let misspelt = bed.run(&[verb, "net", "p", "--capabilities", r#"{"mca": "02::1"}"#]);
        assert_eq!((misspelt.status, &*misspelt.stdout), (Some(1), ""), "{verb}");
        assert_eq!(
            misspelt.stderr,
            "--capabilities: no plugin of net declares the capability \"mca\": Did you mean \
             \"mac\"? The names have to be spelt exactly.\n"
        );
        let undeclared = bed.run(&[
            verb,
            "net",
            "p",
            "--capabilities",
            r#"{"mac": "02::1", "ips": ["10.1.0.9"]}"#,
        ]);
        assert_eq!(undeclared.status, Some(1), "{verb}");
        assert!(
            undeclared.stderr.contains(r#"the capability "ips": Take it out, or add "capabilities": {"ips": true} to the plugin of net"#),
            "{}",
            undeclared.stderr
        );
    }
    assert!(bed.calls().is_empty());
    // A variable may be meant for other networks too, as the values of a runtime are.
    let mut add = bed.command(&["add", "net", "p"]);
    let add = run(add.env("CAP_ARGS", r#"{"mac": "02::1", "ips": ["10.1.0.9"]}"#));
    assert_eq!(add.status, Some(0));
    assert!(
        add.stderr.starts_with(
            "cnitool: CAP_ARGS: no plugin of net declares the capability \"ips\"; its value is not \
             used."
        ),
        "{}",
        add.stderr
    );
}

#[test]
fn status_below_1_1_0_reports_that_nothing_was_checked() {
    let bed = Bed::new(&["one"]);
    let list = json!({ "name": "net", "cniVersion": "1.0.0", "plugins": [{ "type": "one" }] });
    fs::write(bed.path("net.d/net.conflist"), list.to_string()).unwrap();
    let status = bed.run(&["status", "net"]);
    assert_eq!((status.status, &*status.stdout), (Some(0), ""));
    assert_eq!(
        status.stderr,
        "nothing was checked: the configuration of net is of version 1.0.0, in which plugins know \
         no STATUS. Give it \"cniVersions\": [\"1.0.0\", \"1.1.0\"] too\n"
    );
    assert!(bed.calls().is_empty());
}
