//! The plugins' binaries: whether they are there, what they speak, and which keys they say they
//! know.

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

/// What a plugin gets for an answer that needs no work.
const PATIENCE: Duration = Duration::from_secs(5);
/// The most that a schema can be, in bytes.
const MAX_SCHEMA: usize = 1 << 20;

/// The folders of plugins, and what was learnt of those that were asked for.
pub struct Binaries {
    pub folders: Vec<PathBuf>,
    /// Whether to look into them at all.
    pub searched: bool,
    asked: RefCell<HashMap<String, Rc<Binary>>>,
}

/// What is known of a plugin.
#[derive(Debug, Default)]
pub struct Binary {
    /// Where it is.
    pub file: Option<PathBuf>,
    /// Why it cannot be run, if it cannot.
    pub obstacle: Option<String>,
    /// The versions it speaks; none if it was not asked or did not say.
    pub speaks: Option<Vec<String>>,
    /// Why it did not say.
    pub silence: Option<String>,
    /// The schema of its configuration: its own, or that of our plugin of this name.
    pub schema: Option<Value>,
    /// Whether the schema is what the binary itself printed: then it is made with our library.
    pub is_ours: bool,
}

impl Binaries {
    pub fn new(folders: Vec<PathBuf>, searched: bool) -> Binaries {
        Binaries { folders, searched, asked: RefCell::default() }
    }

    /// What is known of the plugin of a name.
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

    /// The folders as they are named in a message, and what is odd about them.
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
        // Who does not know the protocol is not asked for more.
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

/// Why a file cannot be run.
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

/// What a plugin prints for `--schema`, if that is the schema of an object.
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
