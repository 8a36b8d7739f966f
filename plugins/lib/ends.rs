//! The two ends of an attachment's wire.

use kernel::Place::Pod;
use kernel::{Mac, Peer, Plan, Veth};
use libcni::{Call, Error, Interface, Result, Verb};

/// The names and MAC addresses of an attachment's veth pair.
///
/// They derive from the attachment, unless a `prevResult` says that it has others: then another suite made it, and it
/// is looked after all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ends {
    /// The host's end's name.
    pub host: String,
    /// The host's end's MAC address.
    pub host_mac: Mac,
    /// The container's end's name.
    pub pod: String,
    /// The container's end's MAC address.
    pub pod_mac: Mac,
    /// The MTU that a `prevResult` says the container's end has: another plugin of the chain may have lowered it. 0 if it
    /// says nothing.
    mtu: u32,
}

impl Ends {
    /// The ends of a call's attachment. `wanted` is the MAC that the configuration asks for; `shared` names links on
    /// the host that are not this attachment's (the bridge).
    ///
    /// # Errors
    ///
    /// As [`plan_of`](crate::plan_of).
    pub fn of(call: &Call, plan: &Plan, wanted: Option<Mac>, shared: &[&str]) -> Result<Ends> {
        let pod = call.attachment()?.ifname.to_string();
        let was_pod = was(call, |interface| !interface.sandbox.is_empty() && interface.name == pod);
        // The name tells it from other links on the host that a result may list: bridges, or what a chain added.
        let mtu = found(call, |interface| !interface.sandbox.is_empty() && interface.name == pod)
            .map_or(0, |interface| interface.mtu);
        let was_host = was(call, |interface| {
            interface.sandbox.is_empty()
                && interface.name.starts_with("veth")
                && !shared.contains(&interface.name.as_str())
        });
        let (host, host_mac) =
            was_host.unwrap_or_else(|| (plan.owner.host_ifname(), plan.owner.mac("host")));
        let pod_mac =
            was_pod.map(|(_, mac)| mac).or(wanted).unwrap_or_else(|| plan.owner.mac("pod"));
        Ok(Ends { host, host_mac, pod, pod_mac, mtu })
    }

    /// The pair itself, the host's end a port of `master` if there is one.
    pub fn veth(&self, mtu: u32, master: Option<&str>) -> Veth {
        Veth {
            name: self.host.clone(),
            mac: self.host_mac,
            // What another plugin has lowered is its business from then on.
            mtu: if self.mtu != 0 && self.mtu < mtu { 0 } else { mtu },
            master: master.map(str::to_owned),
            peer: Peer { place: Pod, name: self.pod.clone(), mac: self.pod_mac },
        }
    }

    /// The host's end in a result.
    pub fn host_interface(&self) -> Interface {
        Interface {
            name: self.host.clone(),
            mac: self.host_mac.to_string(),
            ..Interface::default()
        }
    }

    /// The container's end in a result.
    pub fn interface(&self, call: &Call) -> Interface {
        Interface {
            name: self.pod.clone(),
            mac: self.pod_mac.to_string(),
            // A preview may be without a namespace; but without a sandbox, plugins later in the chain would take it for a link
            // of the host's.
            sandbox: call.netns.clone().unwrap_or_else(|| "POD".to_owned()),
            ..Interface::default()
        }
    }
}

/// The MAC that somebody wants the container to have: the first of `given` (the runtime's own word) that is not empty, else
/// `MAC=` in `CNI_ARGS`, else `configured`.
///
/// # Errors
///
/// It is none; and, on ADD, `CNI_ARGS` that are malformed or unknown.
pub fn wanted_mac(
    call: &Call,
    given: &[Option<&str>],
    configured: Option<&str>,
) -> Result<Option<Mac>> {
    if matches!(call.verb, Verb::Add | Verb::Plan) {
        call.known_args(&["MAC"])?;
    }
    let given = given.iter().copied().chain([call.arg("MAC"), configured]).flatten();
    let Some(text) = given.into_iter().find(|text| !text.is_empty()) else { return Ok(None) };
    Mac::parse(text).map(Some).ok_or_else(|| {
        Error::config(format!("invalid MAC address: {text}"))
            .details("write it as 02:00:5e:10:00:01")
    })
}

/// What the previous result says of an interface.
fn was(call: &Call, is_it: impl Fn(&Interface) -> bool) -> Option<(String, Mac)> {
    let interface = found(call, is_it)?;
    Some((interface.name.clone(), Mac::parse(&interface.mac)?))
}

fn found(call: &Call, is_it: impl Fn(&Interface) -> bool) -> Option<&Interface> {
    call.prev.as_ref()?.interfaces.iter().find(|interface| is_it(interface))
}
