//! The description of a plugin.

use crate::{SUPPORTED, Version};

/// The description of a plugin, for `--help`, `--version` and `VERSION`.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Manual {
    /// The plugin's type: the name of its file.
    pub name: &'static str,
    /// The plugin's own version, such as `env!("CARGO_PKG_VERSION")`.
    pub version: &'static str,
    /// The suite of the plugin, if it has a name.
    pub suite: &'static str,
    /// The release of the reference plugin of the same name whose features this plugin has; empty
    /// if it replaces none. Clients such as Nomad and nerdctl use it to decide which features to
    /// use.
    pub stands_for: &'static str,
    /// What it does, in one line.
    pub summary: &'static str,
    /// The JSON Schema of its configuration, which is also where `--help` finds the keys.
    pub schema: &'static str,
    /// The versions of the specification that it supports.
    pub versions: &'static [Version],
    /// What `NAME sync` does, in one line; empty if the plugin has nothing on a host beside its
    /// attachments.
    pub sync: &'static str,
}

impl Manual {
    /// The manual of a plugin that supports every version.
    pub const fn new(
        name: &'static str,
        version: &'static str,
        summary: &'static str,
        schema: &'static str,
    ) -> Manual {
        let versions = &SUPPORTED;
        Manual { name, version, suite: "", stands_for: "", summary, schema, versions, sync: "" }
    }

    /// The manual of a plugin of a suite.
    #[must_use]
    pub const fn of_suite(self, suite: &'static str) -> Manual {
        Manual { suite, ..self }
    }

    /// The manual of a plugin that replaces this release of the reference plugin.
    #[must_use]
    pub const fn standing_for(self, release: &'static str) -> Manual {
        Manual { stands_for: release, ..self }
    }

    /// The manual of a plugin that also knows `sync`, and what that does.
    #[must_use]
    pub const fn with_sync(self, sync: &'static str) -> Manual {
        Manual { sync, ..self }
    }
}
