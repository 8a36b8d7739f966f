//! Calls that are made in memory, for tests of plans.

use std::cell::Cell;

use serde_json::Value;

use super::call_of;
use crate::env::Env;
use crate::{Call, Error, Result, SUPPORTED, Verb, Version};

impl Call {
    /// A call for a test, read from a configuration as a plugin reads it: of the container `c1`,
    /// its interface `eth0` and its namespace `/run/netns/a`. If the configuration has no
    /// `cniVersion` or `name`, they are the newest version and `pods`.
    ///
    /// ```
    /// # fn main() -> libcni::Result<()> {
    /// let config = serde_json::json!({ "type": "notes" });
    /// let call = libcni::Call::example(libcni::Verb::Add, config)?;
    /// assert_eq!(call.attachment()?.ifname.as_str(), "eth0");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns the error that a plugin prints for such a configuration.
    pub fn example(verb: Verb, mut config: Value) -> Result<Call> {
        if let Value::Object(keys) = &mut config {
            keys.entry("cniVersion").or_insert_with(|| Version::CURRENT.to_string().into());
            keys.entry("name").or_insert_with(|| "pods".into());
        }
        let given = |text: &str| Some(text.to_owned());
        let env = Env {
            container: given("c1"),
            ifname: given("eth0"),
            netns: given("/run/netns/a"),
            path: given("/opt/cni/bin"),
            ..Env::default()
        };
        let spoken = Cell::new(Version::CURRENT);
        let call =
            call_of(verb.as_str(), &env, &SUPPORTED, &mut || Ok(config.clone().into()), &spoken)?;
        call.ok_or_else(|| Error::config("GC without a list of valid attachments does nothing"))
    }
}
