//! The files to look at: those that a runtime would read of a folder, and what lies beside them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use libcni::{Context, Result};

use crate::lint::document::Node;
use crate::lint::problem::{At, Problem};
use crate::lint::suggest::nearest;
use crate::lint::syntax;

/// The ends of the names of files that runtimes read.
const KINDS: [&str; 3] = ["conflist", "conf", "json"];
/// Ends that say that a file is meant to be out of use.
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

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A network, as a list of plugins.
    List,
    /// A network of one plugin.
    Single,
    /// A plugin that belongs to the list of a network: a file of the folder with the network's name.
    Part,
    /// No runtime reads it.
    Ignored,
    /// A folder, about which there is something to say.
    Folder,
}

/// A file that was looked at.
#[derive(Debug)]
pub struct File {
    pub path: PathBuf,
    /// The path as it is shown.
    pub shown: String,
    pub kind: Kind,
    pub text: String,
    pub root: Option<Node>,
}

impl File {
    /// Whether it was read as a configuration.
    pub fn is_read(&self) -> bool {
        !matches!(self.kind, Kind::Ignored | Kind::Folder)
    }
}

/// All files, and what was found wrong before looking into them.
#[derive(Debug, Default)]
pub struct Files {
    pub all: Vec<File>,
    pub problems: Vec<Problem>,
}

impl Files {
    /// A file or folder that was named.
    ///
    /// # Errors
    ///
    /// It is not there, or cannot be read.
    pub fn add(&mut self, path: &Path) -> Result<()> {
        let doing = || format!("read {}", path.display());
        match fs::metadata(path).context(doing)?.is_dir() {
            true => self.add_folder(path),
            false => self.add_file(path),
        }
    }

    fn add_file(&mut self, path: &Path) -> Result<()> {
        let kind = match extension(path) {
            "conflist" => Some(Kind::List),
            "conf" | "json" => Some(Kind::Single),
            _ => None,
        };
        let index = self.read(path, kind.unwrap_or(Kind::List))?;
        if let (None, Some(file)) = (kind, self.all.get_mut(index)) {
            let is_list = file.root.as_ref().is_none_or(|root| root.get("plugins").is_some());
            file.kind = if is_list { Kind::List } else { Kind::Single };
            let wanted =
                if is_list { "a list's is .conflist" } else { "a single plugin's is .conf" };
            self.problems.push(
                Problem::note(
                    "file-name",
                    &At::file(index),
                    "runtimes do not read files of this name",
                )
                .help(format!("they go by its end: {wanted}")),
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
            self.add_file(path)?;
        }
        for path in files.iter().filter(|path| !networks.contains(path)) {
            self.add_ignored(path);
        }
        if let [first, _, ..] = networks.as_slice() {
            let index = self.push(folder, Kind::Folder);
            let what = format!("containerd uses only {}, the first by name", name(first));
            self.problems.push(Problem::note("only-the-first", &At::file(index), what).why(
                format!(
                    "{} files are there, and containerd's max_conf_num is 1 unless somebody set it",
                    networks.len()
                ),
            ));
        }
        Ok(())
    }

    /// The plugins that libcni adds to a list: the files of the folder with the network's name.
    fn add_parts(&mut self, index: usize) -> Result<()> {
        let Some(File { kind: Kind::List, root: Some(root), path, .. }) = self.all.get(index)
        else {
            return Ok(());
        };
        let (Some(name), false) = (root.text_of("name"), root.is_on("loadOnlyInlinedPlugins"))
        else {
            return Ok(());
        };
        if libcni::NetworkName::new(name).is_err() {
            return Ok(());
        }
        for path in files_of(&path.with_file_name(name))? {
            if extension(&path) == "conf" {
                self.read(&path, Kind::Part)?;
            }
        }
        Ok(())
    }

    /// A file that no runtime reads, if it looks as if it was meant to be read.
    fn add_ignored(&mut self, path: &Path) {
        let (name, end) = (name(path), extension(path));
        if name.starts_with('.') {
            return;
        }
        let Ok(bytes) = fs::read(path) else { return };
        if bytes.trim_ascii_start().first() != Some(&b'{') {
            return;
        }
        let is_aside = name.ends_with('~') || ASIDE.contains(&end);
        let problem = |at: &At| match nearest(end, KINDS).filter(|_| !is_aside) {
            Some(kind) => Problem::warning("file-name", at, "no runtime reads this file")
                .why("they read files whose names end in .conflist, .conf or .json, and no others")
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
        self.all.push(File { path: path.to_owned(), shown, kind, text: String::new(), root: None });
        self.all.len() - 1
    }

    fn read(&mut self, path: &Path, kind: Kind) -> Result<usize> {
        let bytes = fs::read(path).context(|| format!("read {}", path.display()))?;
        let index = self.push(path, kind);
        let read = syntax::read(index, &bytes);
        self.problems.extend(read.problems);
        if let Some(file) = self.all.get_mut(index) {
            (file.text, file.root) = (read.text, read.root);
        }
        Ok(index)
    }
}

/// The files of a folder, in the order of their names. A folder that is not there has none.
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

/// The end of a file's name, behind the last dot.
fn extension(path: &Path) -> &str {
    path.extension().and_then(|end| end.to_str()).unwrap_or_default()
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
