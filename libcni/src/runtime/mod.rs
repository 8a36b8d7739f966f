//! What container runtimes need: find a network's configuration, run its plugins in order, remember the results.
//!
//! ```no_run
//! use libcni::runtime::{Cache, NetworkList, Runtime, RuntimeConf};
//! use libcni::{ContainerId, IfName};
//!
//! let network = NetworkList::find("/etc/cni/net.d".as_ref(), "mynet")?;
//! let runtime = Runtime::new(vec!["/opt/cni/bin".into()], Cache::default());
//! let conf = RuntimeConf::new(ContainerId::new("c1")?, IfName::new("eth0")?, "/run/netns/c1");
//! let result = runtime.add(&network, &conf)?;
//! println!("{:?}", result.ips);
//! runtime.del(&network, &conf)?;
//! # Ok::<(), libcni::Error>(())
//! ```

mod base64;
mod cache;
mod chain;
mod conf;
mod folder;
mod gc;
mod ours;
mod request;
mod version;

pub use cache::{Cache, Cached, Entry};
pub use chain::Runtime;
pub use conf::{NetworkList, PluginConf};
pub use request::RuntimeConf;
pub use version::Spoken;
