//! The verbs of a plugin that is a plan: written once, for all of them.

use crate::delegate::Ipam;
use crate::{
    AddResult, Addresses, Addressing, Call, Error, Executor, Manual, Plugin, Preview, Result, Verb,
    Verbs, code,
};

impl<P: Plugin> Verbs for P {
    const MANUAL: Manual = P::MANUAL;

    fn add(&self, call: &Call) -> Result<AddResult> {
        let Some(ipam) = self.ipam(call)? else {
            let ready = match self.addressing(call) {
                Addressing::None => Default::default(),
                _ => P::Executor::ready(call)?,
            };
            return attach(self, call, ready, &Addresses::default());
        };
        // What can be found wrong without an address is found before one is reserved.
        self.plan(call, &Addresses::default())?;
        let ready = P::Executor::ready(call)?;
        if ipam.needs_interface() {
            return lease(self, call, ready, &ipam);
        }
        let addresses = ipam.add()?;
        attach(self, call, ready, &addresses).map_err(|error| ipam.release(error))
    }

    fn check(&self, call: &Call) -> Result<()> {
        let addresses = previous(call)?;
        if let Some(ipam) = self.ipam(call)? {
            ipam.check()?;
        }
        let (plan, _) = self.plan(call, &addresses)?;
        match P::Executor::diff(&plan)?.as_slice() {
            [] => Ok(()),
            differences => Err(differs(call, differences)),
        }
    }

    /// The kernel's objects go first: an address is released only when nothing uses it any more. Who has to say so over
    /// the container's interface says it before.
    fn del(&self, call: &Call) -> Result<()> {
        let (plan, _) = self.plan(call, &call.prev_addresses())?;
        let ipam = match self.ipam(call) {
            Ok(Some(ipam)) if ipam.needs_interface() => {
                let released = ipam.del();
                return both(P::Executor::remove(&plan), released);
            }
            ipam => ipam,
        };
        P::Executor::remove(&plan)?;
        ipam?.map_or(Ok(()), |ipam| ipam.del())
    }

    fn gc(&self, call: &Call) -> Result<()> {
        let collected = P::Executor::collect(&call.network, &call.valid);
        let released = match self.ipam(call) {
            Ok(Some(ipam)) => ipam.gc(),
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        both(collected, released)
    }

    fn status(&self, call: &Call) -> Result<()> {
        Plugin::status(self, call)?;
        self.ipam(call)?.map_or(Ok(()), |ipam| ipam.status())
    }

    fn preview(&self, call: &Call) -> Result<Preview> {
        let addresses = match self.ipam(call)? {
            Some(ipam) => ipam.preview()?,
            None => Addresses::default(),
        };
        let (plan, result) = self.plan(call, &addresses)?;
        let plan = serde_json::to_value(plan)
            .map_err(|error| Error::internal(format!("write the plan as JSON: {error}")))?;
        Ok(Preview { plan, result })
    }

    fn repair(&self, call: &Call) -> Result<Vec<String>> {
        let addresses = previous(call)?;
        let mut repaired = match self.ipam(call)? {
            Some(ipam) => ipam.repair()?,
            None => Vec::new(),
        };
        let (plan, _) = self.plan(call, &addresses)?;
        repaired.extend(P::Executor::repair(&plan)?);
        Ok(repaired)
    }

    fn sync(&self, call: &Call) -> Result<Vec<String>> {
        match self.network_plan(call)? {
            Some(plan) => P::Executor::repair(&plan),
            None => Ok(Vec::new()),
        }
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
        // It would start itself, and that one itself, without end.
        if addressing != Addressing::None && call.ipam_type() == Some(name) {
            return match call.verb {
                // Nothing was ever joined this way, so there is no address to give back.
                Verb::Del | Verb::Gc => Ok(None),
                _ => Err(Error::config(format!("ipam.type is {name}, which manages no addresses"))
                    .details("name a plugin that does, such as host-local")),
            };
        }
        Ipam::of(call, addressing, Self::Executor::built_in)
    }
}

impl<P: Plugin> Delegating for P {}

type ReadyOf<P> = <<P as Plugin>::Executor as Executor>::Ready;

/// Makes the attachment, with the addresses it got.
fn attach<P: Plugin>(
    plugin: &P,
    call: &Call,
    ready: ReadyOf<P>,
    addresses: &Addresses,
) -> Result<AddResult> {
    let (plan, mut result) = plugin.plan(call, addresses)?;
    // A result that the configuration's version cannot express is found out before anything is made.
    result.to_json(call.version)?;
    P::Executor::apply(&plan, ready, &mut result)?;
    Ok(result)
}

/// Makes the attachment without addresses, so that the IPAM plugin can ask for them over it; then completes it.
fn lease<P: Plugin>(
    plugin: &P,
    call: &Call,
    ready: ReadyOf<P>,
    ipam: &Ipam<'_>,
) -> Result<AddResult> {
    let (bare, mut made) = plugin.plan(call, &Addresses::default())?;
    P::Executor::apply(&bare, ready, &mut made)?;
    let complete = |addresses: &Addresses| {
        let (plan, result) = plugin.plan(call, addresses)?;
        // What only the system knows of the interfaces is known by now.
        let result = AddResult { interfaces: made.interfaces, ..result };
        result.to_json(call.version)?;
        P::Executor::repair(&plan)?;
        Ok(result)
    };
    let completed =
        ipam.add().and_then(|addresses| complete(&addresses).map_err(|error| ipam.release(error)));
    completed.map_err(|error| match P::Executor::remove(&bare) {
        Ok(()) => error,
        Err(also) => error.line(&format!("removing the interface failed too: {also}")),
    })
}

/// The addresses of the attachment by its `prevResult`, which has to be there and about this container.
fn previous(call: &Call) -> Result<Addresses> {
    let Some(prev) = &call.prev else {
        return Err(Error::config("Required prevResult missing")
            .details("the runtime has to hand on what ADD answered"));
    };
    let attachment = call.attachment()?;
    let ours = prev.interfaces.iter().find(|interface| {
        !interface.sandbox.is_empty() && interface.name == attachment.ifname.as_str()
    });
    if let (Some(interface), Some(netns)) = (ours, &call.netns)
        && interface.sandbox != *netns
    {
        let msg = format!(
            "Sandbox in prevResult {} doesn't match configured netns: {netns}",
            interface.sandbox
        );
        return Err(Error::config(msg));
    }
    Ok(call.prev_addresses())
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
    Error::new(code::INTERNAL, format!("{of} on {}: {count} from what ADD made", call.network))
        .details(differences.join("\n"))
}
