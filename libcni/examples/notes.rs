//! `notes` takes a note of every attachment: a file with its addresses.
//!
//! ```json
//! { "cniVersion": "1.1.0", "name": "pods", "type": "notes", "remark": "hello", "ipam": { "type": "host-local" } }
//! ```

use std::fs;
use std::io::{ErrorKind, Write};
use std::net::IpAddr;
use std::path::PathBuf;

use libcni::{
    AddResult, Addresses, Attachment, Call, Context, Executor, Interface, Manual, NetworkName,
    Plugin, Result,
};

fn main() -> std::process::ExitCode {
    libcni::run::<Notes>()
}

/// The configuration.
#[derive(serde::Deserialize)]
struct Notes {
    #[serde(default)]
    remark: String,
}

const SCHEMA: &str = r#"{
    "type": "object",
    "properties": {
        "remark": { "description": "The first line of each note.", "type": "string", "default": "" }
    }
}"#;

/// The plan: the one file that should exist.
#[derive(serde::Serialize)]
struct Note {
    path: PathBuf,
    text: String,
}

impl Plugin for Notes {
    const MANUAL: Manual =
        Manual::new("notes", "0.3.2", "takes a note of every attachment", SCHEMA);
    type Executor = Folder;

    fn plan(&self, call: &Call, addresses: &Addresses) -> Result<(Note, AddResult)> {
        let attachment = call.attachment()?;
        let mut text = format!("{}\n", self.remark);
        for ip in addresses.ips() {
            text += &format!("{}\n", ip.address);
        }
        let interface = Interface {
            name: attachment.ifname.to_string(),
            sandbox: call.netns.clone().unwrap_or_default(),
            ..Interface::default()
        };
        let result = addresses.clone().into_result(call, vec![interface], 0);
        Ok((Note { path: folder(&call.network).join(file_name(attachment)), text }, result))
    }
}

/// Where the notes of a network are.
fn folder(network: &NetworkName) -> PathBuf {
    std::env::temp_dir().join("cni-notes").join(network.as_str())
}

/// The name of an attachment's note. Neither part can have a colon in it, so no two attachments
/// share a name.
fn file_name(attachment: &Attachment) -> String {
    format!("{}:{}", attachment.container, attachment.ifname)
}

/// Carries out plans: all that this plugin does to the world.
struct Folder;

impl Executor for Folder {
    type Plan = Note;
    type Ready = ();

    fn apply(note: &Note, (): &mut (), _result: &mut AddResult) -> Result<()> {
        let say = || format!("make {}", note.path.display());
        fs::create_dir_all(note.path.with_file_name("")).context(say)?;
        let mut file = fs::File::create_new(&note.path).context(say)?;
        let written = file.write_all(note.text.as_bytes()).context(say);
        if written.is_err() {
            Folder::remove(note, None)?;
        }
        written
    }

    fn diff(note: &Note) -> Result<Vec<String>> {
        let path = note.path.display();
        match fs::read_to_string(&note.path) {
            Ok(text) if text == note.text => Ok(Vec::new()),
            Ok(text) => Ok(vec![format!("{path} says {text:?} instead of {:?}", note.text)]),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Ok(vec![format!("{path} is gone")])
            }
            Err(error) => Err(error).context(|| format!("read {path}")),
        }
    }

    fn repair(note: &Note) -> Result<Vec<String>> {
        let differences = Folder::diff(note)?;
        if !differences.is_empty() {
            fs::write(&note.path, &note.text)
                .context(|| format!("write {}", note.path.display()))?;
        }
        Ok(differences)
    }

    fn remove(note: &Note, _held: Option<&[IpAddr]>) -> Result<()> {
        match fs::remove_file(&note.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            done => done.context(|| format!("remove {}", note.path.display())),
        }
    }

    fn collect(call: &Call) -> Result<()> {
        let wanted: Vec<String> = call.valid.iter().map(file_name).collect();
        let folder = folder(&call.network);
        let notes = match fs::read_dir(&folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            notes => notes.context(|| format!("list {}", folder.display()))?,
        };
        for note in notes {
            let path = note.context(|| format!("list {}", folder.display()))?.path();
            let is_wanted = wanted.iter().any(|name| path.file_name() == Some(name.as_ref()));
            if !is_wanted {
                fs::remove_file(&path).context(|| format!("remove {}", path.display()))?;
            }
        }
        Ok(())
    }
}
