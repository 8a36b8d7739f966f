//! Records which plugins a runtime calls, and how.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::Machine;
use crate::machine::PLUGINS;

/// A directory of scripts that record the call and then execute the installed plugin.
#[derive(Debug)]
pub struct Recorder(PathBuf);

impl Recorder {
    /// One script for each installed plugin.
    pub fn new(machine: &Machine) -> Recorder {
        let recorder = Recorder(machine.folder("recorder"));
        let calls = recorder.file();
        let script = format!(
            "#!/bin/sh\nname=${{0##*/}}\necho \"$CNI_COMMAND $name $CNI_NETNS\" >>{}\nexec \
             {PLUGINS}/$name\n",
            calls.display()
        );
        for plugin in fs::read_dir(PLUGINS).unwrap() {
            let file = recorder.0.join(plugin.unwrap().file_name());
            fs::write(&file, &script).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        }
        recorder
    }

    /// The directory of the scripts.
    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// The calls so far, in order: the command, the plugin, and the namespace.
    pub fn calls(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.file()).unwrap_or_default();
        calls.lines().map(|line| line.trim_end().to_owned()).collect()
    }

    fn file(&self) -> PathBuf {
        self.0.with_extension("calls")
    }
}
