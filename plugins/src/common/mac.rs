//! The keys by which a runtime gives the MAC address of a container's interface.

use serde::Deserialize;

/// Arguments that the runtime passes to one plugin, by convention.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Args {
    pub cni: CniArgs,
}

/// Arguments for this plugin.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CniArgs {
    /// The MAC address of the container's interface.
    #[cfg_attr(test, schemars(extend("format" = "mac")))]
    pub mac: Option<String>,
}

/// Values that the runtime fills in for declared capabilities.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RuntimeConfig {
    /// The MAC address of the container's interface (capability "mac").
    #[cfg_attr(test, schemars(extend("format" = "mac")))]
    pub mac: Option<String>,
}
