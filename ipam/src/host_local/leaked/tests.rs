use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use libcni::NetworkName;
use serde_json::json;

use super::{Judgement, judge};
use crate::host_local::look::Reserved;

const HOUR: Duration = Duration::from_secs(3600);

struct Bed {
    dir: tempfile::TempDir,
}

impl Bed {
    fn new() -> Bed {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("networks/pods")).unwrap();
        fs::create_dir_all(dir.path().join("results")).unwrap();
        Bed { dir }
    }

    /// Reserves an address for a container, this long ago.
    fn reserve(&self, ip: &str, content: &str, age: Duration) {
        let path = self.dir.path().join("networks/pods").join(ip);
        fs::write(&path, content).unwrap();
        File::options()
            .write(true)
            .open(path)
            .unwrap()
            .set_modified(SystemTime::now() - age)
            .unwrap();
    }

    fn entry(&self, network: &str, container: &str, netns: &Path) {
        let entry = json!({
            "kind": "cniCacheV1", "containerId": container, "config": "", "ifName": "eth0",
            "networkName": network, "netns": netns
        });
        let name = format!("{network}-{container}-eth0");
        fs::write(self.dir.path().join("results").join(name), entry.to_string()).unwrap();
    }

    fn judge(&self) -> Judgement {
        let network = NetworkName::new("pods").unwrap();
        let dir = self.dir.path();
        let reserved = Reserved::read(&dir.join("networks"), &network).unwrap().unwrap();
        let taken: Vec<_> = reserved.addresses.iter().collect();
        judge(&dir.join("results"), &network, &reserved, &taken)
    }
}

#[test]
fn leaks_are_judged_by_the_cache() {
    let bed = Bed::new();
    let (there, gone) = (bed.dir.path().join("networks"), bed.dir.path().join("nothing"));
    bed.reserve("10.1.2.2", "live\r\neth0", HOUR);
    bed.entry("pods", "live", &there);
    assert_eq!(bed.judge(), Judgement::Leaked(0));
    // The container has no entry, and its ADD ended long ago.
    bed.reserve("10.1.2.3", "lost\r\neth0", HOUR);
    bed.reserve("10.1.2.4", "old", HOUR);
    assert_eq!(bed.judge(), Judgement::Leaked(2));
    // The state after a reboot.
    bed.reserve("10.1.2.5", "dead\r\neth0", HOUR);
    bed.entry("pods", "dead", &gone);
    assert_eq!(bed.judge(), Judgement::Leaked(3));
    // None of these counts as leaked: a running ADD, a container that another network knows, files
    // written by hand, a container of an old version, an entry that cannot be read, one without a
    // path, and one that is a directory.
    bed.reserve("10.1.2.6", "coming\r\neth0", Duration::from_secs(5));
    bed.reserve("10.1.2.7", "elsewhere\r\neth0", HOUR);
    bed.entry("other", "elsewhere", &gone);
    bed.reserve("10.1.2.8", "a note of an operator", HOUR);
    bed.reserve("10.1.2.9", "", HOUR);
    bed.reserve("10.1.2.10", "live", HOUR);
    bed.reserve("10.1.2.11", "cut\r\neth0", HOUR);
    fs::write(bed.dir.path().join("results/pods-cut-eth0"), "{\"kind\": \"cniCac").unwrap();
    bed.reserve("10.1.2.12", "pathless\r\neth0", HOUR);
    bed.entry("pods", "pathless", Path::new(""));
    bed.reserve("10.1.2.13", "folder\r\neth0", HOUR);
    fs::create_dir(bed.dir.path().join("results/pods-folder-eth0")).unwrap();
    assert_eq!(bed.judge(), Judgement::Leaked(3));
}

/// A runtime may keep its results elsewhere. Then none of its containers has an entry, and all of
/// them are live.
#[test]
fn a_network_without_any_entry_is_not_judged() {
    let bed = Bed::new();
    bed.reserve("10.1.2.2", "live\r\neth0", HOUR);
    bed.entry("other", "c1", Path::new("/"));
    let Judgement::Unknown(why) = bed.judge() else { panic!("nothing can be known") };
    assert!(why.ends_with("/results has no entry of network pods"), "{why}");
    fs::remove_dir_all(bed.dir.path().join("results")).unwrap();
    assert!(matches!(bed.judge(), Judgement::Unknown(_)));
}
