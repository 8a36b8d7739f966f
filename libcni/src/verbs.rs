//! A plugin at the level of the protocol.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{AddResult, Call, Manual, Result, Verb};

/// A plugin at the level of the protocol: a method for each verb, `self` being its configuration.
///
/// Address management and other plugins that need full control implement this. A plugin that makes
/// kernel objects implements [`Plugin`](crate::Plugin) and gets this for free.
pub trait Verbs: DeserializeOwned {
    /// The plugin's manual.
    const MANUAL: Manual;

    /// The keys that DEL and GC require (`ipam.dataDir`). For all other keys, these two verbs
    /// ignore a value that they cannot read: a mistake made after ADD must not block the removal of
    /// what ADD made.
    const NEEDED: &'static [&'static str] = &[];

    /// ADD: join the container to the network.
    ///
    /// # Errors
    ///
    /// Returns the reason. The plugin must have rolled back what it made.
    fn add(&self, call: &Call) -> Result<AddResult>;

    /// CHECK: compares the attachment with what ADD made.
    ///
    /// # Errors
    ///
    /// Returns the differences.
    fn check(&self, call: &Call) -> Result<()>;

    /// DEL: undo ADD. An object that no longer exists is not an error.
    ///
    /// # Errors
    ///
    /// Names the objects that could not be removed.
    fn del(&self, call: &Call) -> Result<()>;

    /// GC: remove what belongs to attachments of the network that are not in [`Call::valid`].
    ///
    /// # Errors
    ///
    /// Names the objects that could not be removed.
    fn gc(&self, _call: &Call) -> Result<()> {
        Ok(())
    }

    /// STATUS: checks that the plugin can serve an ADD.
    ///
    /// # Errors
    ///
    /// Returns the reason, with [`Code::UNAVAILABLE`](crate::Code::UNAVAILABLE) or
    /// [`Code::LIMITED_CONNECTIVITY`](crate::Code::LIMITED_CONNECTIVITY).
    fn status(&self, _call: &Call) -> Result<()> {
        Ok(())
    }

    /// PLAN, a verb of ferrocni: returns what ADD would do and print, and changes nothing. By
    /// default the plugin does not know the verb, as plugins of other suites.
    ///
    /// # Errors
    ///
    /// Returns the error that ADD would return.
    fn preview(&self, call: &Call) -> Result<Preview> {
        Err(Verb::unknown(call.verb.as_str()))
    }

    /// REPAIR, a verb of ferrocni: restores what ADD made of a live attachment, and returns the
    /// repairs.
    ///
    /// # Errors
    ///
    /// Names the differences that could not be repaired.
    fn repair(&self, _call: &Call) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    /// SYNC, a verb of ferrocni: reconciles what the network has on this host, apart from its
    /// attachments, with the configuration, and returns the repairs.
    ///
    /// # Errors
    ///
    /// Names the differences that could not be repaired.
    fn sync(&self, _call: &Call) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
}

/// The output of PLAN: what ADD would do, and its result.
#[derive(Debug, Clone, Serialize, serde::Deserialize)]
#[non_exhaustive]
pub struct Preview {
    /// The plan in the executor's own terms; null for plugins that make nothing in the kernel.
    #[serde(default)]
    pub plan: Value,
    /// The result, as far as it is known before the ADD.
    pub result: AddResult,
    /// What is not known before the ADD, and why; empty if everything is known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unknown: String,
}

impl Preview {
    /// A preview of a plugin that makes no kernel objects.
    pub fn new(result: AddResult) -> Preview {
        Preview { plan: Value::Null, result, unknown: String::new() }
    }

    /// Replaces the plan.
    #[must_use]
    pub fn with_plan(mut self, plan: Value) -> Preview {
        self.plan = plan;
        self
    }

    /// Replaces the text about what is not known before the ADD.
    #[must_use]
    pub fn with_unknown(mut self, unknown: impl Into<String>) -> Preview {
        self.unknown = unknown.into();
        self
    }
}
