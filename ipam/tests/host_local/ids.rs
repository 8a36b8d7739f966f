//! IDs and names of any length: every written reservation can be read again, and so released.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use super::net::{Net, OURS, Outcome, error};

/// The maximum length in an environment variable: `CNI_CONTAINERID=`, the ID, and the terminating
/// zero.
const LONGEST: usize = (128 << 10) - "CNI_CONTAINERID=".len() - 1;
/// Around the size of a page, with CR LF and `eth0` after the ID or without, and the maximum.
const LENGTHS: [usize; 12] =
    [63, 255, 256, 4089, 4090, 4091, 4095, 4096, 4097, 8192, LONGEST - 1, LONGEST];

fn gc(net: &Net, valid: &Value) -> Outcome {
    let mut config = net.config.clone();
    config["cniVersion"] = "1.1.0".into();
    config["cni.dev/valid-attachments"] = valid.clone();
    net.call_with(Command::new(OURS), "GC", "", &config)
}

fn check(net: &Net, container: &str) -> Outcome {
    let mut config = net.config.clone();
    config["prevResult"] = json!({ "cniVersion": "1.0.0", "ips": [{ "address": "10.1.2.2/24" }] });
    net.call_with(Command::new(OURS), "CHECK", &format!("{container} eth0"), &config)
}

fn id(length: usize) -> String {
    "i".repeat(length)
}

#[test]
fn del_frees_the_address_of_an_id_of_any_length() {
    for length in LENGTHS {
        let net = Net::of("10.1.2.0/24");
        net.add(OURS, &id(length)).unwrap_or_else(|error| panic!("{length}: {error:?}"));
        assert_eq!(net.taken(), ["10.1.2.2"], "{length}");
        let (_, msg) = error(net.add(OURS, &id(length)));
        assert!(msg.ends_with("duplicate allocation is not allowed"), "{length}");
        // The next call finds it with or without the index.
        for has_index in [true, false] {
            if !has_index {
                fs::remove_dir_all(net.dir.path().join(".index")).unwrap();
            }
            check(&net, &id(length)).unwrap();
        }
        net.del(OURS, &id(length)).unwrap();
        assert_eq!(net.taken(), Vec::<String>::new(), "{length}");
    }
}

#[test]
fn gc_knows_an_id_of_any_length() {
    for length in LENGTHS {
        let net = Net::of("10.1.2.0/24");
        net.add(OURS, &id(length)).unwrap();
        let mut valid = json!([{ "containerID": id(length), "ifname": "eth0" }]);
        gc(&net, &valid).unwrap();
        assert_eq!(net.taken(), ["10.1.2.2"], "{length}");
        valid[0]["containerID"] = id(length - 1).into();
        gc(&net, &valid).unwrap();
        assert_eq!(net.taken(), Vec::<String>::new(), "{length}");
    }
}

/// A file written by hand that is longer than any plugin writes reserves its address for an unknown
/// holder.
#[test]
fn over_long_ids_are_not_truncated() {
    let net = Net::of("10.1.2.0/24");
    net.add(OURS, "c1").unwrap();
    let file = net.dir.path().join("pods/10.1.2.3");
    fs::write(&file, id((128 << 10) + 1)).unwrap();
    gc(&net, &json!([])).unwrap();
    assert!(file.exists());
    assert_eq!(net.taken(), ["10.1.2.3"]);
}

/// A name that cannot be a directory's name reserves nothing, and does not block DEL.
#[test]
fn a_network_whose_name_is_too_long_can_be_left() {
    let mut net = Net::of("10.1.2.0/24");
    net.config["name"] = "n".repeat(256).into();
    let (_, msg) = error(net.add(OURS, "c1"));
    assert!(msg.contains("File name too long"), "{msg}");
    net.del(OURS, "c1").unwrap();
    gc(&net, &json!([])).unwrap();
    net.config["name"] = "n".repeat(255).into();
    net.add(OURS, "c1").unwrap();
    let file = net.dir.path().join("n".repeat(255)).join("10.1.2.2");
    assert!(file.exists());
    net.del(OURS, "c1").unwrap();
    assert!(!file.exists());
}
