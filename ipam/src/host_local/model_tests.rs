//! Compares reservations with a simple model, while other programs change the directory and the
//! index at any time.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use libcni::{Attachment, ContainerId, IfName, NetworkName};
use proptest::prelude::*;
use tempfile::TempDir;

use crate::host_local::RangeKeys;
use crate::host_local::choose::Pool;
use crate::host_local::holder::Holder;
use crate::host_local::range::{Range, RangeSet};
use crate::host_local::store::{Reservations, View};

/// An operation. Numbers stand for owners, addresses, and bytes of the index.
#[derive(Debug, Clone)]
enum Step {
    Add(u8),
    Del(u8),
    Gc(Vec<u8>),
    /// A change by the reference plugin or an operator.
    Put(u8, u8),
    PutOldForm(u8, u8),
    Take(u8),
    SetLast(u8),
    /// Damage to the index by a kill, a lost write, an operator or a bad disk.
    Keep,
    Restore,
    Truncate(u16),
    Flip(u16),
    Remove,
    Link,
    Folder,
    Unwritable,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => any::<u8>().prop_map(Step::Add),
        5 => any::<u8>().prop_map(Step::Del),
        1 => prop::collection::vec(any::<u8>(), 0..9).prop_map(Step::Gc),
        2 => any::<(u8, u8)>().prop_map(|(ip, owner)| Step::Put(ip, owner)),
        1 => any::<(u8, u8)>().prop_map(|(ip, owner)| Step::PutOldForm(ip, owner)),
        2 => any::<u8>().prop_map(Step::Take),
        1 => any::<u8>().prop_map(Step::SetLast),
        1 => Just(Step::Keep),
        1 => Just(Step::Restore),
        1 => any::<u16>().prop_map(Step::Truncate),
        3 => any::<u16>().prop_map(Step::Flip),
        1 => Just(Step::Remove),
        1 => Just(Step::Link),
        1 => Just(Step::Folder),
        1 => Just(Step::Unwritable),
    ];
    prop::collection::vec(step, 1..50)
}

struct Bed {
    dir: TempDir,
    pool: Pool,
    /// The addresses of each set in order.
    orders: Vec<Vec<IpAddr>>,
    model: BTreeMap<IpAddr, Holder>,
    lasts: Vec<Option<IpAddr>>,
    kept: Option<Vec<u8>>,
}

fn network() -> NetworkName {
    NetworkName::new("pods").unwrap()
}

fn owner(number: u8) -> Attachment {
    let container = ContainerId::new(format!("c{}", number % 8)).unwrap();
    Attachment { container, ifname: IfName::new(format!("eth{}", number / 8 % 2)).unwrap() }
}

impl Bed {
    /// Two sets: one of two ranges with gateways, one of which crosses a boundary of tree nodes,
    /// and a small one of IPv6.
    fn new() -> Bed {
        let range = |subnet: &str, ends: Option<(&str, &str)>, gateway: Option<&str>| {
            let ip = |text: &str| text.parse().unwrap();
            Range::new(&RangeKeys {
                subnet: subnet.parse().unwrap(),
                range_start: ends.map(|(first, _)| ip(first)),
                range_end: ends.map(|(_, last)| ip(last)),
                gateway: gateway.map(ip),
            })
            .unwrap()
        };
        let v4 = vec![
            range("10.1.2.0/29", None, None),
            range("10.2.0.0/16", Some(("10.2.1.252", "10.2.2.3")), Some("10.2.1.255")),
        ];
        let v6 = vec![range("fd00::/64", Some(("fd00::fe", "fd00::109")), None)];
        let sets: Vec<RangeSet> =
            [v4, v6].into_iter().map(|ranges| RangeSet::new(ranges).unwrap()).collect();
        let v4 = "10.1.2.2 10.1.2.3 10.1.2.4 10.1.2.5 10.1.2.6 10.2.1.252 10.2.1.253 10.2.1.254 \
                  10.2.2.0 10.2.2.1 10.2.2.2 10.2.2.3";
        let v6 = "fd00::fe fd00::ff fd00::100 fd00::101 fd00::102 fd00::103 fd00::104 fd00::105 \
                  fd00::106 fd00::107 fd00::108 fd00::109";
        let orders = [v4, v6].map(|all| all.split(' ').map(|ip| ip.parse().unwrap()).collect());
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("pods")).unwrap();
        let pool = Pool { sets, requested: Vec::new() };
        let (model, lasts) = (BTreeMap::new(), vec![None, None]);
        Bed { dir, pool, orders: orders.into(), model, lasts, kept: None }
    }

    fn open(&self) -> Reservations {
        let deadline = Instant::now() + Duration::from_secs(9);
        Reservations::open(self.dir.path(), &network(), deadline).unwrap()
    }

    fn file(&self, name: impl ToString) -> PathBuf {
        self.dir.path().join("pods").join(name.to_string())
    }

    fn index(&self) -> PathBuf {
        self.dir.path().join(".index/pods")
    }

    fn ip(&self, number: u8) -> IpAddr {
        let all: Vec<&IpAddr> = self.orders.iter().flatten().collect();
        *all[usize::from(number) % all.len()]
    }

    /// The addresses of an owner in the model.
    fn held(&self, owner: &Attachment) -> Vec<IpAddr> {
        let by = |wanted: Holder| -> Vec<IpAddr> {
            self.model.iter().filter(|(_, it)| **it == wanted).map(|(ip, _)| *ip).collect()
        };
        match by(Holder::Attachment(owner.clone())) {
            none if none.is_empty() => by(Holder::Container(owner.container.clone())),
            held => held,
        }
    }

    /// The addresses that ADD assigns in the model; `None` if it fails.
    fn expected(&self, owner: &Attachment) -> Option<Vec<IpAddr>> {
        let held = self.held(owner);
        let of_set = |(order, last): (&Vec<IpAddr>, &Option<IpAddr>)| {
            let mut order = order.clone();
            let turn = order.iter().position(|ip| Some(*ip) == *last).map_or(0, |at| at + 1);
            order.rotate_left(turn);
            let taken_twice = held.iter().any(|ip| order.contains(ip));
            let free = order.into_iter().find(|ip| !self.model.contains_key(ip));
            free.filter(|_| !taken_twice)
        };
        self.orders.iter().zip(&self.lasts).map(of_set).collect()
    }

    fn add(&mut self, owner: &Attachment) {
        let expected = self.expected(owner);
        let preview = View::peek(self.dir.path(), &network(), |view| self.pool.choose(view, owner));
        let given = self.pool.allocate(&mut self.open(), owner);
        let ips = |given: libcni::Result<Vec<libcni::IpConfig>>| -> Option<Vec<IpAddr>> {
            Some(given.ok()?.iter().map(|it| it.address.ip()).collect())
        };
        assert_eq!(ips(preview), expected);
        assert_eq!(ips(given), expected);
        for (set, ip) in expected.into_iter().flatten().enumerate() {
            self.model.insert(ip, Holder::Attachment(owner.clone()));
            self.lasts[set] = Some(ip);
        }
    }

    fn del(&mut self, owner: &Attachment) {
        let mut reservations = self.open();
        let held = reservations.ask(|view| Ok(view.held_by(owner))).unwrap();
        let ips: Vec<IpAddr> = held.iter().map(|(ip, _)| *ip).collect();
        assert_eq!(ips, self.held(owner));
        for (ip, holder) in held {
            reservations.release_from(ip, &holder).unwrap();
            self.model.remove(&ip);
        }
    }

    fn gc(&mut self, valid: &[u8]) {
        let valid: Vec<Attachment> = valid.iter().map(|number| owner(*number)).collect();
        let stale = |holder: &Holder| !valid.iter().any(|it| holder.is(it));
        let mut reservations = self.open();
        for (ip, holder) in reservations.review(stale).unwrap() {
            reservations.release_from(ip, &holder).unwrap();
        }
        self.model.retain(|_, holder| !stale(holder));
    }

    fn put(&mut self, ip: IpAddr, holder: Holder, content: &str) {
        if self.model.insert(ip, holder).is_none() {
            fs::write(self.file(ip), content).unwrap();
        } else {
            // A new file replaces it, as editors and backups do.
            fs::write(self.file("new"), content).unwrap();
            fs::rename(self.file("new"), self.file(ip)).unwrap();
        }
    }

    fn harm(&mut self, step: &Step) {
        let index = self.index();
        let Ok(mut bytes) = fs::read(&index) else { return };
        let size = bytes.len().max(1);
        match step {
            Step::Keep => self.kept = Some(bytes),
            Step::Restore => {
                if let Some(kept) = &self.kept {
                    fs::write(&index, kept).unwrap();
                }
            }
            Step::Truncate(length) => {
                bytes.truncate(usize::from(*length) % size);
                fs::write(&index, bytes).unwrap();
            }
            Step::Flip(at) => {
                if let Some(byte) = bytes.get_mut(usize::from(*at) % size) {
                    *byte ^= 1;
                }
                fs::write(&index, bytes).unwrap();
            }
            Step::Link => {
                let elsewhere = self.dir.path().join("elsewhere");
                fs::rename(&index, &elsewhere).unwrap();
                symlink(&elsewhere, &index).unwrap();
            }
            Step::Folder => {
                fs::remove_file(&index).unwrap();
                fs::create_dir_all(index.join("in the way")).unwrap();
            }
            // A file is in the place of the directory of indexes.
            Step::Unwritable => {
                fs::remove_dir_all(self.dir.path().join(".index")).unwrap();
                fs::write(self.dir.path().join(".index"), "").unwrap();
            }
            _ => fs::remove_file(&index).unwrap(),
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Add(number) => self.add(&owner(*number)),
            Step::Del(number) => self.del(&owner(*number)),
            Step::Gc(valid) => self.gc(valid),
            Step::Put(ip, number) => {
                let holder = Holder::Attachment(owner(*number));
                self.put(self.ip(*ip), holder, &Holder::content(&owner(*number)));
            }
            Step::PutOldForm(ip, number) => {
                let container = owner(*number).container;
                self.put(self.ip(*ip), Holder::Container(container.clone()), &container);
            }
            Step::Take(ip) => {
                let ip = self.ip(*ip);
                if self.model.remove(&ip).is_some() {
                    fs::remove_file(self.file(ip)).unwrap();
                }
            }
            Step::SetLast(ip) => {
                let ip = self.orders[0][usize::from(*ip) % self.orders[0].len()];
                fs::write(self.file("last_reserved_ip.0"), ip.to_string()).unwrap();
                self.lasts[0] = Some(ip);
            }
            harm => self.harm(harm),
        }
    }

    /// The files and the answers match the model.
    fn check(&self) {
        let view = View::peek(self.dir.path(), &network(), |view| Ok(view.all())).unwrap();
        assert_eq!(view.into_iter().collect::<BTreeMap<_, _>>(), self.model);
        let held = |number| {
            View::peek(self.dir.path(), &network(), |view| Ok(view.of_owner(&owner(number))))
        };
        for number in 0..16 {
            assert_eq!(held(number).unwrap(), self.held(&owner(number)));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_files_are_the_truth(steps in steps()) {
        let mut bed = Bed::new();
        for step in &steps {
            bed.step(step);
        }
        bed.check();
    }

    /// Also without other programs, when the index is never rebuilt.
    #[test]
    fn alone_it_is_as_the_model(steps in prop::collection::vec((any::<bool>(), 0..16_u8), 1..80)) {
        let mut bed = Bed::new();
        bed.add(&owner(0));
        let made = |bed: &Bed| std::os::unix::fs::MetadataExt::ino(&fs::metadata(bed.index()).unwrap());
        let first = made(&bed);
        for (add, number) in steps {
            let full = add && bed.held(&owner(number)).is_empty() && bed.expected(&owner(number)).is_none();
            bed.step(&if add { Step::Add(number) } else { Step::Del(number) });
            if full {
                break;
            }
            assert_eq!(made(&bed), first);
        }
        bed.check();
    }
}
