//! Finds the files to check: the files that a runtime reads from a folder, and suspicious files
//! beside them.

mod attachment;
mod chain;
mod yaml;

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use libcni::{Context, Result};

use crate::lint::document::Node;
use crate::lint::problem::{At, Problem};
use crate::lint::suggest::nearest;
use crate::lint::syntax;

/// The extensions of files that runtimes read.
const KINDS: [&str; 3] = ["conflist", "conf", "json"];
/// Extensions of files that are intentionally unused.
const ASIDE: [&str; 12] = [
    "bak",
    "backup",
    "disabled",
    "dpkg-dist",
    "dpkg-old",
    "old",
    "orig",
    "rpmnew",
    "rpmsave",
    "save",
    "swp",
    "tmp",
];

/// The content of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A network, as a list of plugins.
    List,
    /// A network of one plugin.
    Single,
    /// A plugin of a network's list, from a file in the folder with the network's name.
    Part,
    /// Kubernetes objects that contain networks.
    Manifest,
    /// A file that no runtime reads.
    Ignored,
    /// A folder with a finding.
    Folder,
}

/// The place of a configuration, which determines its required keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A file that contains the whole network.
    Whole,
    /// A plugin of a chain; the chain has the name of the folder.
    Chain,
    /// A NetworkAttachmentDefinition of this name, which is also the name of a network without one.
    Attachment(String),
}

/// A file to check.
#[derive(Debug)]
pub struct File {
    pub path: PathBuf,
    /// The path in the output.
    pub shown: String,
    pub kind: Kind,
    pub place: Place,
    pub text: String,
    pub root: Option<Node>,
}

impl File {
    /// Sets the kind by the content: a list or a single plugin. Returns whether it is a list.
    fn set_kind(&mut self) -> bool {
        let is_list = self.root.as_ref().is_none_or(|root| root.get("plugins").is_some());
        self.kind = if is_list { Kind::List } else { Kind::Single };
        is_list
    }

    /// Whether the file was read as a configuration.
    pub fn is_read(&self) -> bool {
        !matches!(self.kind, Kind::Manifest | Kind::Ignored | Kind::Folder)
    }
}

/// The maximum size in bytes of a file that no runtime reads, and that may contain anything.
const MAX_IGNORED: u64 = 1 << 20;

/// All files, and the findings from reading them.
#[derive(Debug, Default)]
pub struct Files {
    pub all: Vec<File>,
    pub problems: Vec<Problem>,
}

impl Files {
    /// Adds a file or folder that the operator named.
    ///
    /// # Errors
    ///
    /// Returns an error if the path does not exist or cannot be read.
    pub fn add(&mut self, path: &Path) -> Result<()> {
        if path == Path::new("-") {
            return self.add_standard_input();
        }
        let doing = || format!("read {}", path.display());
        match fs::metadata(path).context(doing)?.is_dir() {
            true => self.add_folder(path),
            // The operator named this file, so it may also be a pipe.
            false => self.add_file(path, fs::File::open(path).context(doing)?),
        }
    }

    fn add_file(&mut self, path: &Path, file: fs::File) -> Result<()> {
        let kind = match extension(path) {
            "conflist" => Some(Kind::List),
            "conf" | "json" => Some(Kind::Single),
            _ => None,
        };
        let index = self.read(path, kind.unwrap_or(Kind::List), file)?;
        if self.add_attachments(index) || is_yaml(path) && self.refuse_yaml(index) {
            return Ok(());
        }
        if let (Some(Kind::Single), Some(file)) = (kind, self.all.get_mut(index))
            && extension(path) == "conf"
            && chain::is_of_chain(path)
        {
            file.place = Place::Chain;
            return Ok(());
        }
        if let (None, Some(file)) = (kind, self.all.get_mut(index)) {
            let is_list = file.set_kind();
            let wanted = if is_list {
                "the name of a list ends in .conflist"
            } else {
                "the name of a single plugin's file ends in .conf"
            };
            self.problems.push(
                Problem::note(
                    "file-name",
                    &At::file(index),
                    "runtimes do not read files of this name",
                )
                .help(format!("rename the file: {wanted}")),
            );
        }
        self.add_parts(index)
    }

    fn add_folder(&mut self, folder: &Path) -> Result<()> {
        let files = files_of(folder)?;
        let of_kind = |kinds: &[&str]| {
            let is_it = |path: &&PathBuf| kinds.contains(&extension(path));
            files.iter().filter(is_it).cloned().collect::<Vec<_>>()
        };
        let networks = of_kind(&KINDS);
        for path in &networks {
            self.add_file(path, open(path)?)?;
        }
        for path in files.iter().filter(|path| !networks.contains(path)) {
            if !self.add_yaml(path) {
                self.add_ignored(path);
            }
        }
        if let [first, _, ..] = networks.as_slice()
            && !chain::is_of_chain(first)
        {
            let index = self.push(folder, Kind::Folder);
            let what = format!("containerd uses only {}, the first by name", name(first));
            self.problems.push(Problem::note("only-the-first", &At::file(index), what).why(
                format!(
                    "the folder has {} files, and containerd's max_conf_num is 1 by default",
                    networks.len()
                ),
            ));
        }
        Ok(())
    }

    /// Adds the plugins that libcni adds to a list: the files of the folder with the network's
    /// name.
    fn add_parts(&mut self, index: usize) -> Result<()> {
        let Some(File { kind, root: Some(root), path, .. }) = self.all.get(index) else {
            return Ok(());
        };
        if *kind != Kind::List {
            // Multus has an additional chain of its own.
            let name = root.text_of("auxiliaryCNIChainName").filter(|_| *kind == Kind::Single);
            return match name.map(libcni::NetworkName::new) {
                Some(Ok(name)) => self.add_chain(&path.with_file_name(name.as_str())),
                _ => Ok(()),
            };
        }
        let name = root.exact("name").and_then(|name| name.node.text());
        let (Some(name), false) = (name, root.is_switched_on("loadOnlyInlinedPlugins")) else {
            return Ok(());
        };
        if libcni::NetworkName::new(name).is_err() {
            return Ok(());
        }
        for path in files_of(&path.with_file_name(name))? {
            if extension(&path) == "conf" {
                self.read(&path, Kind::Part, open(&path)?)?;
            }
        }
        Ok(())
    }

    /// Adds the plugins of a chain that belongs to no list.
    fn add_chain(&mut self, folder: &Path) -> Result<()> {
        for path in files_of(folder)? {
            if extension(&path) == "conf" {
                let index = self.read(&path, Kind::Single, open(&path)?)?;
                self.all.iter_mut().skip(index).for_each(|file| file.place = Place::Chain);
            }
        }
        Ok(())
    }

    /// Adds a file that no runtime reads, if it looks like a configuration.
    fn add_ignored(&mut self, path: &Path) {
        let (name, end) = (name(path), extension(path));
        if name.starts_with('.') {
            return;
        }
        // Other files in the folder are optional, so an unreadable one is not an error.
        let Ok(bytes) = libcni::file::read(path, MAX_IGNORED) else { return };
        if bytes.trim_ascii_start().first() != Some(&b'{') {
            return;
        }
        let is_aside = name.ends_with('~') || ASIDE.contains(&end);
        let problem = |at: &At| match nearest(end, KINDS).filter(|_| !is_aside) {
            Some(kind) => Problem::warning("file-name", at, "no runtime reads this file")
                .why("runtimes read only files whose names end in .conflist, .conf or .json")
                .help(format!(
                    "did you mean {}?",
                    name.replace(&format!(".{end}"), &format!(".{kind}"))
                )),
            None => Problem::note("file-name", at, "no runtime reads this file")
                .why("its name does not end in .conflist, .conf or .json"),
        };
        let index = self.push(path, Kind::Ignored);
        self.problems.push(problem(&At::file(index)));
    }

    fn push(&mut self, path: &Path, kind: Kind) -> usize {
        let shown = path.display().to_string().replace(|c: char| c.is_control(), "?");
        let (path, place, text) = (path.to_owned(), Place::Whole, String::new());
        self.all.push(File { path, shown, kind, place, text, root: None });
        self.all.len() - 1
    }

    fn read(&mut self, path: &Path, kind: Kind, file: fs::File) -> Result<usize> {
        // Reads one byte more than the limit, so that a file that is too large is reported as such.
        let limit = u64::try_from(libcni::json::MAX_BYTES).unwrap_or(u64::MAX).saturating_add(1);
        let mut bytes = Vec::new();
        let read = file.take(limit).read_to_end(&mut bytes);
        read.context(|| format!("read {}", path.display()))?;
        Ok(self.understand(path, kind, &bytes))
    }

    fn understand(&mut self, path: &Path, kind: Kind, bytes: &[u8]) -> usize {
        let index = self.push(path, kind);
        let read = syntax::read(index, bytes);
        self.problems.extend(read.problems);
        if let Some(file) = self.all.get_mut(index) {
            (file.text, file.root) = (read.text, read.root);
        }
        index
    }
}

/// Opens a file of a folder. Fails for a file that would block a runtime, such as a pipe.
fn open(path: &Path) -> Result<fs::File> {
    libcni::file::open(path).context(|| format!("read {}", path.display()))
}

fn files_of(folder: &Path) -> Result<Vec<PathBuf>> {
    let doing = || format!("read the folder {}", folder.display());
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.context(doing)?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.context(doing)?.path();
        if !path.is_dir() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn is_yaml(path: &Path) -> bool {
    ["yaml", "yml"].contains(&extension(path))
}

/// The extension of a file; empty if it has none.
fn extension(path: &Path) -> &str {
    path.extension().and_then(|end| end.to_str()).unwrap_or_default()
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
