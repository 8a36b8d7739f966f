use std::io::Read;

use netlink_packet_route::link::InfoBridge;
use rtnetlink::{LinkBridge, LinkMessageBuilder};
use serde::{Deserialize, Serialize};

use super::{At, Kind, Place, Sysctl, Undo, ip};
use crate::error::{Doing, Error, Result};
use crate::link::{self, Link};
use crate::owner::Mac;
use crate::side::Sides;

/// A bridge (`ip link add NAME type bridge`). It is made down; [`Up`](super::Up) brings it up.
///
/// One that is there already is used as it is, except that VLAN filtering is switched on if it is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bridge {
    /// Its name.
    pub name: String,
    /// The largest packet in bytes, when it is made; 0 leaves it to the kernel.
    pub mtu: u32,
    /// Whether ports see only the VLANs they are members of.
    pub vlan_filtering: bool,
    /// Whether it receives every frame.
    pub promiscuous: bool,
}

impl Kind for Bridge {
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
        let link = match at.side()?.link(&self.name)? {
            Some(link) => {
                // Nobody uses it yet: its maker may not have come further than this.
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
            at.side()?.queue(link::set(
                format!("switch on VLAN filtering of {}", self.name),
                message.build(),
            ));
        }
        if self.promiscuous && !link.promiscuous {
            let message = link::with_index(link.index).promiscuous(true).build();
            at.side()?.queue(link::set(format!("make {} promiscuous", self.name), message));
        }
        Ok(())
    }

    fn diff(&self, at: &mut At<'_>) -> Result<Vec<String>> {
        let Some(link) = at.side()?.link(&self.name)? else {
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
}

impl Bridge {
    /// Whether a bridge of this name is there or could be made.
    ///
    /// # Errors
    ///
    /// The name belongs to something else.
    pub fn usable(&self) -> Result<()> {
        let link = Sides::host_only()?.host.link(&self.name)?;
        link.map_or(Ok(()), |link| self.check_kind(&link))
    }

    /// Makes the bridge; another call may do so at the same time.
    fn create(&self, at: &mut At<'_>) -> Result<Link> {
        let action = format!("create the bridge {}", self.name);
        let mut message =
            LinkMessageBuilder::<LinkBridge>::new(&self.name).address(random_mac()?.0.to_vec());
        if self.mtu != 0 {
            message = message.mtu(self.mtu);
        }
        if self.vlan_filtering {
            message = message.append_info_data(InfoBridge::VlanFiltering(true));
        }
        match at.side()?.now(link::create(action, message.build())) {
            Ok(()) => {
                at.undo.push(Undo::SharedLink(self.name.clone()));
                self.skip_detection(at)?;
            }
            Err(error) if error.is_taken() => {}
            Err(error) => return Err(error),
        }
        at.side()?.existing(&self.name)
    }

    /// Nobody else has its new address, and without its link-local one a bridge cannot ask for neighbours on behalf of
    /// others: it must not wait a second for that.
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
        .hint(format!(
            "choose another name for \"bridge\", or remove the interface: ip link del {}",
            self.name
        )))
    }
}

/// A bridge gets a MAC address of its own when it is made: otherwise it takes the lowest of its ports' and changes it
/// as they come and go, and with it everybody's idea of the gateway. It is not derived from the name, because many
/// machines of one link layer have a bridge of that name.
fn random_mac() -> Result<Mac> {
    let mut mac = [0; 6];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut mac))
        .doing(|| "read /dev/urandom")?;
    let [first, ..] = &mut mac;
    *first = (*first & 0xfc) | 0x02;
    Ok(Mac(mac))
}
