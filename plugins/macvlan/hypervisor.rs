//! What a virtual machine's network card says of the switch behind it.

use kernel::Link;

/// What to check before macvlan can work over this link: from inside a virtual machine nobody can see whether its
/// switch takes frames from MAC addresses that it did not hand out. Empty where nothing is known.
pub fn advice(link: &Link) -> &'static str {
    match link.driver().as_deref() {
        Some("vmxnet3") => {
            "VMware's switch drops other MAC addresses unless its port group accepts promiscuous mode and forged transmits"
        }
        Some("hv_netvsc") => {
            "Hyper-V drops other MAC addresses unless MAC address spoofing is on for this adapter; in Azure it never is: use ptp or ipvlan"
        }
        Some("ena") => "AWS drops other MAC addresses, always: use ptp or ipvlan",
        Some("gve") => "Google Cloud drops other MAC addresses, always: use ptp or ipvlan",
        Some("vif" | "xen_netfront") => {
            "Xen's hosts and clouds may drop other MAC addresses: ask whether this interface is locked to its own"
        }
        Some("virtio_net") => {
            "hosts may drop other MAC addresses: OpenStack unless port security is off, libvirt with a no-mac-spoofing filter, Google Cloud always"
        }
        _ => "",
    }
}
