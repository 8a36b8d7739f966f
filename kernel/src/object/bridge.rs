use std::io::Read;

use netlink_packet_route::link::InfoBridge;
use nix::libc::EOPNOTSUPP;
use rtnetlink::{LinkBridge, LinkMessageBuilder};
use serde::Serialize;

use super::{At, Kind, Made, Place, Sysctl, ip};
use crate::error::{Doing, Error, Result};
use crate::handle::Handle;
use crate::handles::Handles;
use crate::kind::Applied;
use crate::link::{self, Link};
use crate::owner::Mac;

/// A bridge (`ip link add NAME type bridge`). It is created down; [`Up`](super::Up) sets it up.
///
/// An existing bridge is used as it is, except that VLAN filtering is enabled if necessary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Bridge {
    /// Its name.
    pub name: String,
    /// The MTU of a new bridge in bytes; 0 leaves it to the kernel.
    pub mtu: u32,
    /// Whether ports receive only frames of the VLANs that they are members of.
    pub vlan_filtering: bool,
    /// Whether it receives every frame.
    pub promiscuous: bool,
}

impl Kind for Bridge {
    fn name(&self) -> &'static str {
        "bridge"
    }

    fn show(&self, place: Place) -> String {
        let mut line = format!("{} link add {}", ip(place), self.name);
        if self.mtu != 0 {
            line += &format!(" mtu {}", self.mtu);
        }
        line += " type bridge";
        if self.vlan_filtering {
            line += " vlan_filtering 1";
        }
        if self.promiscuous {
            line += &format!(" && {} link set {} promisc on", ip(place), self.name);
        }
        line
    }

    fn apply(&self, at: &mut At<'_>) -> Result<()> {
        let link = match at.handle()?.link(&self.name)? {
            Some(link) => {
                // It is not in use yet: the call that created it may have ended here.
                if !link.up && link.kind == "bridge" {
                    self.skip_detection(at)?;
                }
                link
            }
            None => self.create(at)?,
        };
        self.check_kind(&link)?;
        if self.vlan_filtering && !link.vlan_filtering {
            let message =
                LinkBridge::new(&self.name).append_info_data(InfoBridge::VlanFiltering(true));
            let handle = at.handle()?;
            let done = handle.now(link::set(self.filter_action(), message.build()));
            done.map_err(|error| self.explain(handle, error))?;
        }
        if self.promiscuous && !link.promiscuous {
            let message = link::with_index(link.index).promiscuous(true).build();
            at.handle()?.queue(link::set(format!("make {} promiscuous", self.name), message));
        }
        Ok(())
    }

    fn diff(&self, at: &mut At<'_>) -> Result<Vec<String>> {
        let Some(link) = at.handle()?.link(&self.name)? else {
            return Ok(vec![format!("bridge {} is gone", self.name)]);
        };
        let mut differences = Vec::new();
        if let Err(error) = self.check_kind(&link) {
            differences.push(error.reason());
        }
        if self.vlan_filtering && !link.vlan_filtering {
            differences.push(format!("bridge {} does not filter VLANs", self.name));
        }
        if self.promiscuous && !link.promiscuous {
            differences.push(format!("bridge {} is not promiscuous", self.name));
        }
        Ok(differences)
    }

    fn observe(&self, at: &mut At<'_>, applied: &mut Applied) -> Result<()> {
        applied.add_shared(at, &self.name)
    }
}

/// The smallest MTU with which a link can have IPv6, in bytes (RFC 8200, section 5).
const IPV6_MIN_MTU: u32 = 1280;

impl Bridge {
    /// Checks that a bridge of this name exists or can be created with the wanted settings. Creates
    /// nothing.
    ///
    /// # Errors
    ///
    /// Returns an error if another kind of link has the name, or if the kernel does not support
    /// bridges, or no bridges that filter VLANs.
    pub fn usable(&self) -> Result<()> {
        let handle = &mut Handles::host_only()?.host;
        let link = handle.link(&self.name)?;
        if let Some(link) = &link {
            self.check_kind(link)?;
        } else if !knows_bridges(handle, &self.name)? {
            return Err(no_bridges(Error::errno(self.create_action(), EOPNOTSUPP)));
        }
        if self.vlan_filtering
            && !link.as_ref().is_some_and(|link| link.vlan_filtering)
            && !filters_vlans(handle)?
        {
            let action = if link.is_some() { self.filter_action() } else { self.create_action() };
            return Err(no_filtering(Error::errno(action, EOPNOTSUPP)));
        }
        Ok(())
    }

    fn create_action(&self) -> String {
        format!("create the bridge {}", self.name)
    }

    fn filter_action(&self) -> String {
        format!("enable VLAN filtering of {}", self.name)
    }

    /// Names what the kernel lacks, if that is the reason for its refusal.
    fn explain(&self, handle: &mut Handle, error: Error) -> Error {
        if error.errno != EOPNOTSUPP {
            return error;
        }
        match knows_bridges(handle, &self.name) {
            Ok(false) => no_bridges(error),
            Ok(true) if self.vlan_filtering && filters_vlans(handle) == Ok(false) => {
                no_filtering(error)
            }
            _ => error,
        }
    }

    /// Creates the bridge; another call may do so at the same time.
    fn create(&self, at: &mut At<'_>) -> Result<Link> {
        let mac = random_mac()?;
        let mut message = LinkMessageBuilder::<LinkBridge>::new(&self.name).address(mac.0.to_vec());
        if self.mtu != 0 {
            message = message.mtu(self.mtu);
        }
        if self.vlan_filtering {
            message = message.append_info_data(InfoBridge::VlanFiltering(true));
        }
        let created = at.handle()?.now(link::create(self.create_action(), message.build()));
        let made = Made::new(&self.name, mac).after(&created);
        made.into_iter().for_each(|made| at.undo_shared_link(made));
        let is_new = match created {
            Ok(()) => {
                self.skip_detection(at)?;
                true
            }
            Err(error) if error.is_taken() => false,
            Err(error) => return Err(self.explain(at.handle()?, error)),
        };
        let link = at.handle()?.existing(&self.name)?;
        // The kernel does not enable IPv6 on a link with a smaller MTU.
        if let Some(mac) = link.mac.filter(|_| is_new && link.mtu >= IPV6_MIN_MTU) {
            let handle = at.handle()?;
            handle.queue(super::address::link_local(&self.name, link.index, mac));
        }
        Ok(link)
    }

    /// No other host has its new address. Without a link-local address a bridge cannot send
    /// neighbour solicitations for others, which must not wait a second for the detection.
    fn skip_detection(&self, at: &mut At<'_>) -> Result<()> {
        Sysctl::optional(format!("ipv6/conf/{}/accept_dad", self.name), "0").apply(at)
    }

    fn check_kind(&self, link: &Link) -> Result<()> {
        if link.kind == "bridge" {
            return Ok(());
        }
        let kind = if link.kind.is_empty() { "a device" } else { &link.kind };
        Err(Error::found(
            format!("use the bridge {}", self.name),
            format!("\"{}\" already exists but is not a bridge (it is {kind})", self.name),
        )
        .hint("set \"bridge\" to a name that no interface has"))
    }
}

/// Whether the kernel supports bridges. The request has a MAC address that no link may have. A
/// kernel with bridges refuses the address; any other kernel refuses the kind. The kernel may load
/// the module, as for ADD, and creates nothing.
fn knows_bridges(handle: &mut Handle, name: &str) -> Result<bool> {
    let message = LinkMessageBuilder::<LinkBridge>::new(name).address(vec![0xff; 6]);
    match handle.now(link::create(format!("ask for the bridge {name}"), message.build())) {
        Err(error) if error.errno == EOPNOTSUPP => Ok(false),
        // ADD reports the kernel's reason for any other error.
        _ => Ok(true),
    }
}

/// Whether the kernel's bridges filter VLANs. The request has an invalid VLAN ID and a name that is
/// taken: a kernel that filters VLANs checks the VLAN ID first, and no kernel creates a bridge.
fn filters_vlans(handle: &mut Handle) -> Result<bool> {
    let message = LinkMessageBuilder::<LinkBridge>::new("lo")
        .append_info_data(InfoBridge::VlanDefaultPvid(NO_VLAN));
    match handle.now(link::create("ask for a bridge that filters VLANs", message.build())) {
        Err(error) if error.is_taken() => Ok(false),
        _ => Ok(true),
    }
}

/// An invalid VLAN ID.
const NO_VLAN: u16 = 0xffff;

fn no_bridges(error: Error) -> Error {
    error.said("this kernel does not support bridges").hint(
        "load the module on the host: modprobe bridge; if there is none, the kernel was built \
         without CONFIG_BRIDGE",
    )
}

fn no_filtering(error: Error) -> Error {
    error.said("the bridges of this kernel do not filter VLANs").hint(
        "leave out \"vlan\" and \"vlanTrunk\", or use a kernel with CONFIG_BRIDGE_VLAN_FILTERING",
    )
}

/// A new bridge gets a fixed MAC address: otherwise it takes the lowest address of its ports, and
/// changes with them the gateway's address that all neighbours know. It is not derived from the
/// name, because many hosts on one link layer have a bridge of that name.
fn random_mac() -> Result<Mac> {
    let mut mac = [0; 6];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut mac))
        .doing(|| "read /dev/urandom")?;
    let [first, ..] = &mut mac;
    *first = (*first & 0xfc) | 0x02;
    Ok(Mac(mac))
}
