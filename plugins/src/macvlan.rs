//! `macvlan` connects a container to the network of a link of the host, the parent. The container
//! has a MAC address of its own, as if it had a cable to the same switch.
//!
//! ```json
//! {
//!   "cniVersion": "1.1.0",
//!   "name": "lan",
//!   "type": "macvlan",
//!   "master": "eth1",
//!   "hostAccess": true,
//!   "hostRoutes": ["10.96.0.0/12"],
//!   "ipam": {
//!     "type": "host-local",
//!     "ranges": [[{
//!       "subnet": "192.168.7.0/24",
//!       "rangeStart": "192.168.7.128",
//!       "gateway": "192.168.7.1"
//!     }]],
//!     "routes": [{ "dst": "0.0.0.0/0" }]
//!   }
//! }
//! ```
//!
//! Containers reach each other and every host on the network, but a parent never exchanges packets
//! with its own children: containers reach neither their host nor what is behind it, such as a
//! cluster's services. `hostAccess` and `hostRoutes` change that with a second macvlan link, which
//! belongs to the host; the parent stays unchanged.

mod host_access;
mod hypervisor;

use crate::common::mac::{Args, RuntimeConfig};
use crate::common::{
    Ends, Linux, Parent, Subnet, Sweeps, check_gateway, into_cni, network_plan_of, plan_announced,
    plan_interface, plan_of, unavailable, unless_deleting, wanted_mac,
};
use host_access::HostAccess;
use kernel::Place::{Host, Pod};
use kernel::{Mac, Macvlan as Link, MacvlanMode, Plan, Swept};
use libcni::{AddResult, Addresses, Call, Error, Manual, Result, Verb};
use serde::Deserialize;

/// Serves one call of the protocol.
pub fn run() -> std::process::ExitCode {
    libcni::run::<Macvlan>()
}

/// The configuration of a `macvlan` network.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Macvlan {
    /// The parent: the link whose network the containers are on. If not given, the link of the
    /// first IPv4 default route.
    master: Option<String>,
    /// How the containers of a parent reach each other: bridge (directly; if not given), vepa,
    /// private or passthru.
    #[cfg_attr(test, schemars(extend("enum" = ["bridge", "vepa", "private", "passthru", null])))]
    mode: Option<String>,
    /// The largest packet, in bytes, at most the parent's. 0 is the parent's.
    mtu: u32,
    /// The MAC address of the container's interface.
    #[cfg_attr(test, schemars(extend("format" = "mac")))]
    mac: Option<String>,
    /// The parent is a link of the container, not of the host.
    link_in_container: bool,
    /// The length of the parent's queue of broadcasts to its containers. 0 leaves it to the kernel.
    #[serde(rename = "bcqueuelen")]
    bc_queue_len: u32,
    /// Lets the host and the containers reach each other.
    host_access: bool,
    /// Destinations that the containers reach through the host, such as a cluster's service range.
    #[cfg_attr(test, schemars(extend("items" = { "type": "string", "format": "network" })))]
    host_routes: Option<Vec<String>>,
    /// Makes the parent promiscuous while the container exists: some switches and cards pass its
    /// frames only then.
    promiscuous: bool,
    args: Args,
    runtime_config: RuntimeConfig,
}

impl Sweeps for Macvlan {
    const SWEPT: &'static [Swept] = &[
        Swept::of::<kernel::Neighbours>(),
        Swept::of::<kernel::Shim>(),
        Swept::of::<kernel::Macvlan>(),
    ];
}

impl libcni::Plugin for Macvlan {
    const MANUAL: Manual = Manual::new(
        "macvlan",
        env!("CARGO_PKG_VERSION"),
        "connects a container to the network of a host link, with a MAC address of its own",
        include_str!("macvlan.schema.json"),
    )
    .of_suite("ferrocni")
    .standing_for(ipam::REFERENCE);
    type Executor = Linux<Self>;

    fn plan(&self, call: &Call, addresses: &Addresses) -> Result<(Plan, AddResult)> {
        let mode = unless_deleting(call, self.mode())?.unwrap_or(MacvlanMode::Bridge);
        let mut parent = self.parent(call)?;
        // A preview may lack a namespace. One check is enough: ADD first asks for a plan without
        // addresses.
        let is_unseen = self.link_in_container && call.netns.is_none();
        let is_first = call.verb == Verb::Add && addresses.is_empty();
        if is_first || (call.verb == Verb::Plan && !is_unseen) {
            self.check_parent(&mut parent, mode).map_err(ParentError::into_cni)?;
        }
        let wanted = unless_deleting(call, self.mac(call, &parent, mode))?.flatten();
        let access = unless_deleting(call, self.access(call, &mut parent, mode, addresses))?;
        let access = access.flatten();
        let mut plan = plan_of(call)?;
        let ends = Ends::of(call, &plan, wanted, &[])?;

        // ip link add link eth1 name eth0 netns POD address 02:.. type macvlan mode bridge
        plan.own(Pod, self.link(&ends, &parent, mode));
        if call.verb == Verb::Plan {
            plan.because(self.advice(&parent));
        }
        if let Some(access) = &access {
            access.check_repair(call)?;
            access.plan_host(&mut plan, call, &ends, addresses, self.mtu);
        }
        plan_interface(&mut plan, &ends.pod, addresses, Subnet::OnLink, false);
        if !addresses.is_empty() {
            plan_announced(&mut plan, &ends, addresses);
        }
        if let Some(access) = &access {
            // After the announcement, because it makes the kernel forget all neighbours.
            access.plan_pod(&mut plan, &ends, addresses);
            access.plan_forwarding(&mut plan, addresses);
        }
        let result = addresses.clone().into_result(call, vec![ends.interface(call)], 0);
        Ok((plan, result))
    }

    /// STATUS does not fail for a parent that is down: ADD works, and traffic starts when the
    /// parent comes up.
    fn status(&self, call: &Call) -> Result<()> {
        let mode = self.mode()?;
        kernel::makes("macvlan").map_err(unavailable)?;
        let mut parent = self.parent(call)?;
        // The parent in a container is unknown: STATUS names no container.
        if !self.link_in_container {
            self.check_parent(&mut parent, mode).map_err(ParentError::into_status)?;
        }
        match self.access(call, &mut parent, mode, &Addresses::default())? {
            Some(access) => {
                let mut plan = network_plan_of(call);
                plan.share(Host, access.silence());
                plan.settable().map_err(unavailable)?;
                check_gateway(call, "default", |is_ipv4| access.leads_on(is_ipv4))
            }
            None => Ok(()),
        }
    }
}

/// The reason why a parent cannot be used.
enum ParentError {
    /// The parent does not exist, or the configuration does not fit it.
    Ours(Error),
    /// The parent cannot carry macvlan links.
    Kernel(kernel::Error),
}

impl ParentError {
    fn into_cni(self) -> Error {
        match self {
            ParentError::Ours(error) => error,
            ParentError::Kernel(error) => into_cni(error),
        }
    }

    fn into_status(self) -> Error {
        match self {
            ParentError::Ours(error) => error.with_code(libcni::Code::UNAVAILABLE),
            ParentError::Kernel(error) => unavailable(error),
        }
    }
}

impl Macvlan {
    fn mode(&self) -> Result<MacvlanMode> {
        match self.mode.as_deref() {
            None | Some("") => Ok(MacvlanMode::Bridge),
            Some(name) => MacvlanMode::parse(name).ok_or_else(|| {
                Error::config(format!("unknown macvlan mode: \"{name}\""))
                    .details("mode is \"bridge\", \"private\", \"vepa\" or \"passthru\"")
            }),
        }
    }

    fn parent(&self, call: &Call) -> Result<Parent> {
        let master = self.master.as_deref().filter(|name| !name.is_empty());
        Parent::find(call, master, self.link_in_container)
    }

    /// Checks that the parent exists, fits, and can carry a link of this mode.
    fn check_parent(&self, parent: &mut Parent, mode: MacvlanMode) -> Result<(), ParentError> {
        let link = parent.link().map_err(ParentError::Ours)?.clone();
        if self.mtu > link.mtu {
            let (mtu, most) = (self.mtu, link.mtu);
            let msg = format!("invalid MTU {mtu}, must be [0, master MTU({most})]");
            return Err(ParentError::Ours(Error::config(msg)));
        }
        let survey = parent.survey();
        survey.map_or(Ok(()), |survey| {
            survey.carries_macvlan(&link, mode).map_err(ParentError::Kernel)
        })
    }

    /// Advice for the operator about the parent; empty if nothing is wrong.
    fn advice(&self, parent: &Parent) -> String {
        match &parent.link {
            Some(link) if !link.up => format!(
                "{} is down: the container reaches nothing until \"ip link set {} up\"",
                link.name, link.name
            ),
            Some(link) => hypervisor::advice(link).to_owned(),
            None => String::new(),
        }
    }

    /// The requested MAC address of the container. The runtime's value has priority.
    fn mac(&self, call: &Call, parent: &Parent, mode: MacvlanMode) -> Result<Option<Mac>> {
        let given = [self.runtime_config.mac.as_deref(), self.args.cni.mac.as_deref()];
        let wanted = wanted_mac(call, &given, self.mac.as_deref())?;
        let of_parent = parent.link.as_ref().and_then(|link| link.mac);
        match (mode, wanted) {
            (MacvlanMode::Passthru, Some(mac))
                if of_parent.is_some_and(|of_parent| of_parent != mac) =>
            {
                Err(Error::config(format!("in mode passthru the MAC address cannot be {mac}"))
                    .details(
                        "The container gets the parent's MAC address; to change it, run \"ip \
                         link set dev PARENT address ..\"",
                    ))
            }
            (MacvlanMode::Passthru, _) => Ok(of_parent),
            (_, Some(mac)) if of_parent == Some(mac) => {
                Err(Error::config(format!("the MAC address {mac} is the parent's own"))
                    .details("Give the container another one, or use mode passthru"))
            }
            (_, wanted) => Ok(wanted),
        }
    }

    fn link(&self, ends: &Ends, parent: &Parent, mode: MacvlanMode) -> Link {
        Link {
            name: ends.pod.clone(),
            parent: parent.name.clone(),
            parent_place: parent.place,
            mac: ends.pod_mac,
            mtu: self.mtu,
            mode,
            bc_queue_len: self.bc_queue_len,
            promiscuous: self.promiscuous,
        }
    }

    /// The access between the container and the host, if the configuration requests it. DEL always
    /// looks for what ADD may have made.
    fn access(
        &self,
        call: &Call,
        parent: &mut Parent,
        mode: MacvlanMode,
        addresses: &Addresses,
    ) -> Result<Option<HostAccess>> {
        let routes = self.host_routes.as_deref().unwrap_or_default();
        let is_wanted = self.host_access || !routes.is_empty();
        if !is_wanted && call.verb != Verb::Del {
            return Ok(None);
        }
        let access = HostAccess::of(call, parent, self.host_access)?;
        if call.verb == Verb::Del {
            return Ok(Some(access));
        }
        let key = if self.host_access { "hostAccess" } else { "hostRoutes" };
        let refused = |why: &str| Err(Error::config(format!("{key} {why}")));
        if mode != MacvlanMode::Bridge {
            return refused(
                "needs mode bridge: in the other modes, containers do not reach links of their \
                 own parent",
            );
        }
        if self.link_in_container {
            return refused(
                "does not go with linkInContainer: the host has no part in that network",
            );
        }
        if call.ipam_type().is_none() && addresses.is_empty() {
            return refused("needs ipam: without addresses there is nothing to reach");
        }
        access.with_routes(routes, addresses).map(Some)
    }
}

#[test]
fn the_manual_is_true() {
    testbed::assert_manual(
        include_str!("macvlan.rs"),
        &schemars::schema_for!(Macvlan).to_value(),
        <Macvlan as libcni::Plugin>::MANUAL.schema,
        concat!(env!("CARGO_MANIFEST_DIR"), "/src/macvlan.schema.json"),
    );
}
