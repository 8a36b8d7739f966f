//! Reads NetworkAttachmentDefinitions of Kubernetes, which contain networks for Multus as text in
//! `spec.config`.

use std::io::{self, Read};
use std::path::Path;

use libcni::{Context, Error, Result, file};
use serde_json::Value;

use super::yaml::Refused;
use super::{Files, Kind, MAX_IGNORED, Place, is_yaml, yaml};
use crate::lint::problem::{At, Problem};

/// The maximum size of standard input in bytes: larger than any configuration, smaller than memory.
const MOST: u64 = 64 << 20;

/// A network in such an object.
struct Found {
    /// The object's namespace and name.
    shown: String,
    name: String,
    config: String,
}

impl Files {
    /// Reads standard input: a network, or Kubernetes objects (`kubectl get net-attach-def -A -o
    /// yaml`).
    ///
    /// # Errors
    ///
    /// Returns an error if standard input cannot be read or is too large.
    pub(super) fn add_standard_input(&mut self) -> Result<()> {
        let mut bytes = Vec::new();
        io::stdin().lock().take(MOST).read_to_end(&mut bytes).context(|| "read standard input")?;
        if bytes.len() as u64 == MOST {
            return Err(Error::config(format!("standard input is larger than {} MiB", MOST >> 20)));
        }
        let index = self.understand(Path::new("standard input"), Kind::List, &bytes);
        if !self.add_attachments(index)
            && let Some(file) = self.all.get_mut(index)
        {
            file.set_kind();
        }
        Ok(())
    }

    /// Adds a file of a folder if it is YAML with NetworkAttachmentDefinitions.
    pub(super) fn add_yaml(&mut self, path: &Path) -> bool {
        const KIND: &[u8] = b"NetworkAttachmentDefinition";
        let bytes = if is_yaml(path) { file::read(path, MAX_IGNORED).ok() } else { None };
        let Some(bytes) = bytes.filter(|it| it.windows(KIND.len()).any(|it| it == KIND)) else {
            return false;
        };
        let index = self.understand(path, Kind::Manifest, &bytes);
        if !self.add_attachments(index) && !self.refuse_yaml(index) {
            // The file only mentions such objects.
            self.problems.retain(|problem| problem.at.spot.file != index);
        }
        true
    }

    /// Reports invalid YAML. Returns false if the text is valid.
    pub(super) fn refuse_yaml(&mut self, index: usize) -> bool {
        let Some(file) = self.all.get_mut(index) else { return false };
        let Err(Refused { why, at }) = yaml::documents(&file.text) else { return false };
        self.problems.retain(|problem| problem.at.spot.file != index);
        self.problems.push(
            Problem::error(
                "not-yaml",
                &At::piece(index, at, at),
                format!("this is not YAML: {why}"),
            )
            .why("kubectl refuses the file"),
        );
        file.kind = Kind::List;
        true
    }

    /// Adds the networks of the objects in a file. Returns false if the file has no such objects.
    pub(super) fn add_attachments(&mut self, index: usize) -> bool {
        let Some(file) = self.all.get_mut(index) else { return false };
        let found = match &file.root {
            Some(root) => objects(&[root.to_json()]),
            None => yaml::documents(&file.text).ok().and_then(|documents| objects(&documents)),
        };
        let Some(found) = found else { return false };
        file.kind = Kind::Manifest;
        let (path, shown) = (file.path.clone(), file.shown.clone());
        // The file can be of any format, so a file that is not JSON is not a mistake here.
        self.problems.retain(|problem| problem.at.spot.file != index);
        for Found { shown: of, name, config } in found {
            let index = self.understand(&path, Kind::List, config.as_bytes());
            if let Some(file) = self.all.get_mut(index) {
                file.set_kind();
                file.shown = format!("{shown}, {of}").replace(|c: char| c.is_control(), "?");
                file.place = Place::Attachment(name);
            }
        }
        true
    }
}

/// The networks of documents; `None` if no document is a NetworkAttachmentDefinition or a list of
/// objects.
fn objects(documents: &[Value]) -> Option<Vec<Found>> {
    let all: Vec<_> = documents.iter().filter_map(of_document).collect();
    (!all.is_empty()).then(|| all.into_iter().flatten().collect())
}

fn of_document(document: &Value) -> Option<Vec<Found>> {
    match document.get("kind")?.as_str()? {
        "NetworkAttachmentDefinition" => Some(of(document).into_iter().collect()),
        "List" | "NetworkAttachmentDefinitionList" => {
            let items = document.get("items").and_then(Value::as_array);
            Some(items.into_iter().flatten().filter_map(of).collect())
        }
        _ => None,
    }
}

/// The network of an object. `None` without a configuration, because Multus then looks for a
/// network of the object's name on the node.
fn of(object: &Value) -> Option<Found> {
    let config = object.pointer("/spec/config")?.as_str()?;
    let of_metadata = |key: &str| object.get("metadata")?.get(key)?.as_str();
    let name = of_metadata("name").unwrap_or_default().to_owned();
    let shown = match of_metadata("namespace") {
        Some(namespace) => format!("{namespace}/{name}"),
        None => name.clone(),
    };
    (!config.trim().is_empty()).then(|| Found { shown, name, config: config.to_owned() })
}
