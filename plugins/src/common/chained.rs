//! Chained plugins: they come after another plugin in a network's list, and work on the interface
//! that it made.

use std::path::PathBuf;

use kernel::{Plan, Swept};
use libcni::{
    AddResult, Addresses, Addressing, Call, Error, Interface, Manual, Plugin, Result, Verb,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Ends, Linux, Sweeps, plan_of, unless_deleting};

/// A chained plugin. [`InChain`] turns it into a [`Plugin`].
///
/// At every verb, [`plan`](Chained::plan) gets the `prevResult`, already checked.
pub trait Chained: DeserializeOwned {
    /// The plugin's manual.
    const MANUAL: Manual;

    /// See [`Sweeps`].
    const SWEPT: &'static [Swept] = &[];

    /// See [`Sweeps::memory`].
    fn memory(_config: &Value) -> Option<PathBuf> {
        None
    }

    /// Adds to the plan the objects that should exist for this attachment. The plugin returns the
    /// result of the plugins before it, with the changes that this method makes in
    /// [`Previous::result`].
    ///
    /// DEL calls it too, with or without a `prevResult`. If it fails, DEL removes the objects that
    /// are in the plan so far: a mistake in the configuration must not block the removal.
    ///
    /// # Errors
    ///
    /// Returns an error if the configuration is wrong, or does not fit the `prevResult`.
    fn plan(&self, call: &Call, plan: &mut Plan, prev: &mut Previous) -> Result<()>;

    /// The error of a call without a `prevResult`.
    fn no_previous() -> Error {
        let name = Self::MANUAL.name;
        Error::config(format!("{name} must be called as a chained plugin, with a prevResult"))
            .details(format!(
                "List {name} in \"plugins\" after the plugin that makes the container's interface."
            ))
    }

    /// See [`Plugin::network_plan`].
    ///
    /// # Errors
    ///
    /// Returns an error if the configuration is wrong, or does not fit the host.
    fn network_plan(&self, _call: &Call) -> Result<Option<Plan>> {
        Ok(None)
    }

    /// See [`Plugin::living_plans`].
    ///
    /// # Errors
    ///
    /// Returns an error if the host cannot be queried.
    fn living_plans(&self, _call: &Call) -> Result<Vec<(String, Result<Plan>)>> {
        Ok(Vec::new())
    }

    /// See [`Plugin::is_outdated`].
    fn is_outdated(&self) -> bool {
        false
    }

    /// See [`Plugin::status`].
    ///
    /// # Errors
    ///
    /// Returns an error that says why an ADD cannot be served.
    fn status(&self, _call: &Call) -> Result<()> {
        Ok(())
    }
}

/// The attachment as the earlier plugins in the chain left it, according to the call's
/// `prevResult`.
#[derive(Debug)]
pub struct Previous {
    /// The result that this plugin returns.
    pub result: AddResult,
    /// The addresses of the container's interface, and the routes.
    pub addresses: Addresses,
    /// Both ends of the container's veth pair. If the result does not name them, they are those of
    /// a pair that a plugin of this suite makes for the attachment; see
    /// [`host_end`](Previous::host_end).
    pub ends: Ends,
}

impl Previous {
    fn of(call: &Call, plan: &Plan, addresses: &Addresses) -> Result<Previous> {
        Ok(Previous {
            result: call.prev.clone().unwrap_or_default(),
            addresses: addresses.clone(),
            ends: Ends::of(call, plan, None, &[])?,
        })
    }

    /// The container's interface in the result, to read or to change. `None` if the result does not
    /// name it: results of the first versions of CNI name no interfaces.
    pub fn interface(&mut self) -> Option<&mut Interface> {
        let mut interfaces = self.result.interfaces.iter_mut();
        interfaces.find(|it| !it.sandbox.is_empty() && it.name == self.ends.pod)
    }

    /// The host's end of the container's veth pair in the result. `None` if the result does not
    /// name it, as for a macvlan link, which has none.
    pub fn host_end(&self) -> Option<&Interface> {
        let mut interfaces = self.result.interfaces.iter();
        interfaces.find(|it| it.sandbox.is_empty() && it.name == self.ends.host)
    }
}

/// The plan and the result of a chained plugin, for [`Plugin::plan`].
///
/// # Errors
///
/// Returns an error if there is no usable `prevResult`, or the plugin returns one. DEL ignores
/// both.
pub fn plan<P: Chained>(
    plugin: &P,
    call: &Call,
    addresses: &Addresses,
) -> Result<(Plan, AddResult)> {
    let mut plan = plan_of(call)?;
    if call.verb != Verb::Del {
        call.prev.as_ref().ok_or_else(P::no_previous)?;
        call.checked_prev()?;
    }
    let mut prev = Previous::of(call, &plan, addresses)?;
    unless_deleting(call, plugin.plan(call, &mut plan, &mut prev))?;
    Ok((plan, prev.result))
}

/// A [`Chained`] plugin as a [`Plugin`].
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct InChain<P>(P);

impl<P: Chained> Sweeps for InChain<P> {
    const SWEPT: &'static [Swept] = P::SWEPT;
    const HAS_ADDRESSES: bool = false;

    fn memory(config: &Value) -> Option<PathBuf> {
        P::memory(config)
    }
}

impl<P: Chained> Plugin for InChain<P> {
    const MANUAL: Manual = P::MANUAL;
    type Executor = Linux<Self>;

    fn addressing(&self, _call: &Call) -> Addressing {
        Addressing::None
    }

    fn plan(&self, call: &Call, addresses: &Addresses) -> Result<(Plan, AddResult)> {
        plan(&self.0, call, addresses)
    }

    fn network_plan(&self, call: &Call) -> Result<Option<Plan>> {
        self.0.network_plan(call)
    }

    fn living_plans(&self, call: &Call) -> Result<Vec<(String, Result<Plan>)>> {
        self.0.living_plans(call)
    }

    fn is_outdated(&self) -> bool {
        self.0.is_outdated()
    }

    fn status(&self, call: &Call) -> Result<()> {
        self.0.status(call)
    }
}

#[cfg(test)]
mod tests {
    use kernel::Mtu;
    use kernel::Place::Pod;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Narrow {
        mtu: u32,
    }

    impl Chained for Narrow {
        const MANUAL: Manual = Manual::new("narrow", "1.0.0", "lowers the MTU", "{}");

        fn plan(&self, call: &Call, plan: &mut Plan, prev: &mut Previous) -> Result<()> {
            plan.own(Pod, Mtu::at_most(&prev.ends.pod, self.mtu));
            if let Some(interface) = prev.interface() {
                interface.mtu = self.mtu;
            }
            match prev.addresses.is_empty() && call.verb != Verb::Plan {
                true => Err(Error::config("no address")),
                false => Ok(()),
            }
        }
    }

    fn planned(verb: Verb, prev: &Value) -> Result<(Plan, AddResult)> {
        let config = json!({ "type": "narrow", "mtu": 1300, "prevResult": prev });
        let call = Call::example(verb, config).unwrap();
        let plugin: InChain<Narrow> = libcni::json::from_value(&call.config).unwrap();
        Plugin::plan(&plugin, &call, &call.prev_addresses())
    }

    fn prev(sandbox: &str) -> Value {
        json!({
            "cniVersion": "1.1.0",
            "interfaces": [
                { "name": "cni0", "mac": "02:00:00:00:00:01" },
                { "name": "veth1", "mac": "02:00:00:00:00:02" },
                { "name": "eth0", "mac": "02:00:00:00:00:03", "sandbox": sandbox }
            ],
            "ips": [{ "address": "10.1.2.2/24", "interface": 2 }]
        })
    }

    #[test]
    fn every_verb_has_the_previous_result() {
        for verb in [Verb::Add, Verb::Check, Verb::Del, Verb::Plan, Verb::Repair] {
            let (plan, result) = planned(verb, &prev("/run/netns/a")).unwrap();
            assert_eq!(plan.steps.len(), 1);
            let mtus: Vec<u32> = result.interfaces.iter().map(|it| it.mtu).collect();
            assert_eq!((mtus, result.ips.len()), (vec![0, 0, 1300], 1));
        }
    }

    #[test]
    fn both_ends_are_found() {
        let config = json!({ "type": "narrow", "prevResult": prev("/run/netns/a") });
        let call = Call::example(Verb::Add, config).unwrap();
        let plan = plan_of(&call).unwrap();
        let mut found = Previous::of(&call, &plan, &call.prev_addresses()).unwrap();
        assert_eq!(found.host_end().unwrap().name, "veth1");
        assert_eq!(found.interface().unwrap().name, "eth0");
        found.result.interfaces.clear();
        assert_eq!(found.host_end(), None);
        assert_eq!(found.interface(), None);
    }

    #[test]
    fn only_del_does_without_a_previous_result() {
        for verb in [Verb::Add, Verb::Check, Verb::Plan, Verb::Repair] {
            let error = planned(verb, &Value::Null).unwrap_err();
            assert!(error.msg.contains("narrow must be called as a chained plugin"), "{error}");
            let error = planned(verb, &prev("/run/netns/b")).unwrap_err();
            assert!(error.msg.contains("doesn't match configured netns"), "{error}");
        }
        assert_eq!(planned(Verb::Del, &Value::Null).unwrap().0.steps.len(), 1);
    }
}
