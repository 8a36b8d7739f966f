//! A hash table of entries of 64 bytes, in a file or in memory: open addressing with linear
//! probing.
//!
//! An entry's home slot is the hash of its key. The entry is there or in a later slot before the
//! first empty one. At most half of the home slots are used, so one read of a few slots nearly
//! always suffices. Probing does not wrap around: after the last home slot there are slots for as
//! many entries as may be displaced.
//!
//! Removing an entry moves later ones up, so that no tombstones remain. Each table has its own
//! random hash key, so that no user can choose names that collide. Each entry has a checksum, which
//! detects corruption.

use std::fs::File;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;

/// The size in bytes of the header before the first slot.
pub const HEADER: usize = 128;

/// The size in bytes of a slot.
const SIZE: usize = 64;

/// The number of slots read at a time.
const WINDOW: u64 = 8;

/// The maximum displacement of an entry. With half of the home slots used, the displacements of a
/// million entries stay below a hundred.
const LONGEST: u64 = 256;

/// The number of home slots of a new table.
const HOMES: u64 = 256;

/// The value of an entry.
pub type Value = [u64; 4];

/// An entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The kind of the key, never 0.
    pub kind: u64,
    /// The key within its kind.
    pub id: u128,
    /// The value of the key.
    pub value: Value,
}

/// A table.
#[derive(Debug)]
pub struct Table {
    places: Places,
    /// The number of home slots, a power of two.
    pub homes: u64,
    /// The number of entries.
    pub used: u64,
    /// The keys of the hash.
    pub keys: [u64; 2],
    /// Whether an owner in the form of old versions was ever recorded.
    pub old_form: bool,
}

#[derive(Debug)]
enum Places {
    /// The same bytes as in a file, from the first byte on.
    Memory(Vec<u8>),
    File(File),
}

impl Table {
    /// An empty table in memory.
    pub fn new() -> Table {
        let random = || RandomState::new().build_hasher().finish();
        let bytes = vec![0; offset(HOMES + LONGEST) as usize];
        Table::of(Places::Memory(bytes), HOMES, [random(), random()])
    }

    fn of(places: Places, homes: u64, keys: [u64; 2]) -> Table {
        Table { places, homes, used: 0, keys, old_form: false }
    }

    /// An empty table in memory, or an error if there is not enough memory.
    fn empty(homes: u64, keys: [u64; 2]) -> io::Result<Table> {
        let (length, mut bytes) = (offset(homes + LONGEST) as usize, Vec::new());
        bytes.try_reserve_exact(length).map_err(|_| ErrorKind::OutOfMemory)?;
        bytes.resize(length, 0);
        Ok(Table::of(Places::Memory(bytes), homes, keys))
    }

    /// The table in a file; `None` if the file cannot be one.
    pub fn in_file(file: File, homes: u64, used: u64, keys: [u64; 2]) -> Option<Table> {
        let sound = homes.is_power_of_two() && homes <= 1 << 40 && used <= homes;
        sound.then_some(Table { used, ..Table::of(Places::File(file), homes, keys) })
    }

    /// The length of this table's file. A growing table allocates memory by this length, so it must
    /// be right.
    pub fn length(&self) -> u64 {
        offset(self.homes + LONGEST)
    }

    /// The table's file, unless it is in memory.
    pub fn file(&self) -> Option<&File> {
        match &self.places {
            Places::File(file) => Some(file),
            Places::Memory(_) => None,
        }
    }

    /// The bytes of a table in memory, in the file's format.
    pub fn bytes(&self) -> &[u8] {
        match &self.places {
            Places::Memory(bytes) => bytes,
            Places::File(_) => &[],
        }
    }

    /// A keyed hash, which no user can predict.
    pub fn hash(&self, parts: &[&[u8]]) -> u64 {
        hash(self.keys, parts)
    }

    /// The values of a key, in no order.
    pub fn get(&self, kind: u64, id: u128) -> io::Result<Vec<Value>> {
        let cluster = self.cluster(self.home(kind, id))?;
        let of_key = cluster.iter().filter(|entry| entry.is(kind, id));
        Ok(of_key.map(|entry| entry.value).collect())
    }

    /// Adds a value to a key, computed from the values that it has.
    pub fn add(
        &mut self,
        kind: u64,
        id: u128,
        more: impl FnOnce(Vec<Value>) -> Option<Value>,
    ) -> io::Result<()> {
        let cluster = self.cluster(self.home(kind, id))?;
        let known = cluster.iter().filter(|entry| entry.is(kind, id)).map(|entry| entry.value);
        match more(known.collect()) {
            Some(value) => self.put(Entry { kind, id, value }, cluster.len()),
            None => Ok(()),
        }
    }

    /// Stores an entry in the first empty slot, which is `away` slots from its home slot.
    fn put(&mut self, entry: Entry, away: usize) -> io::Result<()> {
        let home = self.home(entry.kind, entry.id);
        if (self.used + 1) * 2 > self.homes || away as u64 + 1 >= LONGEST {
            self.grow()?;
            return self.add(entry.kind, entry.id, |_| Some(entry.value));
        }
        self.write(home + away as u64, Some(&entry))?;
        self.used += 1;
        Ok(())
    }

    /// Changes the only value of a key.
    pub fn change(
        &mut self,
        kind: u64,
        id: u128,
        change: impl FnOnce(Option<Value>) -> Option<Value>,
    ) -> io::Result<()> {
        let home = self.home(kind, id);
        let cluster = self.cluster(home)?;
        let found = cluster.iter().zip(home..).find(|(entry, _)| entry.is(kind, id));
        match (found, change(found.map(|(entry, _)| entry.value))) {
            (Some((_, at)), Some(value)) => self.write(at, Some(&Entry { kind, id, value })),
            (Some((entry, _)), None) => self.remove(entry),
            (None, Some(value)) => self.put(Entry { kind, id, value }, cluster.len()),
            (None, None) => Ok(()),
        }
    }

    /// Removes an entry if it exists.
    pub fn remove(&mut self, entry: &Entry) -> io::Result<()> {
        let home = self.home(entry.kind, entry.id);
        let cluster = self.cluster(home)?;
        let Some(gone) = cluster.iter().position(|it| it == entry) else { return Ok(()) };
        let mut hole = home + gone as u64;
        for (entry, at) in cluster.iter().zip(home..).skip(gone + 1) {
            // An entry whose home slot is after the hole stays.
            if self.home(entry.kind, entry.id) <= hole {
                self.write(hole, Some(entry))?;
                hole = at;
            }
        }
        self.write(hole, None)?;
        self.used = self.used.saturating_sub(1);
        Ok(())
    }

    fn home(&self, kind: u64, id: u128) -> u64 {
        hash(self.keys, &[&kind.to_le_bytes(), &id.to_le_bytes()]) & (self.homes - 1)
    }

    /// The entries from `home` to the first empty slot.
    fn cluster(&self, home: u64) -> io::Result<Vec<Entry>> {
        let (mut cluster, end) = (Vec::new(), self.homes + LONGEST);
        // No entry is far from its home slot, but a cluster may span many home slots. The last slot
        // is always empty.
        for first in (home..end).step_by(WINDOW as usize) {
            for place in self.read(first, WINDOW.min(end - first))?.as_chunks().0 {
                match self.decode(place)? {
                    Some(entry) => cluster.push(entry),
                    None => return Ok(cluster),
                }
            }
        }
        Err(wrong())
    }

    /// Moves all entries to a table in memory with twice as many home slots.
    fn grow(&mut self) -> io::Result<()> {
        let mut grown = Table::empty(self.homes * 2, self.keys)?;
        for first in (0..self.homes + LONGEST).step_by(LONGEST as usize) {
            for place in self.read(first, LONGEST)?.as_chunks().0 {
                if let Some(entry) = self.decode(place)? {
                    grown.add(entry.kind, entry.id, |_| Some(entry.value))?;
                }
            }
        }
        grown.old_form = self.old_form;
        *self = grown;
        Ok(())
    }

    fn read(&self, first: u64, count: u64) -> io::Result<Vec<u8>> {
        let length = count as usize * SIZE;
        match &self.places {
            Places::File(file) => {
                let mut bytes = vec![0; length];
                file.read_exact_at(&mut bytes, offset(first))?;
                Ok(bytes)
            }
            Places::Memory(bytes) => {
                let start = offset(first) as usize;
                Ok(bytes.get(start..start + length).ok_or_else(wrong)?.to_vec())
            }
        }
    }

    fn write(&mut self, at: u64, entry: Option<&Entry>) -> io::Result<()> {
        let bytes = self.encode(entry);
        match &mut self.places {
            Places::File(file) => file.write_all_at(&bytes, offset(at)),
            Places::Memory(all) => {
                let start = offset(at) as usize;
                let there = all.get_mut(start..start + bytes.len()).ok_or_else(wrong)?;
                there.copy_from_slice(&bytes);
                Ok(())
            }
        }
    }

    /// An empty slot is all zeros.
    fn encode(&self, entry: Option<&Entry>) -> [u8; SIZE] {
        let Some(entry) = entry else { return [0; SIZE] };
        let [a, b, c, d] = entry.value;
        let words = [entry.kind, entry.id as u64, (entry.id >> 64) as u64, a, b, c, d];
        let mut bytes = [0; SIZE];
        let all = words.into_iter().chain([check(self.keys, words)]);
        for (place, word) in bytes.as_chunks_mut().0.iter_mut().zip(all) {
            *place = word.to_le_bytes();
        }
        bytes
    }

    fn decode(&self, bytes: &[u8; SIZE]) -> io::Result<Option<Entry>> {
        let mut words = [0; SIZE / 8];
        for (word, bytes) in words.iter_mut().zip(bytes.as_chunks().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        let [kind, low, high, a, b, c, d, check_value] = words;
        if words == [0; SIZE / 8] {
            return Ok(None);
        }
        if check(self.keys, [kind, low, high, a, b, c, d]) != check_value {
            return Err(wrong());
        }
        let id = u128::from(high) << 64 | u128::from(low);
        Ok(Some(Entry { kind, id, value: [a, b, c, d] }))
    }
}

impl Entry {
    fn is(&self, kind: u64, id: u128) -> bool {
        (self.kind, self.id) == (kind, id)
    }
}

fn offset(place: u64) -> u64 {
    HEADER as u64 + place * SIZE as u64
}

fn wrong() -> io::Error {
    ErrorKind::InvalidData.into()
}

/// A checksum of whole words.
pub fn check<const N: usize>(keys: [u64; 2], words: [u64; N]) -> u64 {
    let words = words.map(u64::to_le_bytes);
    hash(keys, &[words.as_flattened()])
}

/// SipHash-2-4. It is the same in every build, as the file format requires.
#[expect(
    deprecated,
    reason = "what took its place may be another function in the next version of Rust"
)]
fn hash([first, second]: [u64; 2], parts: &[&[u8]]) -> u64 {
    let mut hasher = std::hash::SipHasher::new_with_keys(first, second);
    parts.iter().for_each(|part| hasher.write(part));
    hasher.finish()
}
