//! Cache entries that cannot be read or removed: DEL is best effort, so all plugins are called.

use std::fs;

use crate::bed::Bed;

const DELS: [&str; 2] = ["DEL two", "DEL one"];

/// A cache entry that cannot be used, by name.
fn damage(bed: &Bed, how: &str) {
    fs::create_dir_all(bed.path("cache/results")).unwrap();
    match how {
        "empty" => fs::write(bed.entry(), "").unwrap(),
        "garbage" => fs::write(bed.entry(), "{\"kind\": \"cniCacheV1\"").unwrap(),
        "not a result" => fs::write(bed.entry(), "[]").unwrap(),
        "folder" => fs::create_dir(bed.entry()).unwrap(),
        "loop" => std::os::unix::fs::symlink(bed.entry(), bed.entry()).unwrap(),
        _ => assert_eq!(how, "absent"),
    }
}

#[test]
fn del_calls_every_plugin_whatever_the_entry_is() {
    for how in ["empty", "garbage", "not a result", "folder", "loop", "absent"] {
        for is_read_only in [false, true] {
            let bed = Bed::with_network("1.0.0");
            damage(&bed, how);
            let del = match is_read_only {
                true => bed.run_read_only("del", "net"),
                false => bed.run("del", "net"),
            };
            assert_eq!(del.status, Some(0), "{how}, read-only {is_read_only}: {del:?}");
            assert_eq!(bed.calls(), DELS, "{how}");
            assert!(bed.prev("one", "DEL").is_null(), "{how}");
            let stays = how != "absent" && (is_read_only || how == "folder");
            assert_eq!(fs::symlink_metadata(bed.entry()).is_ok(), stays, "{how}");
            let warning =
                format!("cnitool: warning: remove the cache entry {}: ", bed.entry().display());
            assert_eq!(del.stderr.contains(&warning), stays, "{how}: {}", del.stderr);
        }
    }
}

#[test]
fn a_good_entry_that_cannot_be_removed_is_a_warning_and_is_used_again() {
    let bed = Bed::with_network("1.0.0");
    assert_eq!(bed.run("add", "net").status, Some(0));
    bed.calls();
    for _ in 0..2 {
        let del = bed.run_read_only("del", "net");
        assert_eq!((del.status, &*del.stdout), (Some(0), ""), "{del:?}");
        assert!(del.stderr.contains("Read-only file system"), "{}", del.stderr);
        assert!(del.stderr.contains("remove the entry by hand"), "{}", del.stderr);
        assert_eq!(bed.calls(), DELS);
        assert_eq!(bed.prev("one", "DEL")["ips"][0]["address"], "10.1.0.2/16");
    }
    let gc = bed.run_read_only("gc", "net");
    assert_eq!(gc.status, Some(0), "{gc:?}");
    assert!(gc.stderr.contains("cnitool: warning: remove the cache entry"), "{}", gc.stderr);
    assert_eq!(bed.calls(), DELS);
}

#[test]
fn a_del_that_fails_keeps_the_entry_and_an_entry_that_cannot_be_read_too() {
    let bed = Bed::with_network("1.0.0");
    damage(&bed, "garbage");
    fs::remove_file(bed.path("bin/two")).unwrap();
    assert_eq!(bed.run("del", "net").status, Some(1));
    assert_eq!(bed.calls(), ["DEL one"]);
    assert!(bed.entry().exists());
}

#[test]
fn an_undo_calls_every_plugin_whatever_the_entry_is() {
    for how in ["empty", "garbage", "folder", "absent"] {
        for is_read_only in [false, true] {
            let bed = Bed::with_network("1.0.0");
            bed.refuses("two");
            damage(&bed, how);
            let add = match is_read_only {
                true => bed.run_read_only("add", "net"),
                false => bed.run("add", "net"),
            };
            assert_eq!(add.status, Some(1), "{how}: {add:?}");
            assert_eq!(bed.calls(), ["ADD one", "ADD two", "DEL two", "DEL one"], "{how}");
            assert!(!add.stderr.contains("undoing the failed add failed"), "{how}: {}", add.stderr);
        }
    }
}

/// The folder of the cache cannot be searched for the namespace under another path, and is not
/// needed for DEL.
#[test]
fn del_does_without_a_folder_of_the_cache() {
    let bed = Bed::with_network("1.0.0");
    bed.file("cache/results", "a file");
    let del = bed.run_without_id("del", "net");
    assert_eq!(del.status, Some(0), "{del:?}");
    assert!(del.stderr.starts_with("cnitool: warning: read the folder "), "{}", del.stderr);
    assert_eq!(bed.calls(), DELS);
    let check = bed.run_without_id("check", "net");
    assert_eq!(check.status, Some(1), "{check:?}");
    assert!(check.stderr.starts_with("read the folder "), "{}", check.stderr);
    assert!(bed.calls().is_empty());
}
