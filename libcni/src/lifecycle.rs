//! The verbs of a plugin that is a plan: written once, for all of them.

use crate::delegate::{Ipam, Refused};
use crate::protocol::warn;
use crate::{
    AddResult, Addresses, Addressing, Call, Code, Error, Executor, Manual, PlanOf, Plugin,
    PluginType, Preview, Result, Verb, Verbs,
};

impl<P: Plugin> Verbs for P {
    const MANUAL: Manual = P::MANUAL;

    fn add(&self, call: &Call) -> Result<AddResult> {
        let none = Addresses::default();
        let Some(ipam) = self.ipam(call)? else {
            let addresses = undelegated(self, call);
            let planned = self.plan(call, &addresses)?;
            let mut ready = match self.addressing(call) {
                Addressing::None => Default::default(),
                _ => P::Executor::ready(&planned.0, call.deadline)?,
            };
            return attach(self, call, &addresses, planned, &mut ready);
        };
        // What can be found wrong without an address is found before one is reserved.
        let (bare, made) = self.plan(call, &none)?;
        let mut ready = P::Executor::ready(&bare, call.deadline)?;
        if ipam.needs_interface() {
            return lease(self, call, (bare, made), &mut ready, &ipam);
        }
        let attached = ipam.add().and_then(|addresses| {
            let planned = self.plan(call, &addresses);
            let attached =
                planned.and_then(|planned| attach(self, call, &addresses, planned, &mut ready));
            attached.map_err(Refused::afterwards)
        });
        attached.map_err(|refused| release::<P>(&bare, &ipam, refused))
    }

    fn check(&self, call: &Call) -> Result<()> {
        let addresses = call.checked_prev()?;
        if let Some(ipam) = self.ipam(call)? {
            ipam.check()?;
        }
        let (plan, _) = self.plan(call, &addresses)?;
        match P::Executor::diff(&plan)?.as_slice() {
            [] => Ok(()),
            differences => Err(differs(call, differences)),
        }
    }

    /// Kernel objects are removed first: an address is released only when nothing uses it. A DHCP
    /// client must release its lease over the container's interface, so its release runs before the
    /// interface is removed.
    fn del(&self, call: &Call) -> Result<()> {
        let ipam = self.ipam(call);
        let manager = ipam.as_ref().ok().and_then(Option::as_ref).map(Ipam::name);
        let held = match self.addressing(call) {
            Addressing::None => None,
            _ => P::Executor::held(call, manager),
        };
        // `prevResult` may lack an address of the attachment, because another plugin of the chain,
        // or a runtime, rewrote it.
        let addresses = call.prev_addresses().and(held.as_deref().unwrap_or_default());
        let (plan, _) = self.plan(call, &addresses)?;
        let remove = || P::Executor::remove(&plan, held.as_deref());
        match ipam {
            Ok(Some(ipam)) if ipam.needs_interface() => {
                let released = ipam.del();
                both(remove(), released)
            }
            Ok(Some(ipam)) => {
                remove()?;
                ipam.del()
            }
            lost => {
                remove()?;
                match (held.is_some_and(|held| !held.is_empty()), P::Executor::fallback()) {
                    (true, Some(fallback)) => {
                        warn(
                            "DEL: ipam names no usable plugin; releasing what is reserved for \
                             this interface",
                        );
                        fallback.call("DEL", &call.config, call.deadline).map(drop)
                    }
                    _ => lost.map(drop),
                }
            }
        }
    }

    fn gc(&self, call: &Call) -> Result<()> {
        let collected = P::Executor::collect(call);
        let released = match (self.ipam(call), self.addressing(call), P::Executor::fallback()) {
            (Ok(Some(ipam)), ..) => ipam.gc(),
            (lost, Addressing::None, _) | (lost, _, None) => lost.map(drop),
            (lost, _, Some(fallback)) => {
                let released = fallback.call("GC", &call.config, call.deadline).map(drop);
                both(lost.map(drop), released)
            }
        };
        both(collected, released)
    }

    fn status(&self, call: &Call) -> Result<()> {
        Plugin::status(self, call)?;
        self.ipam(call)?.map_or(Ok(()), |ipam| ipam.status())
    }

    fn preview(&self, call: &Call) -> Result<Preview> {
        let ipam = self.ipam(call)?;
        if self.addressing(call) != Addressing::None {
            if is_live(call) {
                return live(self, call);
            }
            // As in ADD, which finds what does not depend on an address before it asks for one.
            let (bare, _) = self.plan(call, &Addresses::default())?;
            P::Executor::vacant(&bare)?;
        }
        let addresses = match &ipam {
            None => Some(undelegated(self, call)),
            Some(ipam) => ipam.preview()?,
        };
        let unknown = match (&addresses, &ipam) {
            (None, Some(ipam)) => without_addresses(ipam),
            _ => String::new(),
        };
        let (plan, result) = self.plan(call, &addresses.unwrap_or_default())?;
        if unknown.is_empty() {
            result.to_json(call.version)?;
        }
        P::Executor::feasible(&plan)?;
        shown::<P>((plan, result), unknown)
    }

    fn repair(&self, call: &Call) -> Result<Vec<String>> {
        let addresses = call.checked_prev()?;
        let ipam = self.ipam(call)?;
        let reserved = ipam.as_ref().map(Ipam::repair).transpose()?.flatten();
        let is_unasked = ipam.is_some() && reserved.is_none();
        let mut repaired = reserved.unwrap_or_default();
        repaired.extend(latest(self, || P::Executor::repair(&self.plan(call, &addresses)?.0))?);
        // It could not be asked to repair, so it is asked whether anything is wrong.
        if let Some(ipam) = ipam.filter(|_| is_unasked) {
            ipam.recheck()?;
        }
        Ok(repaired)
    }

    fn sync(&self, call: &Call) -> Result<Vec<String>> {
        latest(self, || {
            let mut said = match self.network_plan(call)? {
                Some(plan) => P::Executor::repair(&plan)?,
                None => Vec::new(),
            };
            let mut failed = Ok(());
            for (name, plan) in self.living_plans(call)? {
                match plan.and_then(|plan| P::Executor::repair(&plan)) {
                    Ok(changes) => {
                        said.extend(changes.iter().map(|change| format!("{name}: {change}")));
                    }
                    // It has ended since.
                    Err(error) if error.code == Code::INVALID_NETNS => {}
                    Err(error) => {
                        let msg = format!("{name}: {}", error.msg);
                        failed = both(failed, Err(error.with_msg(msg)));
                    }
                }
            }
            failed.map(|()| said)
        })
    }
}

/// Two things that were both tried: the errors of both.
fn both(first: Result<()>, second: Result<()>) -> Result<()> {
    match (first, second) {
        (Err(first), Err(second)) => Err(first.line(&second.to_string())),
        (first, second) => first.and(second),
    }
}

/// What the verbs share.
trait Delegating: Plugin {
    fn ipam<'a>(&self, call: &'a Call) -> Result<Option<Ipam<'a>>> {
        let addressing = self.addressing(call);
        let name = <Self as Plugin>::MANUAL.name;
        let removes = call.verb.removes();
        // No ADD can have succeeded with an invalid plugin name, or without one where one is
        // required.
        if removes && PluginType::new(call.ipam_type().unwrap_or_default()).is_err() {
            return Ok(None);
        }
        // It would start itself, and that one itself, without end.
        if addressing != Addressing::None && call.ipam_type() == Some(name) {
            return match removes {
                // Nothing was ever joined this way, so there is no address to give back.
                true => Ok(None),
                false => {
                    Err(Error::config(format!("ipam.type is {name}, which manages no addresses"))
                        .details("name a plugin that does, such as host-local"))
                }
            };
        }
        Ipam::of::<Self::Executor>(call, addressing)
    }
}

impl<P: Plugin> Delegating for P {}

type ReadyOf<P> = <<P as Plugin>::Executor as Executor>::Ready;

/// Makes the attachment of a plan with its addresses, and completes the result.
fn attach<P: Plugin>(
    plugin: &P,
    call: &Call,
    addresses: &Addresses,
    (plan, mut result): (PlanOf<P>, AddResult),
    ready: &mut ReadyOf<P>,
) -> Result<AddResult> {
    // A result that the configuration's version cannot express is found out before anything is
    // made.
    result.to_json(call.version)?;
    P::Executor::apply(&plan, ready, &mut result)?;
    if plugin.is_outdated() {
        // The attachment is made, from what was right when the call began.
        let repaired = latest(plugin, || P::Executor::repair(&plugin.plan(call, addresses)?.0));
        if let Err(error) = repaired {
            warn(&format!("ADD: what the plan was made from has changed meanwhile: {error}"));
        }
    }
    Ok(result)
}

/// Repairs, again and again until nothing that the plan was made from changes meanwhile.
fn latest<P: Plugin>(plugin: &P, repair: impl Fn() -> Result<Vec<String>>) -> Result<Vec<String>> {
    /// A file that changes faster than it can be applied must not keep a call for ever.
    const MOST: usize = 10;
    let mut said = Vec::new();
    for _ in 1..MOST {
        let repaired = repair();
        if !plugin.is_outdated() {
            said.extend(repaired?);
            return Ok(said);
        }
        said.extend(repaired.unwrap_or_default());
    }
    said.extend(repair()?);
    Ok(said)
}

/// Makes the attachment without addresses, so that the IPAM plugin can ask for them over it; then
/// completes it.
fn lease<P: Plugin>(
    plugin: &P,
    call: &Call,
    (bare, mut made): (PlanOf<P>, AddResult),
    ready: &mut ReadyOf<P>,
    ipam: &Ipam<'_>,
) -> Result<AddResult> {
    // Where the kernel does not refuse a second link of an attachment, searching all containers
    // costs little compared with a DHCP server's answer.
    if P::Executor::lives(&bare)? {
        return Err(attached(call));
    }
    P::Executor::apply(&bare, ready, &mut made)?;
    let complete = |addresses: &Addresses| {
        let (plan, result) = plugin.plan(call, addresses)?;
        // What only the system knows of the interfaces is known by now.
        let result = AddResult { interfaces: made.interfaces, ..result };
        result.to_json(call.version)?;
        P::Executor::repair(&plan)?;
        if plugin.is_outdated() {
            latest(plugin, || P::Executor::repair(&plugin.plan(call, addresses)?.0))?;
        }
        Ok(result)
    };
    let completed =
        ipam.add().and_then(|addresses| complete(&addresses).map_err(Refused::afterwards));
    // This call made the interface and leased the addresses over it.
    completed.map_err(|refused| ipam.release(refused.error)).map_err(|error| {
        match P::Executor::remove(&bare, None) {
            Ok(()) => error,
            Err(also) => error.line(&format!("removing the interface failed too: {also}")),
        }
    })
}

/// Calls DEL of the IPAM plugin to release what a failed ADD may have reserved (spec, section 4).
/// The plugin releases by container and interface, so it would also release the addresses of a live
/// attachment that an earlier ADD made. In that case this does not call it.
fn release<P: Plugin>(bare: &PlanOf<P>, ipam: &Ipam<'_>, refused: Refused) -> Error {
    let Refused { error, held_before } = refused;
    if held_before {
        return error;
    }
    match P::Executor::lives(bare) {
        Ok(false) => ipam.release(error),
        Ok(true) => error.line("its addresses stay reserved: an earlier ADD made this attachment"),
        Err(also) => error.line(&format!(
            "its addresses stay reserved until DEL: whether an earlier ADD made this attachment \
             is not known: {also}"
        )),
    }
}

/// The error for an attachment that exists already.
fn attached(call: &Call) -> Error {
    let of = call.attachment.as_ref().map_or_else(String::new, |attachment| {
        format!("container {} is attached as {}", attachment.container, attachment.ifname)
    });
    Error::internal(format!("{of} to network {} already", call.network))
        .details("DEL the attachment before the next ADD")
}

/// The addresses of an attachment for which no IPAM plugin is asked: those of `prevResult`, if the
/// plugin [never asks one](Addressing::None).
fn undelegated<P: Plugin>(plugin: &P, call: &Call) -> Addresses {
    match plugin.addressing(call) {
        Addressing::None => call.prev_addresses(),
        _ => Addresses::default(),
    }
}

/// PLAN: whether `prevResult` has the container's interface, so that the attachment is live.
fn is_live(call: &Call) -> bool {
    let interfaces = call.prev.iter().flat_map(|prev| &prev.interfaces);
    let ifname = call.attachment.as_ref().map(|attachment| attachment.ifname.as_str());
    let mut own = interfaces.filter(|interface| !interface.sandbox.is_empty());
    own.any(|interface| ifname == Some(interface.name.as_str()))
}

/// PLAN of a live attachment: what CHECK compares with the kernel. An ADD would be refused.
fn live<P: Plugin>(plugin: &P, call: &Call) -> Result<Preview> {
    let addresses = call.checked_prev()?;
    let call = Call { verb: Verb::Check, ..call.clone() };
    shown::<P>(plugin.plan(&call, &addresses)?, String::new())
}

/// What PLAN prints.
fn shown<P: Plugin>(
    (mut plan, result): (PlanOf<P>, AddResult),
    unknown: String,
) -> Result<Preview> {
    P::Executor::mark_existing(&mut plan);
    let plan = serde_json::to_value(plan)
        .map_err(|error| Error::internal(format!("write the plan as JSON: {error}")))?;
    Ok(Preview { plan, result, unknown })
}

fn without_addresses(ipam: &Ipam<'_>) -> String {
    format!(
        "addresses, and what depends on them: the IPAM plugin {} does not know PLAN, and its ADD \
         would reserve them",
        ipam.name()
    )
}

/// CHECK's answer: how many differences, of which attachment, and each on a line of its own.
fn differs(call: &Call, differences: &[String]) -> Error {
    let of = match &call.attachment {
        Some(attachment) => format!("{} of container {}", attachment.ifname, attachment.container),
        None => "the network".to_owned(),
    };
    let count = match differences.len() {
        1 => "1 difference".to_owned(),
        count => format!("{count} differences"),
    };
    Error::new(Code::INTERNAL, format!("{of} on {}: {count} from what ADD made", call.network))
        .details(differences.join("\n"))
}
