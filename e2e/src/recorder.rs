//! Which plugins a runtime calls, and how.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::Machine;
use crate::machine::PLUGINS;

/// A folder of plugins that write down how they are called before they become the installed ones.
#[derive(Debug)]
pub struct Recorder(PathBuf);

impl Recorder {
    /// One for each installed plugin.
    pub fn new(machine: &Machine) -> Recorder {
        let recorder = Recorder(machine.folder("recorder"));
        let calls = recorder.file();
        let script = format!(
            "#!/bin/sh\nname=${{0##*/}}\necho \"$CNI_COMMAND $name $CNI_NETNS\" >>{}\nexec {PLUGINS}/$name\n",
            calls.display()
        );
        for plugin in fs::read_dir(PLUGINS).unwrap() {
            let file = recorder.0.join(plugin.unwrap().file_name());
            fs::write(&file, &script).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        }
        recorder
    }

    /// Where the plugins are.
    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// The calls so far, in their order: the verb, the plugin, and the namespace.
    pub fn calls(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.file()).unwrap_or_default();
        calls.lines().map(|line| line.trim_end().to_owned()).collect()
    }

    fn file(&self) -> PathBuf {
        self.0.with_extension("calls")
    }
}
