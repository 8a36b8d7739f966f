//! The memory of an attachment: values that DEL has to restore and no kernel object keeps, such as
//! the former MTU of an interface. There is one small file for each attachment.
//!
//! ```text
//! /run/cni/tuning/c1_eth0.json
//! {
//!  "mtu": 1500,
//!  "ferrocni": { "network": "pods", "container": "c1", "ifname": "eth0", "namespace": [4, 26] }
//! }
//! ```
//!
//! The first value of each key stays: a second ADD, or a second entry of the plugin in one chain,
//! finds the interface changed already, and must not store that value. DEL restores the values and
//! then removes the file, so that an interrupted DEL can be repeated. GC removes the files of the
//! network's stale attachments. Files without the key `ferrocni` belong to other programs: they are
//! read, because the reference's `tuning` writes the same format, but GC leaves them.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::libc::{O_NOFOLLOW, O_NONBLOCK};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::{Doing, Error, Result};
use crate::owner::Owner;
use crate::sweep::{Of, Stale};

/// The maximum size of a file that is read, in bytes.
const MAX_BYTES: u64 = 64 << 10;

/// The maximum length of a file name in bytes (`NAME_MAX`), less the suffix of a temporary file.
const LONGEST_NAME: usize = 255 - ".new".len();

/// The key of the file's owner.
const OWNER: &str = "ferrocni";

/// The values to restore, by their keys.
pub type Values = Map<String, Value>;

/// The memory of one plugin about one attachment.
#[derive(Debug, Clone)]
pub struct Memory {
    folder: PathBuf,
    path: PathBuf,
    owner: Owner,
}

/// The owner of a file's values.
#[derive(Debug, Serialize, Deserialize)]
struct Mark {
    #[serde(flatten)]
    owner: Owner,
    /// The device and inode numbers of the container's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    namespace: Option<(u64, u64)>,
}

/// The content of a file.
struct Record {
    values: Values,
    /// `None` in a file of another program.
    mark: Option<Mark>,
}

impl Memory {
    /// The memory of an attachment in a directory.
    ///
    /// # Errors
    ///
    /// Returns an error if the attachment's names cannot be a file name, or if it would be too
    /// long.
    pub fn of(folder: &Path, owner: &Owner) -> Result<Memory> {
        let name = format!("{}_{}.json", owner.container, owner.ifname);
        if name.contains('/') || owner.container.is_empty() || name.len() > LONGEST_NAME {
            let doing = format!("remember values of container {}", owner.container);
            let why = format!("its name is not a valid file name in {}", folder.display());
            return Err(Error::found(doing, why));
        }
        let path = folder.join(name);
        Ok(Memory { folder: folder.to_owned(), path, owner: owner.clone() })
    }

    /// Stores values, unless there are older ones for their keys. `namespace` is the path of the
    /// container's namespace. Must be called before the first change, so that a call that is killed
    /// in between has changed no value that is not stored.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be written, or belongs to another attachment.
    pub fn keep(&self, namespace: Option<&Path>, values: &Values) -> Result<()> {
        let doing = || format!("write {}", self.path.display());
        let mut all = match self.read()? {
            Some(Record { mark: Some(Mark { owner, .. }), .. }) if owner != self.owner => {
                let Owner { network, container, ifname } = &owner;
                let whose = format!("container {container}, interface {ifname}, network {network}");
                return Err(Error::found(doing(), format!("it is the file of {whose}")));
            }
            // The values that another program wrote about this attachment are older than this call.
            Some(record) if record.is_about(namespace) => record.values,
            // A container with this name existed before, and no DEL was called for it.
            _ => Values::new(),
        };
        for (key, value) in values {
            all.entry(key).or_insert_with(|| value.clone());
        }
        let mark = Mark { owner: self.owner.clone(), namespace: namespace.and_then(inode) };
        let mark = serde_json::to_value(mark).map_err(io::Error::from).doing(doing)?;
        all.insert(OWNER.to_owned(), mark);
        self.write(&all).doing(doing)
    }

    /// The values that an earlier call stored; empty if there is no file, or if it is about another
    /// namespace than the one at this path: the container's path may lead to another by now.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be read, or has another format.
    pub fn recall(&self, namespace: Option<&Path>) -> Result<Values> {
        let is_own = |record: &Record| {
            record.owner().is_none_or(|owner| *owner == self.owner) && record.is_about(namespace)
        };
        Ok(self.read()?.filter(is_own).map(|record| record.values).unwrap_or_default())
    }

    /// Removes the file, unless it belongs to another attachment. A missing file is not an error.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be removed.
    pub fn forget(&self) -> Result<()> {
        let record = Record::read(&self.path).ok().flatten();
        if record.as_ref().and_then(Record::owner).is_some_and(|owner| *owner != self.owner) {
            return Ok(());
        }
        for path in [&self.path, &self.unfinished()] {
            remove(path).doing(|| format!("remove {}", path.display()))?;
        }
        Ok(())
    }

    /// GC: removes the files of a network in a directory, except those of the valid attachments.
    ///
    /// # Errors
    ///
    /// Returns an error if the directory cannot be read, or if a file cannot be removed. The others
    /// are removed.
    pub fn collect(folder: &Path, network: &str, valid: &[Owner]) -> Result<()> {
        let mut failure = None;
        for (path, _) in stale_files(folder, network, valid)? {
            let removed = remove(&path).doing(|| format!("remove {}", path.display()));
            failure = failure.or(removed.err());
        }
        failure.map_or(Ok(()), Err)
    }

    /// The files that [`collect`](Memory::collect) would remove. Changes nothing.
    ///
    /// # Errors
    ///
    /// Returns an error if the directory cannot be read.
    pub fn stale(folder: &Path, network: &str, valid: &[Owner]) -> Result<Vec<Stale>> {
        let files = stale_files(folder, network, valid)?.into_iter();
        let shown = |(path, owner): (PathBuf, Owner)| {
            Stale::new(format!("the file {}", path.display()), Of::Attachment(owner))
        };
        Ok(files.map(shown).collect())
    }

    fn read(&self) -> Result<Option<Record>> {
        Record::read(&self.path).doing(|| format!("read {}", self.path.display()))
    }

    /// Writes the file atomically.
    fn write(&self, all: &Values) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        let unfinished = self.unfinished();
        // The leftover of a killed call. Calls of one attachment exclude each other.
        remove(&unfinished)?;
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
        file.write_all(&text(all)?)?;
        fs::rename(&unfinished, &self.path)
    }

    fn unfinished(&self) -> PathBuf {
        self.path.with_extension("json.new")
    }
}

impl Record {
    fn read(path: &Path) -> io::Result<Option<Record>> {
        let mut bytes = Vec::new();
        match open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            file => file?.take(MAX_BYTES).read_to_end(&mut bytes)?,
        };
        let mut values: Values = serde_json::from_slice(&bytes)?;
        let mark = values.remove(OWNER).map(serde_json::from_value::<Mark>).transpose()?;
        Ok(Some(Record { values, mark }))
    }

    fn owner(&self) -> Option<&Owner> {
        self.mark.as_ref().map(|mark| &mark.owner)
    }

    /// Whether it is about a namespace, as far as both are known.
    fn is_about(&self, namespace: Option<&Path>) -> bool {
        let kept = self.mark.as_ref().and_then(|mark| mark.namespace);
        match (kept, namespace.and_then(inode)) {
            (Some(kept), Some(now)) => kept == now,
            _ => true,
        }
    }
}

/// The files of a network in a directory, with their owners, except those of the valid attachments.
fn stale_files(folder: &Path, network: &str, valid: &[Owner]) -> Result<Vec<(PathBuf, Owner)>> {
    let doing = || format!("list {}", folder.display());
    let files = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        files => files.doing(doing)?,
    };
    let mut stale = Vec::new();
    for file in files {
        let path = file.doing(doing)?.path();
        // A file that cannot be read is not one of these files.
        let Ok(Some(Record { mark: Some(Mark { owner, .. }), .. })) = Record::read(&path) else {
            continue;
        };
        if owner.network == network && !valid.contains(&owner) {
            stale.push((path, owner));
        }
    }
    Ok(stale)
}

/// Opens a regular file, and does not block on other types of files.
fn open(path: &Path) -> io::Result<File> {
    let flags = O_NOFOLLOW | O_NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("it is not a regular file")),
    }
}

/// JSON with an indent of one, as the reference writes it.
fn text(all: &Values) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let indent = serde_json::ser::PrettyFormatter::with_indent(b" ");
    all.serialize(&mut serde_json::Serializer::with_formatter(&mut text, indent))?;
    Ok(text)
}

/// Removes a file. A missing file is not an error.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

fn inode(path: &Path) -> Option<(u64, u64)> {
    let file = fs::metadata(path).ok()?;
    Some((file.dev(), file.ino()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn owner(network: &str, container: &str) -> Owner {
        let [network, container, ifname] = [network, container, "eth0"].map(str::to_owned);
        Owner { network, container, ifname }
    }

    fn values(json: Value) -> Values {
        json.as_object().unwrap().clone()
    }

    fn names(folder: &Path) -> Vec<String> {
        let files = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> =
            files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn the_first_value_of_each_key_stays() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("tuning");
        let memory = Memory::of(&folder, &owner("pods", "c1")).unwrap();
        assert_eq!(memory.recall(None).unwrap(), Values::new());
        memory.keep(Some(Path::new("/")), &values(json!({ "mtu": 1500 }))).unwrap();
        let more = values(json!({ "mtu": 1400, "mac": "02:00:00:00:00:01" }));
        memory.keep(None, &more).unwrap();
        let kept = values(json!({ "mtu": 1500, "mac": "02:00:00:00:00:01" }));
        assert_eq!(memory.recall(None).unwrap(), kept);
        memory.keep(Some(Path::new("/")), &kept).unwrap();
        assert_eq!(memory.recall(Some(Path::new("/"))).unwrap(), kept);
        // Another namespace: a container of the same name has ended, and nothing told this host.
        assert_eq!(memory.recall(Some(Path::new("/proc"))).unwrap(), Values::new());
        memory.keep(Some(Path::new("/proc")), &values(json!({ "mtu": 1300 }))).unwrap();
        assert_eq!(memory.recall(None).unwrap(), values(json!({ "mtu": 1300 })));
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!((mode(&folder), mode(&memory.path)), (0o700, 0o600));
        memory.forget().unwrap();
        memory.forget().unwrap();
        assert_eq!(names(&folder), Vec::<String>::new());
    }

    #[test]
    fn a_file_of_another_program_is_read_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c1_eth0.json");
        fs::write(&path, "{\n \"mtu\": 1500\n}").unwrap();
        let memory = Memory::of(folder.path(), &owner("pods", "c1")).unwrap();
        assert_eq!(memory.recall(None).unwrap(), values(json!({ "mtu": 1500 })));
        Memory::collect(folder.path(), "pods", &[]).unwrap();
        assert_eq!(names(folder.path()), ["c1_eth0.json"]);
        fs::write(&path, "mtu").unwrap();
        let error = memory.recall(None).unwrap_err().to_string();
        assert!(error.contains("c1_eth0.json"), "{error}");
        // It does not block DEL.
        memory.forget().unwrap();
        assert_eq!(names(folder.path()), Vec::<String>::new());
    }

    #[test]
    fn another_attachments_file_is_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let memory = |network| Memory::of(folder.path(), &owner(network, "c1")).unwrap();
        memory("pods").keep(None, &values(json!({ "mtu": 1500 }))).unwrap();
        assert_eq!(memory("more").recall(None).unwrap(), Values::new());
        let error = memory("more").keep(None, &values(json!({ "mtu": 1400 }))).unwrap_err();
        let whose = "it is the file of container c1, interface eth0, network pods";
        assert!(error.to_string().contains(whose), "{error}");
        memory("more").forget().unwrap();
        assert_eq!(names(folder.path()), ["c1_eth0.json"]);
        let error = Memory::of(folder.path(), &owner("pods", "../c1")).unwrap_err();
        assert!(error.to_string().contains("not a valid file name"), "{error}");
        assert!(Memory::of(folder.path(), &owner("pods", &"c".repeat(250))).is_err());
    }

    #[test]
    fn gc_removes_what_is_not_valid_and_of_its_network() {
        let folder = tempfile::tempdir().unwrap();
        for (network, container) in [("pods", "c1"), ("pods", "c2"), ("more", "c3")] {
            let memory = Memory::of(folder.path(), &owner(network, container)).unwrap();
            memory.keep(None, &values(json!({ "mtu": 1500 }))).unwrap();
        }
        // A file of a call that was killed before it renamed the file.
        let unfinished = folder.path().join("c2_eth0.json.new");
        fs::copy(folder.path().join("c2_eth0.json"), unfinished).unwrap();
        fs::write(folder.path().join("notes"), "not one of these").unwrap();
        Memory::collect(folder.path(), "pods", &[owner("pods", "c1")]).unwrap();
        assert_eq!(names(folder.path()), ["c1_eth0.json", "c3_eth0.json", "notes"]);
        Memory::collect(&folder.path().join("none"), "pods", &[]).unwrap();
    }
}
