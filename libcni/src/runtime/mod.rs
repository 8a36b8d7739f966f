//! The runtime's side of the protocol: finds a network's configuration, runs its plugins in order,
//! and caches the results.
//!
//! ```no_run
//! use libcni::runtime::{Cache, NetworkConfig, Runtime, AttachmentConfig};
//! use libcni::{ContainerId, IfName};
//!
//! let network = NetworkConfig::find("/etc/cni/net.d".as_ref(), "mynet")?;
//! let runtime = Runtime::new(vec!["/opt/cni/bin".into()], Cache::default());
//! let container = AttachmentConfig::new(ContainerId::new("c1")?, IfName::new("eth0")?, "/run/netns/c1");
//! match runtime.add(&network, &container) {
//!     Ok(result) => println!("{:?}", result.ips),
//!     // Plugins before the one that failed have made their part of the attachment.
//!     Err(error) => {
//!         runtime.undo(&network, &container)?;
//!         return Err(error);
//!     }
//! }
//! runtime.del(&network, &container)?;
//! # Ok::<(), libcni::Error>(())
//! ```

mod base64;
mod cache;
mod chain;
mod config;
mod folder;
mod gc;
mod named;
mod ours;
mod request;
mod result;
mod version;

pub use cache::{Cache, Cached, Entry};
pub use chain::Runtime;
pub use config::{NetworkConfig, PluginConfig};
pub use ours::Repaired;
pub use request::AttachmentConfig;
pub use version::Spoken;
