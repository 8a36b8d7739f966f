//! `bridge` connects a container to a bridge on the host with a veth pair, whose other end is the
//! container's interface. All containers of the bridge reach each other as if they shared a switch.
//!
//! ```json
//! {
//!   "cniVersion": "1.1.0",
//!   "name": "pods",
//!   "type": "bridge",
//!   "bridge": "cbr0",
//!   "isDefaultGateway": true,
//!   "ipMasq": true,
//!   "hairpinMode": true,
//!   "ipam": {
//!     "type": "host-local",
//!     "ranges": [[{ "subnet": "10.1.2.0/24" }], [{ "subnet": "fd00:1:2::/64" }]]
//!   }
//! }
//! ```
//!
//! The first ADD creates the bridge, and it remains after the last DEL. With `isGateway` it has the
//! gateway's addresses, and the host routes between the containers and all other networks.

mod gateways;

use std::collections::BTreeSet;

use crate::common::mac::{Args, RuntimeConfig};
use crate::common::{
    Ends, Linux, Subnet, Sweeps, WITH_IPV6, check_gateway, check_guard, check_masquerade,
    no_router_advertisements, plan_announcement, plan_forwarding, plan_interface, plan_masquerade,
    plan_of, unless_deleting, wanted_mac, with_ipv6,
};
use kernel::Place::Host;
use kernel::{Guard, Mac, Owner, Peer, Plan, Port, Survey, Swept, Sysctl, Up, Veth, Vlans, Wait};
use libcni::{AddResult, Addresses, Call, Error, IfName, Interface, Manual, Result, Verb};
use serde::Deserialize;

/// Serves one call of the protocol.
pub fn run() -> std::process::ExitCode {
    libcni::run::<Bridge>()
}

/// The configuration of a `bridge` network.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Bridge {
    /// The bridge's name; cni0 if not given. The plugin creates a missing bridge.
    #[cfg_attr(test, schemars(with = "Option<String>", extend("format" = "interface")))]
    bridge: Option<IfName>,
    /// Gives the bridge the addresses of the gateways, and switches on forwarding.
    is_gateway: bool,
    /// As isGateway, and gives the container a default route through the bridge for each family
    /// without one.
    is_default_gateway: bool,
    /// Removes addresses of the bridge that conflict with the gateway's, instead of failing.
    force_address: bool,
    /// Hides the containers' addresses behind the host's, except within their own subnet (see
    /// ipMasqBeyond).
    ip_masq: bool,
    /// The backend of ipMasq: nftables needs no program on the host; iptables runs the host's.
    #[cfg_attr(test, schemars(extend("enum" = ["nftables", "iptables", null])))]
    ip_masq_backend: Option<String>,
    /// Destinations for which ipMasq hides nothing, such as the networks of all nodes' containers.
    /// If none, the container's subnet.
    #[cfg_attr(test, schemars(extend("items" = { "type": "string", "format": "network" })))]
    ip_masq_beyond: Vec<String>,
    /// The largest packet, in bytes, of the veth pair, and of the bridge when it is made. 0 leaves
    /// it to the kernel.
    mtu: u32,
    /// Lets the bridge send a frame back through the port it came from, so that a container reaches
    /// itself through a service.
    hairpin_mode: bool,
    /// Makes the bridge receive every frame.
    promisc_mode: bool,
    /// The VLAN (0 to 4094) of the container's untagged frames; 0 for none.
    #[cfg_attr(test, schemars(range(min = 0, max = 4094)))]
    vlan: i64,
    /// The VLANs whose tagged frames the container sends and receives.
    vlan_trunk: Option<Vec<Trunk>>,
    /// Keeps the port in VLAN 1 although vlan or vlanTrunk is set.
    preserve_default_vlan: bool,
    /// Drops frames from the container with another source MAC address than its own.
    macspoofchk: bool,
    /// Runs duplicate address detection for the container's IPv6 addresses; ADD then waits for its
    /// result.
    enabledad: bool,
    /// Leaves the container's interface down. Not together with ipam.
    disable_container_interface: bool,
    /// Lets the container reach only the host and containers that are not isolated.
    port_isolation: bool,
    args: Args,
    runtime_config: RuntimeConfig,
}

/// A range of VLANs, a single one, or both.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Trunk {
    /// The first VLAN of a range.
    #[serde(rename = "minID")]
    #[cfg_attr(test, schemars(range(min = 1, max = 4094)))]
    min_id: Option<i64>,
    /// The last VLAN of a range.
    #[serde(rename = "maxID")]
    #[cfg_attr(test, schemars(range(min = 1, max = 4094)))]
    max_id: Option<i64>,
    /// A single VLAN.
    #[cfg_attr(test, schemars(range(min = 1, max = 4094)))]
    id: Option<i64>,
}

impl Sweeps for Bridge {
    const SWEPT: &'static [Swept] = &[
        Swept::of::<kernel::Neighbours>(),
        Swept::of::<kernel::Masquerade>(),
        Swept::of::<kernel::Guard>(),
        Swept::of::<kernel::Veth>(),
    ];
}

impl libcni::Plugin for Bridge {
    const MANUAL: Manual = Manual::new(
        "bridge",
        env!("CARGO_PKG_VERSION"),
        "connects a container to a bridge on the host by a veth pair",
        include_str!("bridge.schema.json"),
    )
    .of_suite("ferrocni")
    .standing_for(ipam::REFERENCE);
    type Executor = Linux<Self>;

    fn plan(&self, call: &Call, addresses: &Addresses) -> Result<(Plan, AddResult)> {
        let addresses = self.complete(addresses);
        let vlans = unless_deleting(call, self.check(call))?.flatten();
        let bridge = self.bridge();
        let gateway_link = unless_deleting(call, self.gateway_link())?;
        let gateway_link = gateway_link.unwrap_or_else(|| bridge.to_owned());
        let gateway_port = self.gateway_port(call, &gateway_link)?;
        let mut plan = plan_of(call)?;
        let wanted_mac = unless_deleting(call, self.mac(call, &plan.owner))?.flatten();
        let ends = Ends::of(call, &plan, wanted_mac, &[bridge, &gateway_link])?;
        let (host, pod) = (ends.host.as_str(), ends.pod.as_str());

        plan.share(Host, self.bridge_link()); // ip link add cbr0 type bridge
        if self.is_gateway() {
            let port = gateway_port.as_deref();
            self.plan_gateway(&mut plan, &gateway_link, port, &addresses);
            unless_deleting(call, self.agree(&gateway_link, &addresses.gateways()))?;
        }
        if call.verb == Verb::Plan {
            self.foresee(call, &gateway_link, &addresses.gateways())
                .map_err(crate::common::into_cni)?;
        }
        // sysctl -w net/ipv6/conf/cbr0/accept_ra=0
        plan.share(Host, no_router_advertisements(bridge));
        plan.because(
            "a container must not reroute the host by router advertisements (CVE-2020-10749)",
        );
        plan.share(Host, Up::of(bridge)); // ip link set cbr0 up

        // ip link add veth1a2b master cbr0 type veth peer name eth0 netns POD
        plan.own(Host, ends.veth(self.mtu, Some(bridge)));
        plan.own(Host, no_router_advertisements(host));
        plan.own(Host, self.port(host)); // bridge link set dev veth1a2b hairpin on isolated off
        if let Some((untagged, tagged)) = vlans {
            let keep_default = self.preserve_default_vlan;
            // bridge vlan add dev veth1a2b vid 100
            plan.own(Host, Vlans { link: host.to_owned(), keep_default, untagged, tagged });
        }
        if self.macspoofchk {
            plan.own(Host, Guard { port: host.to_owned(), mac: ends.pod_mac });
        }
        plan.own(Host, Up::of(host)); // ip link set veth1a2b up

        if !self.disable_container_interface {
            plan_interface(&mut plan, pod, &addresses, Subnet::OnLink, self.enabledad);
        }
        if self.ip_masq {
            let backend = self.ip_masq_backend.as_deref();
            let beyond = &self.ip_masq_beyond;
            unless_deleting(call, plan_masquerade(&mut plan, backend, beyond, &addresses))?;
        }
        if self.is_gateway() {
            plan_forwarding(&mut plan, &addresses);
        }
        if let Some(link) = gateway_port {
            plan.share(Host, Wait::Running { link });
        }
        if !self.disable_container_interface {
            let gateway = Some(gateway_link.as_str()).filter(|_| self.is_gateway());
            plan_announcement(&mut plan, &ends, gateway, &addresses);
        }
        let result = self.result(call, &ends, &gateway_link, addresses);
        Ok((plan, result))
    }

    fn status(&self, call: &Call) -> Result<()> {
        self.check(call)?;
        kernel::makes("veth").map_err(crate::common::unavailable)?;
        if self.macspoofchk {
            check_guard()?;
        }
        if self.ip_masq {
            check_masquerade(self.ip_masq_backend.as_deref(), &self.ip_masq_beyond)?;
        }
        if self.is_gateway() {
            let link = self.gateway_link()?;
            check_gateway(call, &link, |_| true)?;
        }
        self.bridge_link().usable().map_err(crate::common::unavailable)?;
        self.check_gateways(call)
    }
}

impl Bridge {
    fn bridge(&self) -> &str {
        self.bridge.as_deref().unwrap_or("cni0")
    }

    fn is_gateway(&self) -> bool {
        self.is_gateway || self.is_default_gateway
    }

    fn bridge_link(&self) -> kernel::Bridge {
        kernel::Bridge {
            name: self.bridge().to_owned(),
            mtu: self.mtu,
            vlan_filtering: self.vlan != 0 || self.vlan_trunk.is_some(),
            promiscuous: self.promisc_mode,
        }
    }

    fn port(&self, link: &str) -> Port {
        Port { link: link.to_owned(), hairpin: self.hairpin_mode, isolated: self.port_isolation }
    }

    /// The requested MAC address of the container. The runtime's value has priority.
    fn mac(&self, call: &Call, owner: &Owner) -> Result<Option<Mac>> {
        let given = [self.runtime_config.mac.as_deref(), self.args.cni.mac.as_deref()];
        let wanted = wanted_mac(call, &given, None)?;
        if let (Some(mac), Verb::Add | Verb::Plan) = (wanted, call.verb) {
            kernel::refuse_same_mac(self.bridge(), mac, owner).map_err(crate::common::into_cni)?;
        }
        Ok(wanted)
    }

    /// Completes the addresses with the gateways that the bridge will have, and the default routes.
    fn complete(&self, addresses: &Addresses) -> Addresses {
        let mut complete = addresses.clone();
        if self.is_gateway() {
            complete.default_gateways();
        }
        if self.is_default_gateway {
            complete.default_routes();
        }
        complete
    }

    /// Checks what the types cannot express, and returns the untagged VLAN and the tagged VLANs of
    /// the port.
    fn check(&self, call: &Call) -> Result<Option<(Option<u16>, Vec<u16>)>> {
        if self.hairpin_mode && self.promisc_mode {
            return Err(Error::config(
                "cannot set hairpin mode and promiscuous mode at the same time",
            ));
        }
        if self.disable_container_interface && call.ipam_type().is_some() {
            return Err(Error::config(
                "cannot use IPAM when DisableContainerInterface flag is set",
            ));
        }
        let vlan = u16::try_from(self.vlan).ok().filter(|vlan| *vlan <= 4094).ok_or_else(|| {
            Error::config(format!("invalid VLAN ID {} (must be between 0 and 4094)", self.vlan))
        })?;
        let mut tagged = BTreeSet::new();
        for trunk in self.vlan_trunk.as_deref().unwrap_or_default() {
            tagged.extend(trunk.vlans()?);
        }
        let tagged: Vec<u16> = tagged.into_iter().collect();
        Ok(match (vlan, tagged.is_empty()) {
            (0, true) => None,
            // Untagged frames need a VLAN: the kernel's default.
            (0, false) => Some((Some(1), tagged)),
            (vlan, _) => Some((Some(vlan), tagged)),
        })
    }

    /// The link with the gateway's addresses: the bridge, or a link in the VLAN if one is set.
    fn gateway_link(&self) -> Result<String> {
        if self.vlan == 0 || !self.is_gateway() {
            return Ok(self.bridge().to_owned());
        }
        let name = format!("{}.{}", self.bridge(), self.vlan);
        IfName::new(&name).map_err(|error| {
            Error::config(format!("the gateway's interface would be called {name}: {}", error.msg))
                .details("Give \"bridge\" a shorter name")
        })?;
        Ok(name)
    }

    /// Plans the gateway's addresses, on the bridge or in the VLAN. They come early, so that a
    /// refused address leaves the host unchanged.
    fn plan_gateway(&self, plan: &mut Plan, link: &str, port: Option<&str>, addresses: &Addresses) {
        if let Some(port) = port {
            self.plan_vlan_gateway(plan, port, link);
        }
        if let Some(setting) = with_ipv6(link, addresses.gateways().into_iter()) {
            plan.share(Host, setting); // sysctl -w net/ipv6/conf/cbr0/disable_ipv6=0
            plan.because(WITH_IPV6);
        }
        for address in addresses.gateways() {
            plan.share(Host, self.gateway(link, address)); // ip address add 10.1.2.1/24 dev cbr0
        }
    }

    /// Plans a veth pair with both ends on the host: `port` is in the bridge and the VLAN, and the
    /// other end has the addresses.
    fn plan_vlan_gateway(&self, plan: &mut Plan, port: &str, link: &str) {
        let of = self.gateway_owner(link);
        plan.share(
            Host,
            Veth {
                name: port.to_owned(),
                mac: of.mac("host"),
                mtu: self.mtu,
                master: Some(self.bridge().to_owned()),
                peer: Peer { place: Host, name: link.to_owned(), mac: of.mac("pod") },
            },
        );
        let untagged = u16::try_from(self.vlan).ok();
        plan.share(
            Host,
            Vlans { link: port.to_owned(), keep_default: false, untagged, tagged: Vec::new() },
        );
        plan.share(Host, no_router_advertisements(port));
        plan.share(Host, no_router_advertisements(link));
        plan.share(Host, Sysctl::optional(format!("ipv6/conf/{link}/accept_dad"), "0"));
        plan.because(
            "it needs a link-local address to ask for neighbours, and no other link has the same",
        );
        plan.share(Host, Up::of(port));
        plan.share(Host, Up::of(link));
    }

    /// The gateway in a VLAN belongs to the bridge and the VLAN, so its names derive from them.
    fn gateway_owner(&self, link: &str) -> Owner {
        Owner {
            network: String::new(),
            container: self.bridge().to_owned(),
            ifname: link.to_owned(),
        }
    }

    /// The bridge's port to a gateway in a VLAN. If the reference suite made it, its name is
    /// random.
    fn gateway_port(&self, call: &Call, link: &str) -> Result<Option<String>> {
        if link == self.bridge() || call.verb == Verb::Del {
            return Ok(None);
        }
        let port = self.gateway_owner(link).host_ifname();
        let look = || {
            let mut host = Survey::host()?;
            Ok(match host.link(&port)? {
                Some(_) => None,
                None => host.other_end(link)?.map(|port| port.name),
            })
        };
        let theirs = look().map_err(crate::common::into_cni)?;
        Ok(Some(theirs.unwrap_or(port)))
    }

    fn result(
        &self,
        call: &Call,
        ends: &Ends,
        gateway_link: &str,
        addresses: Addresses,
    ) -> AddResult {
        let host = |name: &str, mac: &str| Interface {
            name: name.to_owned(),
            mac: mac.to_owned(),
            ..Interface::default()
        };
        let mut interfaces = vec![
            host(self.bridge(), ""), // the bridge's MAC is known once it exists
            ends.host_interface(),
            ends.interface(call),
        ];
        if gateway_link != self.bridge() {
            interfaces.push(host(gateway_link, ""));
        }
        addresses.into_result(call, interfaces, 2)
    }
}

impl Trunk {
    /// The VLANs of the entry.
    fn vlans(&self) -> Result<Vec<u16>> {
        let valid = |what: &str, id: i64| {
            u16::try_from(id).ok().filter(|id| (1..=4094).contains(id)).ok_or_else(|| {
                Error::config(format!("incorrect trunk {what} parameter"))
                    .details(format!("{id} is not between 1 and 4094"))
            })
        };
        let one_missing = |which: &str| {
            Error::config(format!(
                "minID and maxID should be configured simultaneously, {which} is missing"
            ))
        };
        let mut vlans = match (self.min_id, self.max_id) {
            (None, None) => Vec::new(),
            (None, Some(_)) => return Err(one_missing("minID")),
            (Some(_), None) => return Err(one_missing("maxID")),
            (Some(min), Some(max)) => {
                let (min, max) = (valid("minID", min)?, valid("maxID", max)?);
                if min > max {
                    return Err(Error::config("minID is greater than maxID in trunk parameter"));
                }
                (min..=max).collect()
            }
        };
        if let Some(id) = self.id {
            vlans.push(valid("id", id)?);
        }
        Ok(vlans)
    }
}

#[test]
fn the_manual_is_true() {
    testbed::assert_manual(
        include_str!("bridge.rs"),
        &schemars::schema_for!(Bridge).to_value(),
        <Bridge as libcni::Plugin>::MANUAL.schema,
        concat!(env!("CARGO_MANIFEST_DIR"), "/src/bridge.schema.json"),
    );
}
