//! The cache of the results of ADD, kept until DEL. The files have the format of the reference
//! library (`/var/lib/cni/results`), so this crate and other runtimes can read each other's
//! entries.

use std::fs::{self, DirBuilder};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::base64;
use super::request::AttachmentConfig;
use super::result::of_any_version;
use crate::{
    AddResult, Attachment, Code, ContainerId, Context, Error, IfName, NetworkName, Result, file,
    json,
};

/// The value of the key `kind` in files of this format.
const KIND: &str = "cniCacheV1";

/// The maximum size of a file in bytes. It contains the network's configuration and the result,
/// each at most as large as a document.
const MAX_BYTES: u64 = 32 << 20;

/// A folder of cached results.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cache {
    results: PathBuf,
}

/// A cached attachment.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Cached {
    /// The network.
    pub network: NetworkName,
    /// The attachment, and the arguments of its ADD.
    pub conf: AttachmentConfig,
    /// The text of the network's configuration at the time of ADD.
    pub config: Vec<u8>,
    /// The result of ADD, in the version of the configuration.
    pub result: Option<Value>,
}

impl Cached {
    /// The entry of an attachment.
    pub fn new(
        network: NetworkName,
        conf: AttachmentConfig,
        config: Vec<u8>,
        result: Option<Value>,
    ) -> Cached {
        Cached { network, conf, config, result }
    }

    /// Reads the result in its own version, or in the version of its shape. The value is empty if
    /// the entry has no result.
    ///
    /// # Errors
    ///
    /// Returns an error if the result cannot be read.
    pub fn add_result(&self) -> Result<AddResult> {
        self.result.as_ref().map_or_else(|| Ok(AddResult::default()), of_any_version)
    }
}

/// A file of the cache, readable or not.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Entry {
    /// The path of the file.
    pub file: PathBuf,
    /// The file's modification time, if known.
    pub written: Option<SystemTime>,
    /// The cached attachment, or the reason why it cannot be read.
    pub cached: Result<Cached>,
}

impl Default for Cache {
    /// The cache below `/var/lib/cni`.
    fn default() -> Cache {
        Cache::new("/var/lib/cni")
    }
}

impl Cache {
    /// The cache in the folder `results` of `dir`. The first [`Cache::put`] creates the folder.
    pub fn new(dir: impl AsRef<Path>) -> Cache {
        Cache { results: dir.as_ref().join("results") }
    }

    /// The entry of an attachment; `None` if there is no file.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be read or decoded, or if it belongs to another
    /// attachment: network `a-b` with container `c` and network `a` with container `b-c` have the
    /// same file name in the reference's format.
    pub fn get(&self, network: &NetworkName, attachment: &Attachment) -> Result<Option<Cached>> {
        let path = self.file(network, attachment);
        let doing = || format!("read {}", path.display());
        let text = match file::read(&path, MAX_BYTES) {
            Err(error) if is_absence(&error) => return Ok(None),
            text => text.context(doing)?,
        };
        match decode(&text).context(doing)? {
            Content::Legacy(result) => Ok(Some(Cached {
                network: network.clone(),
                conf: AttachmentConfig::new(
                    attachment.container.clone(),
                    attachment.ifname.clone(),
                    "",
                ),
                config: Vec::new(),
                result: Some(result),
            })),
            Content::Current(cached)
                if cached.network == *network && cached.conf.attachment == *attachment =>
            {
                Ok(Some(*cached))
            }
            Content::Current(cached) => Err(foreign(&cached).context(doing())),
        }
    }

    /// Writes an entry. The file is replaced as a whole, so a crash of this process leaves no
    /// partial file.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be written, or if the existing file belongs to another
    /// attachment.
    pub fn put(&self, cached: &Cached) -> Result<()> {
        let file = self.file(&cached.network, &cached.conf.attachment);
        let doing = || format!("write {}", file.display());
        self.refuse_foreign(&file, &cached.network, &cached.conf.attachment).context(doing)?;
        let text = serde_json::to_vec(&Record::from(cached))
            .map_err(|error| Error::internal(format!("{}: {error}", doing())))?;
        DirBuilder::new().recursive(true).mode(0o700).create(&self.results).context(doing)?;
        // Temporary files have mode 0600, as the reference's files do.
        let mut draft =
            tempfile::Builder::new().prefix(".draft-").tempfile_in(&self.results).context(doing)?;
        draft.write_all(&text).context(doing)?;
        draft.persist(&file).map_err(|error| error.error).context(doing)?;
        Ok(())
    }

    /// Removes the entry of an attachment. Succeeds if there is no entry, and does not remove the
    /// file of another attachment.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be removed.
    pub fn remove(&self, network: &NetworkName, attachment: &Attachment) -> Result<()> {
        let file = self.file(network, attachment);
        if self.refuse_foreign(&file, network, attachment).is_err() {
            return Ok(());
        }
        match fs::remove_file(&file) {
            Err(error) if is_absence(&error) => Ok(()),
            // On a read-only file system the kernel refuses the removal before it checks whether
            // the file exists.
            Err(_) if fs::symlink_metadata(&file).is_err_and(|error| is_absence(&error)) => Ok(()),
            done => done.context(|| format!("remove the cache entry {}", file.display())),
        }
    }

    /// Whether the attachment has an entry; `None` if that cannot be determined.
    pub fn has(&self, network: &NetworkName, attachment: &Attachment) -> Option<bool> {
        match fs::symlink_metadata(self.file(network, attachment)) {
            Ok(_) => Some(true),
            Err(error) if is_absence(&error) => Some(false),
            Err(_) => None,
        }
    }

    /// All attachments in the cache, or all of one container, in the order of the file names. Files
    /// that do not name their attachment (foreign, damaged and very old files) are skipped.
    ///
    /// # Errors
    ///
    /// The folder cannot be read.
    pub fn attachments(&self, container: Option<&ContainerId>) -> Result<Vec<Cached>> {
        let files = self.files()?;
        let all = files.iter().filter_map(|file| read(file)?.ok());
        let wanted = |cached: &Cached| {
            container.is_none_or(|container| cached.conf.attachment.container == *container)
        };
        Ok(all.filter(wanted).collect())
    }

    /// All files in the cache in the order of their names, including the files that
    /// [`Cache::attachments`] skips. The iterator reads each file when it returns it.
    ///
    /// # Errors
    ///
    /// The folder cannot be read.
    pub fn entries(&self) -> Result<impl Iterator<Item = Entry>> {
        let entry = |file: PathBuf| {
            let cached = read(&file)?.context(|| format!("read {}", file.display()));
            let written = fs::metadata(&file).and_then(|meta| meta.modified()).ok();
            Some(Entry { file, written, cached })
        };
        Ok(self.files()?.into_iter().filter_map(entry))
    }

    fn files(&self) -> Result<Vec<PathBuf>> {
        let doing = || format!("read the folder {}", self.results.display());
        let entries = match fs::read_dir(&self.results) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.context(doing)?,
        };
        let mut files = Vec::new();
        for entry in entries {
            let entry = entry.context(doing)?;
            if !entry.file_name().as_encoded_bytes().starts_with(b".") {
                files.push(entry.path());
            }
        }
        files.sort();
        Ok(files)
    }

    /// None of the three parts can contain a slash, because their types reject it.
    fn file(&self, network: &NetworkName, attachment: &Attachment) -> PathBuf {
        self.results.join(format!("{network}-{}-{}", attachment.container, attachment.ifname))
    }

    /// Fails if the file exists and belongs to another attachment.
    fn refuse_foreign(
        &self,
        path: &Path,
        network: &NetworkName,
        attachment: &Attachment,
    ) -> Result<()> {
        match file::read(path, MAX_BYTES).ok().map(|text| decode(&text)) {
            Some(Ok(Content::Current(cached)))
                if cached.network != *network || cached.conf.attachment != *attachment =>
            {
                Err(foreign(&cached))
            }
            _ => Ok(()),
        }
    }
}

/// Whether a file does not exist or cannot exist. A name that is too long for the file system, or a
/// file in place of the folder, must not prevent the removal of an attachment.
fn is_absence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::InvalidFilename | io::ErrorKind::NotADirectory
    )
}

fn foreign(cached: &Cached) -> Error {
    let attachment = &cached.conf.attachment;
    Error::config(format!(
        "it is the file of network {:?}, container {:?}, interface {:?}",
        cached.network.as_str(),
        attachment.container.as_str(),
        attachment.ifname.as_str()
    ))
    .details("use names whose combination with `-` is different")
}

/// Reads an entry. `None` if the file no longer exists.
fn read(path: &Path) -> Option<Result<Cached>> {
    let text = match file::read(path, MAX_BYTES) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        text => text.map_err(|error| Error::new(Code::IO_FAILURE, error.to_string())),
    };
    Some(text.and_then(|text| match decode(&text)? {
        Content::Current(cached) => Ok(*cached),
        Content::Legacy(_) => {
            Err(Error::new(Code::DECODE_FAILURE, "it does not name its attachment"))
        }
    }))
}

/// The content of a file in the cache.
enum Content {
    Current(Box<Cached>),
    /// The format before `cniCacheV1`: the result alone.
    Legacy(Value),
}

fn decode(text: &[u8]) -> Result<Content> {
    let bad = |why: String| Error::new(Code::DECODE_FAILURE, why);
    // Go's libcni writes the plugin's output unchanged, and replaces invalid UTF-8 when it reads.
    let value = json::value(String::from_utf8_lossy(text).as_bytes())?;
    if !value.is_object() {
        return Err(bad("it is not a cached result".to_owned()));
    }
    if value.get("kind").and_then(Value::as_str) != Some(KIND) {
        return Ok(Content::Legacy(value));
    }
    let record: Record = json::from_value(&value)?;
    Ok(Content::Current(Box::new(record.into_cached()?)))
}

/// The content of a file, with the keys in the reference's order.
#[derive(Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Record {
    kind: String,
    container_id: String,
    /// The text of the configuration in base64.
    config: String,
    if_name: String,
    network_name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    netns: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cni_args: Vec<(String, String)>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    capability_args: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Value>,
}

impl From<&Cached> for Record {
    fn from(cached: &Cached) -> Record {
        let conf = &cached.conf;
        Record {
            kind: KIND.to_owned(),
            container_id: conf.attachment.container.to_string(),
            config: base64::encode(&cached.config),
            if_name: conf.attachment.ifname.to_string(),
            network_name: cached.network.to_string(),
            netns: conf.netns.clone(),
            cni_args: conf.args.clone(),
            capability_args: conf.capability_args.clone(),
            result: cached.result.clone(),
        }
    }
}

impl Record {
    fn into_cached(self) -> Result<Cached> {
        let config = base64::decode(&self.config)
            .ok_or_else(|| Error::new(Code::DECODE_FAILURE, "config is not base64"))?;
        let netns = match self.netns.is_empty() {
            true => self.sandbox().unwrap_or_default(),
            false => self.netns.clone(),
        };
        let container = ContainerId::new(self.container_id)?;
        let mut conf = AttachmentConfig::new(container, IfName::new(self.if_name)?, netns);
        conf.args = self.cni_args;
        conf.capability_args = self.capability_args;
        let network = NetworkName::new(self.network_name)?;
        Ok(Cached { network, conf, config, result: self.result })
    }

    /// The namespace's path from the result. The libraries of podman 4 and containerd 1.6 do not
    /// store `netns`.
    fn sandbox(&self) -> Option<String> {
        let text = |interface, key| json::get(interface, key).and_then(Value::as_str);
        let interfaces = json::get(self.result.as_ref()?, "interfaces")?.as_array()?.iter();
        let mut ours = interfaces.filter(|link| text(link, "name") == Some(&self.if_name));
        ours.find_map(|link| text(link, "sandbox").filter(|path| !path.is_empty())).map(Into::into)
    }
}
