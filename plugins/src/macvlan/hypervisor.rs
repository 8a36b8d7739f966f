//! Guesses the virtual switch from the driver of a virtual machine's network card.

use kernel::Link;

/// What to check before macvlan can work over this link. A virtual machine cannot see whether its
/// switch accepts frames from MAC addresses that the switch did not assign. Empty for other
/// drivers.
pub fn advice(link: &Link) -> &'static str {
    match link.driver().as_deref() {
        Some("vmxnet3") => {
            "VMware's switch drops other MAC addresses unless its port group accepts promiscuous \
             mode and forged transmits"
        }
        Some("hv_netvsc") => {
            "Hyper-V drops other MAC addresses unless MAC address spoofing is on for this \
             adapter; in Azure it never is: use ptp or ipvlan"
        }
        Some("ena") => "AWS drops other MAC addresses, always: use ptp or ipvlan",
        Some("gve") => "Google Cloud drops other MAC addresses, always: use ptp or ipvlan",
        Some("vif" | "xen_netfront") => {
            "Xen's hosts and clouds may drop other MAC addresses: ask whether this interface is \
             locked to its own"
        }
        Some("virtio_net") => {
            "hosts may drop other MAC addresses: OpenStack unless port security is off, libvirt \
             with a no-mac-spoofing filter, Google Cloud always"
        }
        _ => "",
    }
}
