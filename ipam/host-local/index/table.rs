//! A hash table of entries of 64 bytes, in a file or in memory: open addressing with linear probing.
//!
//! An entry's home is the hash of its key, and it is there or in one of the places behind, before the first that is empty.
//! At most half of the homes are used, so one read of a few places nearly always answers. There is no turning round at the
//! end: behind the last home there are places for as many entries as may be away from home.
//!
//! Entries are removed by moving later ones up, so that nothing of what was removed remains. The hash has a key of its own in
//! each table, so nobody can make names that crowd together; and each entry has a check value, so that other bytes than
//! those that were written are noticed.

use std::fs::File;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;

/// How many bytes are before the first place, for the header.
pub const HEADER: usize = 128;

/// How many bytes a place has.
const SIZE: usize = 64;

/// How many places are read at a time.
const WINDOW: u64 = 8;

/// How far from home an entry may be. With half of the homes used, a million entries come to less than a hundred.
const LONGEST: u64 = 256;

/// How many homes a new table has.
const HOMES: u64 = 256;

/// What an entry says about its key.
pub type Value = [u64; 4];

/// An entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// What kind of thing the key is, never 0.
    pub kind: u64,
    /// Which thing of this kind.
    pub id: u128,
    /// What is said about it.
    pub value: Value,
}

/// A table.
#[derive(Debug)]
pub struct Table {
    places: Places,
    /// How many homes there are, a power of two.
    pub homes: u64,
    /// How many entries there are.
    pub used: u64,
    /// The keys of the hash.
    pub keys: [u64; 2],
    /// Whether an owner in the form of old versions was ever noted.
    pub old_form: bool,
}

#[derive(Debug)]
enum Places {
    /// As in a file, from its first byte on.
    Memory(Vec<u8>),
    File(File),
}

impl Table {
    /// An empty table in memory.
    pub fn new() -> Table {
        let random = || RandomState::new().build_hasher().finish();
        Table::empty(HOMES, [random(), random()])
    }

    fn empty(homes: u64, keys: [u64; 2]) -> Table {
        let bytes = vec![0; offset(homes + LONGEST) as usize];
        Table { places: Places::Memory(bytes), homes, used: 0, keys, old_form: false }
    }

    /// The table in a file. None if it cannot be one.
    pub fn in_file(file: File, homes: u64, used: u64, keys: [u64; 2]) -> Option<Table> {
        let sound = homes.is_power_of_two() && homes <= 1 << 40 && used <= homes;
        sound.then_some(Table { places: Places::File(file), homes, used, keys, old_form: false })
    }

    /// The file the table is in, unless it is in memory.
    pub fn file(&self) -> Option<&File> {
        match &self.places {
            Places::File(file) => Some(file),
            Places::Memory(_) => None,
        }
    }

    /// The bytes of the table in memory, as they are to be in a file.
    pub fn bytes(&self) -> &[u8] {
        match &self.places {
            Places::Memory(bytes) => bytes,
            Places::File(_) => &[],
        }
    }

    /// A hash that nobody can foresee.
    pub fn hash(&self, parts: &[&[u8]]) -> u64 {
        hash(self.keys, parts)
    }

    /// What is said about a key, in no order.
    pub fn get(&self, kind: u64, id: u128) -> io::Result<Vec<Value>> {
        let cluster = self.cluster(self.home(kind, id))?;
        let of_key = cluster.iter().filter(|entry| entry.is(kind, id));
        Ok(of_key.map(|entry| entry.value).collect())
    }

    /// Says something more about a key, as it follows from what is said already.
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

    /// Puts an entry into the first empty place, so many places from its home.
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

    /// Changes the only thing that is said about a key.
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

    /// Removes an entry, if it is there.
    pub fn remove(&mut self, entry: &Entry) -> io::Result<()> {
        let home = self.home(entry.kind, entry.id);
        let cluster = self.cluster(home)?;
        let Some(gone) = cluster.iter().position(|it| it == entry) else { return Ok(()) };
        let mut hole = home + gone as u64;
        for (entry, at) in cluster.iter().zip(home..).skip(gone + 1) {
            // What is at home behind the hole stays.
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

    /// The entries from `home` to the first empty place.
    fn cluster(&self, home: u64) -> io::Result<Vec<Entry>> {
        let (mut cluster, end) = (Vec::new(), self.homes + LONGEST);
        // No entry is far from its home, but those of many homes in a row may be there. The last place is always empty.
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

    /// Moves everything to a table in memory that has twice as many homes.
    fn grow(&mut self) -> io::Result<()> {
        let mut grown = Table::empty(self.homes * 2, self.keys);
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

    /// An empty place is all zero.
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

/// A check value of whole words.
pub fn check<const N: usize>(keys: [u64; 2], words: [u64; N]) -> u64 {
    let words = words.map(u64::to_le_bytes);
    hash(keys, &[words.as_flattened()])
}

/// SipHash-2-4. It is the same in every build, as the file's format asks for.
#[expect(
    deprecated,
    reason = "what took its place may be another function in the next version of Rust"
)]
fn hash([first, second]: [u64; 2], parts: &[&[u8]]) -> u64 {
    let mut hasher = std::hash::SipHasher::new_with_keys(first, second);
    parts.iter().for_each(|part| hasher.write(part));
    hasher.finish()
}
