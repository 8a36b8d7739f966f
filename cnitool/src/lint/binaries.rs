//! The plugins' binaries: whether they exist, which versions they support, and the keys of their
//! schemas.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use libcni::runtime::{Cache, Runtime};
use libcni::{PluginType, exec};
use serde_json::Value;

use crate::lint::known;

/// The time limit for a plugin's answer to VERSION or `--schema`.
const PATIENCE: Duration = Duration::from_secs(5);
/// The maximum size of a schema in bytes.
const MAX_SCHEMA: usize = 1 << 20;

/// The folders of plugins, and the binaries that were examined.
pub struct Binaries {
    pub folders: Vec<PathBuf>,
    /// Whether to search the folders.
    pub searched: bool,
    asked: RefCell<HashMap<String, Rc<Binary>>>,
}

/// The properties of a plugin's binary.
#[derive(Debug, Default)]
pub struct Binary {
    /// The path of the binary, if it exists.
    pub file: Option<PathBuf>,
    /// The reason why the binary cannot be run, if so.
    pub obstacle: Option<String>,
    /// The supported versions; `None` if the plugin was not run or did not answer.
    pub speaks: Option<Vec<String>>,
    /// The reason why the plugin did not answer.
    pub silence: Option<String>,
    /// The schema of the configuration: of the binary itself, or of this suite's plugin of the same
    /// name.
    pub schema: Option<Value>,
    /// Whether the binary printed the schema itself, which only plugins built with this library do.
    pub is_ours: bool,
}

impl Binaries {
    pub fn new(folders: Vec<PathBuf>, searched: bool) -> Binaries {
        Binaries { folders, searched, asked: RefCell::default() }
    }

    /// Returns the binary of a plugin.
    pub fn get(&self, name: &PluginType) -> Rc<Binary> {
        if let Some(known) = self.asked.borrow().get(name.as_str()) {
            return Rc::clone(known);
        }
        let binary = Rc::new(self.ask(name));
        self.asked.borrow_mut().insert(name.as_str().to_owned(), Rc::clone(&binary));
        binary
    }

    /// The names of all files in the folders.
    pub fn names(&self) -> Vec<String> {
        if !self.searched {
            return Vec::new();
        }
        let entries = self.folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten();
        let files = entries.flatten().filter(|entry| entry.path().is_file());
        let names = files.filter_map(|entry| entry.file_name().into_string().ok());
        names.filter(|name| !name.starts_with('.')).collect()
    }

    /// The folders as text for a message; missing folders are marked.
    pub fn described(&self) -> String {
        let folder = |folder: &PathBuf| match folder.is_dir() {
            true => folder.display().to_string(),
            false => format!("{} (no such folder)", folder.display()),
        };
        match self.folders.as_slice() {
            [] => "nowhere: CNI_PATH is empty".to_owned(),
            folders => folders.iter().map(folder).collect::<Vec<_>>().join(", "),
        }
    }

    fn ask(&self, name: &PluginType) -> Binary {
        let schema = known::schema(name.as_str()).cloned();
        let file = self.searched.then(|| exec::find(name, &self.folders).ok()).flatten();
        let Some(file) = file else { return Binary { schema, ..Binary::default() } };
        if let Some(obstacle) = obstacle(&file) {
            let obstacle = Some(obstacle);
            return Binary { file: Some(file), obstacle, schema, ..Binary::default() };
        }
        let mut runtime = Runtime::new(self.folders.clone(), Cache::default());
        runtime.timeout = Some(PATIENCE);
        let (speaks, silence) = match runtime.version(name) {
            Ok(spoken) => (Some(spoken.supported), None),
            Err(error) => (None, Some(error.to_string())),
        };
        // Only a plugin that answers VERSION is run with `--schema`.
        let own = if speaks.is_some() { own_schema(&file) } else { None };
        let is_ours = own.is_some();
        Binary {
            file: Some(file),
            obstacle: None,
            speaks,
            silence,
            schema: own.or(schema),
            is_ours,
        }
    }
}

/// The reason why a file cannot be run.
fn obstacle(file: &Path) -> Option<String> {
    match fs::metadata(file) {
        Err(error) => Some(error.to_string()),
        Ok(meta) if meta.permissions().mode() & 0o111 == 0 => {
            Some("it is not executable".to_owned())
        }
        Ok(meta) if meta.len() == 0 => Some("it is empty".to_owned()),
        Ok(_) => None,
    }
}

/// The output of a plugin for `--schema`, if it is the schema of an object.
fn own_schema(file: &Path) -> Option<Value> {
    let deadline = Instant::now().checked_add(PATIENCE)?;
    let printed = exec::by_hand(file, &["--schema"], deadline).ok()?;
    if printed.len() > MAX_SCHEMA {
        return None;
    }
    let schema: Value = serde_json::from_slice(&printed).ok()?;
    let is_schema = schema.get("$schema").is_some_and(Value::is_string);
    (is_schema && schema.get("type").and_then(Value::as_str) == Some("object")).then_some(schema)
}
