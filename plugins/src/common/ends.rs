//! The two ends of an attachment's veth pair.

use kernel::Place::Pod;
use kernel::{Mac, Peer, Plan, Veth};
use libcni::{Call, Error, Interface, Result, Verb, json};

/// The names and MAC addresses of an attachment's veth pair.
///
/// They derive from the attachment, unless the `prevResult` names others: then another suite made
/// the pair, and this suite manages it all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ends {
    /// The name of the host's end.
    pub host: String,
    /// The MAC address of the host's end.
    pub host_mac: Mac,
    /// The name of the container's end.
    pub pod: String,
    /// The MAC address of the container's end.
    pub pod_mac: Mac,
    /// The MTU of the container's end in the `prevResult`: another plugin of the chain may have
    /// lowered it. 0 if the result does not state it.
    mtu: u32,
}

impl Ends {
    /// The ends of a call's attachment. `wanted` is the MAC that the configuration requests;
    /// `shared` names links on the host that do not belong to this attachment, such as the bridge.
    ///
    /// # Errors
    ///
    /// As [`plan_of`](super::plan_of).
    pub fn of(call: &Call, plan: &Plan, wanted: Option<Mac>, shared: &[&str]) -> Result<Ends> {
        let pod = call.attachment()?.ifname.to_string();
        let was_pod = was(call, |interface| !interface.sandbox.is_empty() && interface.name == pod);
        // The name distinguishes it from other host links that a result may list: bridges, or links
        // that a chained plugin added.
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

    /// The veth pair. The host's end is a port of `master` if one is given.
    pub fn veth(&self, mtu: u32, master: Option<&str>) -> Veth {
        Veth {
            name: self.host.clone(),
            mac: self.host_mac,
            // An MTU that another plugin has lowered stays under that plugin's control.
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
            // A preview may lack a namespace; but without a sandbox, later plugins of the chain
            // would treat it as a link of the host.
            sandbox: call.netns.clone().unwrap_or_else(|| "POD".to_owned()),
            ..Interface::default()
        }
    }
}

/// The requested MAC address of the container: the first of `given` (set by the runtime) that is
/// not empty, else `MAC=` in `CNI_ARGS`, else `configured`.
///
/// # Errors
///
/// Returns an error if it is not a valid MAC address, and at ADD if `CNI_ARGS` are malformed or
/// unknown.
pub fn wanted_mac(
    call: &Call,
    given: &[Option<&str>],
    configured: Option<&str>,
) -> Result<Option<Mac>> {
    if matches!(call.verb, Verb::Add | Verb::Plan) {
        let plugin = json::get(&call.config, "type").and_then(|kind| kind.as_str());
        call.known_args(plugin.unwrap_or("the plugin"), &["MAC"])?;
    }
    let given = given.iter().copied().chain([call.arg("MAC"), configured]).flatten();
    let Some(text) = given.into_iter().find(|text| !text.is_empty()) else { return Ok(None) };
    let Some(mac) = Mac::parse(text) else {
        return Err(Error::config(format!("invalid MAC address: {text}"))
            .details("write it as 02:00:5e:10:00:01"));
    };
    match mac.obstacle() {
        None => Ok(Some(mac)),
        Some(why) => Err(Error::config(format!("invalid MAC address: {text}: {why}")).details(
            "Use a unicast address, whose first byte is even, such as 02:00:5e:10:00:01.",
        )),
    }
}

/// The name and the MAC address of an interface in the previous result.
fn was(call: &Call, is_it: impl Fn(&Interface) -> bool) -> Option<(String, Mac)> {
    let interface = found(call, is_it)?;
    Some((interface.name.clone(), Mac::parse(&interface.mac)?))
}

fn found(call: &Call, is_it: impl Fn(&Interface) -> bool) -> Option<&Interface> {
    call.prev.as_ref()?.interfaces.iter().find(|interface| is_it(interface))
}
