//! The MTUs of links that another plugin made. All containers of a network on one bridge, and the
//! bridge, have the same MTU: a bridge silently drops packets larger than a port's MTU.

use kernel::Place::{Host, Pod};
use kernel::{Link, Mtu, Plan, Survey};
use libcni::{AddResult, Call, Interface, Verb};

use crate::common::{Ends, Previous};

/// Plans the MTUs of the links that the earlier plugins made, and changes them in the result.
///
/// # Errors
///
/// Returns an error if the kernel cannot be queried.
pub fn plan(plan: &mut Plan, call: &Call, prev: &mut Previous, mtu: u32) -> kernel::Result<()> {
    let Previous { result, ends, .. } = prev;
    let mut fitting = Fitting::new(call, plan, ends, mtu, result)?;
    // Results of the first versions of CNI name no interfaces.
    if result.interfaces.is_empty() {
        plan.own(Pod, Mtu::at_most(&ends.pod, mtu));
    }
    for interface in &mut result.interfaces {
        fitting.plan(plan, ends, interface)?;
    }
    Ok(())
}

/// The MTUs that fit the links.
struct Fitting {
    host: Survey,
    pod: Option<Survey>,
    /// The largest MTU on links with the containers of the bridge: the tunnel's, unless other
    /// containers still have another MTU.
    most: u32,
    /// The MTU of the container's link.
    of_pod: u32,
    /// Whether the other end of the container's link must have exactly the same MTU.
    is_known: bool,
}

impl Fitting {
    /// Queries the links. In a preview, the links and perhaps the namespace do not exist yet.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel cannot be queried.
    fn new(
        call: &Call,
        plan: &Plan,
        ends: &Ends,
        mtu: u32,
        result: &AddResult,
    ) -> kernel::Result<Fitting> {
        let mut host = Survey::host()?;
        let mut pod = call.netns.as_deref().and_then(|path| Survey::pod(path.as_ref()).ok());
        let mut most = mtu;
        for interface in result.interfaces.iter().filter(|it| it.sandbox.is_empty()) {
            let Some(bridge) = host.link(&interface.name)?.filter(is_bridge) else { continue };
            let of_others = match call.verb {
                Verb::Add => host.mtu_of_others(&bridge, mtu, &plan.owner)?,
                _ => None,
            };
            most = of_others.unwrap_or_else(|| most.min(bridge.original_mtu()));
        }
        let link = pod.as_mut().map_or(Ok(None), |pod| pod.link(&ends.pod))?;
        let of_pod = link.as_ref().map_or(most, |link| link.original_mtu().min(most));
        let is_known = call.verb != Verb::Add && link.is_some_and(|link| link.is_fitted());
        Ok(Fitting { host, pod, most, of_pod, is_known })
    }

    /// Plans the MTU of an interface, and states it in the result.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel cannot be queried.
    fn plan(
        &mut self,
        plan: &mut Plan,
        ends: &Ends,
        interface: &mut Interface,
    ) -> kernel::Result<()> {
        let (on_host, name) = (interface.sandbox.is_empty(), &interface.name);
        let survey = if on_host { Some(&mut self.host) } else { self.pod.as_mut() };
        let link = survey.map_or(Ok(None), |survey| survey.link(name))?;
        let is_kind = |kind| link.as_ref().is_some_and(|link| link.kind == kind);
        let mut object = Mtu::at_most(name, self.most);
        match on_host {
            true if *name == ends.host => {
                object = Mtu { exact: self.is_known, ..Mtu::at_most(name, self.of_pod) };
                plan.own(Host, object.clone()); // ip link set veth1a2b mtu 1480
            }
            true if is_kind("bridge") => {
                object.with_ports = true;
                plan.share(Host, object.clone()); // ip link set cni0 mtu 1480
                plan.because(
                    "the bridge would silently drop larger packets at the container's port",
                );
            }
            true if is_kind("veth") => {
                plan.share(Host, object.clone()); // ip link set cni0.100 mtu 1480
                plan.because(
                    "it routes to the bridge, or is the host's end of a container's veth pair",
                );
            }
            // ip -n POD link set eth0 mtu 1480
            false if *name == ends.pod => plan.own(Pod, object.clone()),
            _ => return Ok(()),
        }
        // A link that was made with a smaller MTU keeps it.
        let made = link.as_ref().map_or(interface.mtu, Link::original_mtu);
        interface.mtu = if made == 0 { object.most } else { made.min(object.most) };
        Ok(())
    }
}

fn is_bridge(link: &Link) -> bool {
    link.kind == "bridge"
}
