//! Correct plugins that do something unusual. The kit must not report a failure of them.

use super::VERSIONS;
use super::table::{Mutant, mutant};

/// A correct plugin.
#[derive(Debug, Clone, Copy)]
pub struct Unusual {
    /// The plugin; `caught_by` has the requirements that must pass, separated by commas.
    pub plugin: Mutant,
    /// The profile, if it is not the kit's.
    pub profile: Option<&'static str>,
    /// The versions in which it is tested.
    pub versions: &'static str,
    /// A plugin that the suite lacks.
    pub without: Option<&'static str>,
}

const fn unusual(
    plugin: &'static str,
    passes: &'static str,
    name: &'static str,
    script: &'static str,
) -> Unusual {
    let plugin = mutant(plugin, passes, name, script);
    Unusual { plugin, profile: None, versions: VERSIONS, without: None }
}

/// The plugins.
pub const UNUSUAL: &[Unusual] = &[
    unusual(
        "ptp",
        "S2.ADD.1,S2.DEL.3,S2.DEL.6,LINUX.ADD.12,LINUX.DEL.2,LINUX.DEL.3,LINUX.HOST.3,RACE.DEL.1",
        "state in a directory of its own, and a log",
        "D=/var/lib/of-the-kit/$CNI_CONTAINERID-$CNI_IFNAME; mkdir -p ${D%/*}; \
         echo $CNI_COMMAND >> /var/log/of-the-kit.log; of ADD && [ -e $D ] && \
         { echo '{\"code\": 100, \"msg\": \"added already\"}'; exit 1; }; \
         real; S=$?; of ADD && [ $S = 0 ] && touch $D; of DEL && rm -f $D; exit $S",
    ),
    unusual(
        "ptp",
        "S5.INTERFACES.2,S5.INTERFACES.4,S5.INTERFACES.5,S5.INTERFACES.6,S5.IPS.4,LINUX.ADD.1,\
         LINUX.ADD.2,LINUX.ADD.3,LINUX.ADD.8",
        "an interface in a virtual machine",
        "result '.interfaces += [{name: \"eth0\", mac: \"02:00:00:00:00:09\", \
         sandbox: \"vm-7f3e\"}] | .interfaces += [{name: \"net1\", sandbox: \"/proc/version\"}]'",
    ),
    unusual(
        "tuning",
        "S3.CHAIN.1",
        "a further name server",
        "result '.dns.nameservers += [\"192.0.2.54\"]'",
    ),
    unusual(
        "ptp",
        "NET.PING.1,NET.TCP.1,NET.MASQ.1",
        "no change of the host's forwarding",
        "F=$(cat /proc/sys/net/ipv4/ip_forward); G=$(cat /proc/sys/net/ipv6/conf/all/forwarding); \
         real; S=$?; echo $F > /proc/sys/net/ipv4/ip_forward; \
         echo $G > /proc/sys/net/ipv6/conf/all/forwarding; exit $S",
    ),
    unusual(
        "ptp",
        "LINUX.DEL.1,LINUX.DEL.2,LINUX.DEL.3,LINUX.DEL.5,LINUX.NAME.1,LINUX.NAME.2,LINUX.NAME.6",
        "ADD sets the container's lo up",
        "of ADD && nsenter --net=$CNI_NETNS ip link set lo up; real",
    ),
    Unusual {
        profile: Some(r#"{ "config": { "type": "ptp" } }"#),
        ..unusual(
            "ptp",
            "RACE.NET.1,RACE.ADD.1",
            "subnets that are not in the configuration",
            "config '.ipam = {type: \"host-local\", subnet: \"10.5.5.0/24\"}'; real",
        )
    },
    Unusual {
        versions: "0.3.1",
        ..unusual(
            "ptp",
            "S1.JSON.2,S1.NAME.1,S1.NAME.2,S1.NAME.4,S2.ENV.1,S2.ENV.2,S2.ENV.4,S2.ENV.5,S2.ENV.9,\
             S2.ERR.1,S2.ERR.3,S2.ERR.4",
            "version 0.3.1 only: any name and ID, no ID, codes of its own",
            "of VERSION && { echo '{\"cniVersion\":\"0.3.1\",\"supportedVersions\":[\"0.3.1\"]}'; exit; }; \
             export CNI_CONTAINERID=$(printf %s \"id-$CNI_CONTAINERID\" | tr -c 'a-zA-Z0-9' -); \
             [ $CNI_CONTAINERID = id- ] && CNI_CONTAINERID=none; \
             has '.name | strings' && config '.name |= \"n\" + gsub(\"[^a-z]\"; \"-\")'; \
             error '.code |= (if . == 1 then 1 else 100 end)'",
        )
    },
    unusual(
        "ptp",
        "S4.ENV.3",
        "spans of its own",
        "export TRACEPARENT=$(echo \"$TRACEPARENT\" | sed 's/[^-]*-01$/00f067aa0ba902b7-01/') \
         TRACESTATE=\"own=1,$TRACESTATE\" BAGGAGE=\"$BAGGAGE, own=1\"; real",
    ),
    Unusual {
        without: Some("host-local"),
        ..unusual(
            "ptp",
            "S1.VERSION.3,S1.KEYS.4,S2.VERSION.5",
            "a suite without host-local",
            "real",
        )
    },
];
