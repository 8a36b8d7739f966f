use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use libcni::{Attachment, ContainerId, IfName};
use proptest::prelude::*;

use super::*;
use crate::host_local::holder::Holder;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn owner(container: &str, ifname: &str) -> Attachment {
    Attachment {
        container: ContainerId::new(container).unwrap(),
        ifname: IfName::new(ifname).unwrap(),
    }
}

/// The address at this offset after another.
fn behind(ip: IpAddr, places: u32) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => Ipv4Addr::from(u32::from(ip) + places).into(),
        IpAddr::V6(ip) => Ipv6Addr::from(u128::from(ip) + u128::from(places)).into(),
    }
}

/// The same table in a file.
fn in_file(table: Table) -> Table {
    let file = tempfile::tempfile().unwrap();
    file.write_all_at(table.bytes(), 0).unwrap();
    let mut copy = Table::in_file(file, table.homes, table.used, table.keys).unwrap();
    copy.old_form = table.old_form;
    copy
}

/// Starts of stretches that cross boundaries of tree nodes, on several levels and at the ends of
/// both families.
const STARTS: [&str; 7] = [
    "0.0.0.0",
    "10.1.2.250",
    "10.1.255.200",
    "255.255.254.190",
    "::",
    "2001:db8::ffff:ffff:ffff:ff80",
    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fe80",
];

#[derive(Debug, Clone)]
enum Step {
    Take(u32),
    TakeAll(u32, u32),
    Free(u32),
    FreeAll(u32, u32),
    Find(u32, u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let place = 0..320_u32;
    let two = (place.clone(), place.clone()).prop_map(|(a, b)| (a.min(b), a.max(b)));
    let step = prop_oneof![
        place.clone().prop_map(Step::Take),
        two.clone().prop_map(|(a, b)| Step::TakeAll(a, b)),
        place.prop_map(Step::Free),
        two.clone().prop_map(|(a, b)| Step::FreeAll(a, b)),
        two.prop_map(|(a, b)| Step::Find(a, b)),
    ];
    prop::collection::vec(step, 1..30)
}

proptest! {
    /// Compares the tree with a simple set, in memory and in a file.
    #[test]
    fn free_addresses_are_found(start in prop::sample::select(&STARTS[..]), file in any::<bool>(), steps in steps()) {
        let mut table = Table::new();
        if file {
            table = in_file(table);
        }
        let at = |place| behind(ip(start), place);
        let mut model = BTreeSet::new();
        for step in steps {
            let (first, last) = match step {
                Step::Take(place) | Step::Free(place) => (place, place),
                Step::TakeAll(first, last) | Step::FreeAll(first, last) | Step::Find(first, last) => (first, last),
            };
            for place in first..=last {
                match step {
                    Step::Take(_) | Step::TakeAll(..) => {
                        table.take(at(place)).unwrap();
                        model.insert(place);
                    }
                    Step::Free(_) | Step::FreeAll(..) => {
                        table.free(at(place)).unwrap();
                        model.remove(&place);
                    }
                    Step::Find(..) => {}
                }
            }
            let expected = (first..=last).find(|place| !model.contains(place)).map(at);
            prop_assert_eq!(table.first_free(at(first), at(last)).unwrap(), expected);
        }
        let all = (0..320).find(|place| !model.contains(place)).map(at);
        prop_assert_eq!(table.first_free(at(0), at(319)).unwrap(), all);
        for place in model {
            table.free(at(place)).unwrap();
        }
        prop_assert_eq!(table.used, 0);
    }

    /// Compares the owners with a simple set, while the table grows.
    #[test]
    fn the_addresses_of_an_owner_are_found(
        file in any::<bool>(),
        steps in prop::collection::vec((0..40_u8, 0..3_u8, 0..20_u32, any::<bool>()), 1..400),
    ) {
        let mut table = Table::new();
        if file {
            table = in_file(table);
        }
        let mut model = BTreeSet::new();
        for (container, ifname, place, add) in steps {
            let owner = owner(&format!("c{container}"), &format!("eth{ifname}"));
            let (holder, at) = match ifname {
                2 => (Holder::Container(owner.container.clone()), behind(ip("::"), place)),
                _ => (Holder::Attachment(owner.clone()), behind(ip("10.1.2.250"), place)),
            };
            if add {
                table.own(&holder, at).unwrap();
                model.insert((container, ifname, at));
            } else {
                table.disown(&holder, at).unwrap();
                model.remove(&(container, ifname, at));
            }
            let held = if ifname == 2 { table.of_container(&owner) } else { table.of_attachment(&owner) };
            let Held::These(mut held) = held.unwrap() else { panic!("more than there are") };
            held.sort();
            let expected = model.iter().filter(|it| (it.0, it.1) == (container, ifname)).map(|it| it.2);
            prop_assert_eq!(held, expected.collect::<Vec<_>>());
            prop_assert_eq!(table.used, model.len() as u64);
        }
    }
}

/// The search uses all levels of the tree to find one of the few free addresses of a /16 between
/// full ones.
#[test]
fn the_last_free_addresses_are_found_from_everywhere() {
    for start in ["10.1.0.0", "2001:db8:0:ff::"] {
        let (start, mut table) = (ip(start), Table::new());
        let free = [3, 0x1_0000 - 1, 0x1_8000];
        (0..0x2_0000).for_each(|place| table.take(behind(start, place)).unwrap());
        assert_eq!(table.first_free(start, behind(start, 0x1_ffff)).unwrap(), None);
        assert_eq!(
            table.first_free(start, behind(start, 0x2_0000)).unwrap(),
            Some(behind(start, 0x2_0000))
        );
        free.iter().for_each(|place| table.free(behind(start, *place)).unwrap());
        let table = in_file(table);
        for from in (0..0x2_0000).step_by(251) {
            let expected = free.iter().find(|place| **place >= from);
            let found = table.first_free(behind(start, from), behind(start, 0x1_ffff)).unwrap();
            assert_eq!(found, expected.map(|place| behind(start, *place)), "from {from}");
        }
    }
}

#[test]
fn an_owner_of_very_many_addresses_is_not_noted_whole() {
    let mut table = Table::new();
    let aside = Holder::Container(ContainerId::new("reserved").unwrap());
    (0..5000).for_each(|place| table.own(&aside, behind(ip("10.0.0.0"), place)).unwrap());
    assert_eq!(table.of_container(&owner("reserved", "eth0")).unwrap(), Held::Many);
    assert_eq!(table.of_attachment(&owner("reserved", "eth0")).unwrap(), Held::These(Vec::new()));
    assert!(table.used < 100);
}

#[test]
fn other_bytes_than_those_that_were_written_are_noticed() {
    let mut table = Table::new();
    table.take(ip("10.1.2.3")).unwrap();
    let place = table.bytes().iter().position(|byte| *byte != 0).unwrap();
    for changed in [place, place + 24, place + 63] {
        let mut bytes = table.bytes().to_vec();
        bytes[changed] ^= 0x10;
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&bytes, 0).unwrap();
        let read = Table::in_file(file, table.homes, table.used, table.keys).unwrap();
        read.first_free(ip("10.1.2.3"), ip("10.1.2.9")).unwrap_err();
    }
    let short = tempfile::tempfile().unwrap();
    short.set_len(place as u64 + 32).unwrap();
    let read = Table::in_file(short, table.homes, table.used, table.keys).unwrap();
    read.first_free(ip("10.1.2.3"), ip("10.1.2.9")).unwrap_err();
}

#[test]
fn only_this_formats_header_of_this_boot_and_folder_is_believed() {
    let dir = tempfile::tempdir().unwrap();
    let at = Location::of(dir.path(), &NetworkName::new("pods").unwrap());
    let folder = Stamp([1, 2, 3, 4, 5, 6]);
    let mut index = Index::new();
    index.table.take(ip("10.1.2.3")).unwrap();
    index.save(&at, &folder).unwrap();
    assert_eq!(Index::load(&at, &folder, true).unwrap().table.used, 1);
    for field in 0..6 {
        let mut other = folder;
        other.0[field] += 1;
        assert!(Index::load(&at, &other, true).is_none());
    }
    let good = fs::read(&at.file).unwrap();
    for byte in 0..HEADER {
        let mut bad = good.clone();
        bad[byte] ^= 1;
        fs::write(&at.file, bad).unwrap();
        assert!(Index::load(&at, &folder, true).is_none(), "byte {byte}");
    }
    for length in [0, 1, HEADER - 1] {
        fs::write(&at.file, &good[..length]).unwrap();
        assert!(Index::load(&at, &folder, true).is_none(), "{length} bytes");
    }
    Index { boot: Some([1, 2]), ..Index::new() }.save(&at, &folder).unwrap();
    assert!(Index::load(&at, &folder, true).is_none(), "another boot");
}

#[test]
fn owners_of_many_addresses_displace_no_other() {
    let mut table = Table::new();
    let mut all = Vec::new();
    for number in 0..1000 {
        let owner = owner(&format!("c{number}"), "eth0");
        for place in 0..40 {
            let ip = behind(ip("10.0.0.0"), number * 40 + place);
            table.own(&Holder::Attachment(owner.clone()), ip).unwrap();
            table.take(ip).unwrap();
        }
        all.push(owner);
    }
    let mut table = in_file(table);
    for owner in &all {
        assert_eq!(table.of_attachment(owner).unwrap(), Held::Many);
    }
    let one = owner("one", "eth0");
    table.own(&Holder::Attachment(one.clone()), ip("10.9.9.9")).unwrap();
    assert_eq!(table.of_attachment(&one).unwrap(), Held::These(vec![ip("10.9.9.9")]));
}
