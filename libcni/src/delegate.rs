//! Asking an IPAM plugin: the specification's delegation (spec 1.1.0, section 4).

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::exec::{self, Exec};
use crate::{
    AddResult, Addresses, Addressing, BuiltIn, Call, Context, Error, IpConfig, PluginType, Preview,
    Result, code, json,
};

/// What an IPAM plugin gets at least to release an address.
const RELEASE: Duration = Duration::from_secs(10);

/// The IPAM plugin of a call's configuration.
#[derive(Debug)]
pub(crate) struct Ipam<'a> {
    name: PluginType,
    program: PathBuf,
    /// How it is called in this process, if it is built in.
    built_in: Option<BuiltIn>,
    call: &'a Call,
}

impl<'a> Ipam<'a> {
    /// Finds the plugin that `ipam.type` names; none if the caller wants none or may do without. `built_in` says which
    /// plugins need no process of their own.
    pub(crate) fn of(
        call: &'a Call,
        addressing: Addressing,
        built_in: impl FnOnce(&PluginType, &Path) -> Option<BuiltIn>,
    ) -> Result<Option<Ipam<'a>>> {
        let name = match (addressing, call.ipam_type()) {
            (Addressing::None, _) | (Addressing::Optional, None) => return Ok(None),
            (Addressing::Optional | Addressing::Required, name) => name.unwrap_or_default(),
        };
        let name = PluginType::new(name).context(|| "ipam.type")?;
        let program = exec::find(&name, &call.path)?;
        let built_in = built_in(&name, &program);
        Ok(Some(Ipam { name, program, built_in, call }))
    }

    /// Whether it asks for addresses over the container's interface, which therefore has to be there first: `dhcp`.
    pub(crate) fn needs_interface(&self) -> bool {
        self.name.as_str() == "dhcp"
    }

    /// ADD. An answer that no container could use is refused. After any failure the plugin is asked to DEL (spec, section
    /// 4): the container has no such interface yet, so whatever is reserved for it is left over from something.
    pub(crate) fn add(&self) -> Result<Addresses> {
        let answer = self.run("ADD");
        answer.and_then(|answer| self.read(&answer)).map_err(|error| self.release(error))
    }

    /// DEL, after something else failed: its own failure only adds to that error.
    pub(crate) fn release(&self, error: Error) -> Error {
        // The call's own time may be over: that must not keep the address from being released.
        match self.run_until("DEL", self.call.deadline.max(Instant::now() + RELEASE)) {
            Ok(_) => error,
            // Whoever refuses everything has said why.
            Err(also) if also == error => error,
            Err(also) => error.line(&format!("releasing the address failed too: {also}")),
        }
    }

    pub(crate) fn del(&self) -> Result<()> {
        self.run("DEL").map(drop)
    }

    pub(crate) fn check(&self) -> Result<()> {
        self.run("CHECK").map(drop)
    }

    /// STATUS. A plugin that has never heard of it has nothing to say against an ADD.
    pub(crate) fn status(&self) -> Result<()> {
        known(self.run("STATUS")).map(drop)
    }

    /// GC. A plugin that has never heard of it has nothing to say about it.
    pub(crate) fn gc(&self) -> Result<()> {
        known(self.run("GC")).map(drop)
    }

    /// REPAIR, a verb of ours; nothing from plugins that do not know it.
    pub(crate) fn repair(&self) -> Result<Vec<String>> {
        let Some(answer) = known(self.run("REPAIR"))? else { return Ok(Vec::new()) };
        json::from_value(&self.parse(&answer)?)
    }

    /// PLAN, a verb of ours: the addresses that ADD would hand out.
    pub(crate) fn preview(&self) -> Result<Addresses> {
        let answer = known(self.run("PLAN"))?.ok_or_else(|| {
            let msg = format!("the IPAM plugin {} cannot say its addresses beforehand", self.name);
            Error::new(code::UNSUPPORTED_FIELD, msg).details(
                "it does not know the command PLAN, and asking it to ADD would reserve one",
            )
        })?;
        let preview: Preview = json::from_value(&self.parse(&answer)?)?;
        self.checked(preview.result)
    }

    fn run(&self, verb: &str) -> Result<Vec<u8>> {
        self.run_until(verb, self.call.deadline)
    }

    /// Asks the plugin: here if it is built in, otherwise by running its binary.
    fn run_until(&self, verb: &str, deadline: Instant) -> Result<Vec<u8>> {
        if let Some(built_in) = self.built_in {
            return built_in.call(verb, &self.call.config, deadline).map(String::into_bytes);
        }
        let config = self.call.config.to_string();
        let exec = Exec {
            program: &self.program,
            env: &[("CNI_COMMAND".to_owned(), verb.to_owned())],
            stdin: config.as_bytes(),
            deadline: Some(deadline),
            cancel: None,
        };
        exec.run()
    }

    fn parse(&self, answer: &[u8]) -> Result<Value> {
        serde_json::from_slice(answer).map_err(|error| {
            let said = String::from_utf8_lossy(answer).chars().take(200).collect::<String>();
            let msg = format!("the IPAM plugin {} did not answer with JSON: {error}", self.name);
            Error::new(code::DECODE_FAILURE, msg).details(match said.as_str() {
                "" => "it printed nothing".to_owned(),
                said => format!("it printed {said:?}"),
            })
        })
    }

    fn read(&self, answer: &[u8]) -> Result<Addresses> {
        let value = self.parse(answer)?;
        let result = AddResult::from_json(&value, self.call.version)
            .context(|| format!("the result of the IPAM plugin {}", self.name))?;
        self.checked(result)
    }

    /// Whether a container could use the addresses.
    fn checked(&self, result: AddResult) -> Result<Addresses> {
        let lie = |what: String| {
            Error::internal(format!("IPAM plugin returned {what}"))
                .details(format!("{} is at fault, or its configuration", self.program.display()))
        };
        if result.ips.is_empty() {
            return Err(lie("missing IP config".to_owned()));
        }
        for (at, ip) in result.ips.iter().enumerate() {
            let address = ip.address.ip();
            if address.is_unspecified() || address.is_multicast() || address.is_loopback() {
                return Err(lie(format!("{address}, which is no address for a container")));
            }
            if ip.gateway.is_some_and(|gateway| gateway.is_ipv4() != address.is_ipv4()) {
                return Err(lie(format!("a gateway of another family for {address}")));
            }
            let same = |other: &IpConfig| other.address.ip() == address;
            if result.ips.iter().take(at).any(same) {
                return Err(lie(format!("the address {address} twice")));
            }
        }
        for route in &result.routes {
            if route.gw.is_some_and(|gw| gw.is_ipv4() != route.dst.is_ipv4()) {
                return Err(lie(format!(
                    "a next hop of another family for the route {}",
                    route.dst
                )));
            }
        }
        Ok(Addresses(result))
    }
}

/// None if the plugin does not know the verb.
fn known<T>(answer: Result<T>) -> Result<Option<T>> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error)
            if error.code == code::INVALID_ENVIRONMENT && error.msg.contains("CNI_COMMAND") =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
