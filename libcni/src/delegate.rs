//! Asking an IPAM plugin: the specification's delegation (spec 1.1.0, section 4).

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::exec::{self, Exec};
use crate::{
    AddResult, Addresses, Addressing, BuiltIn, Call, Code, Context, Error, Executor, IpConfig,
    PluginType, Preview, Result, json, text,
};

/// The minimum time that an IPAM plugin gets to release an address.
const RELEASE: Duration = Duration::from_secs(10);

/// The error of host-local, ours and the reference's, for a second ADD of an attachment.
const HELD_BEFORE: &str = "duplicate allocation is not allowed";

/// The error of an ADD that may have reserved addresses.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) error: Error,
    /// Whether an earlier call reserved the addresses, according to the IPAM plugin. Then this call
    /// must not release them.
    pub(crate) held_before: bool,
}

impl Refused {
    /// A failure after the IPAM plugin has answered.
    pub(crate) fn afterwards(error: Error) -> Refused {
        Refused { error, held_before: false }
    }
}

/// The IPAM plugin of a call's configuration.
#[derive(Debug)]
pub(crate) struct Ipam<'a> {
    name: PluginType,
    program: PathBuf,
    /// How it is called in this process, if it is built in.
    built_in: Option<BuiltIn>,
    needs_interface: bool,
    call: &'a Call,
}

impl<'a> Ipam<'a> {
    /// Finds the plugin that `ipam.type` names; none if the caller wants none or may do without.
    pub(crate) fn of<E: Executor>(
        call: &'a Call,
        addressing: Addressing,
    ) -> Result<Option<Ipam<'a>>> {
        let name = match (addressing, call.ipam_type()) {
            (Addressing::None, _) | (Addressing::Optional, None) => return Ok(None),
            (Addressing::Optional | Addressing::Required, name) => name.unwrap_or_default(),
        };
        let name = PluginType::new(name).context(|| "ipam.type")?;
        let program = exec::find(&name, &call.path)?;
        let built_in = E::built_in(&name, &program);
        let needs_interface = E::needs_interface(call, &name);
        Ok(Some(Ipam { name, program, built_in, needs_interface, call }))
    }

    /// The plugin's type.
    pub(crate) fn name(&self) -> &PluginType {
        &self.name
    }

    /// Whether it asks for addresses over the container's interface, which therefore has to be
    /// there first.
    pub(crate) fn needs_interface(&self) -> bool {
        self.needs_interface
    }

    /// Calls ADD. Refuses a result that no container could use. After any failure, the caller must
    /// [release](Ipam::release) what the plugin reserved.
    pub(crate) fn add(&self) -> Result<Addresses, Refused> {
        let answer = self.run("ADD").map_err(|error| {
            let held_before = error.msg.contains(HELD_BEFORE);
            Refused { error, held_before }
        })?;
        self.read(&answer).map_err(Refused::afterwards)
    }

    /// DEL, after something else failed: its own failure only adds to that error.
    pub(crate) fn release(&self, error: Error) -> Error {
        // The call's own time may be over: that must not keep the address from being released.
        match self.run_until("DEL", self.call.deadline.max(Instant::now() + RELEASE)) {
            Ok(_) => error,
            // A plugin that rejects every call has given this reason already.
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

    /// CHECK after a REPAIR that the plugin does not know. One that knows no CHECK either finds
    /// nothing wrong.
    pub(crate) fn recheck(&self) -> Result<()> {
        known(self.run("CHECK")).map(drop)
    }

    /// STATUS. A plugin that has never heard of it has nothing to say against an ADD.
    pub(crate) fn status(&self) -> Result<()> {
        known(self.run("STATUS")).map(drop)
    }

    /// GC. A plugin that has never heard of it has nothing to say about it.
    pub(crate) fn gc(&self) -> Result<()> {
        known(self.run("GC")).map(drop)
    }

    /// REPAIR, a verb of ours; `None` from plugins that do not know it.
    pub(crate) fn repair(&self) -> Result<Option<Vec<String>>> {
        let answer = known(self.run("REPAIR"))?;
        answer.map(|answer| json::from_value(&self.parse(&answer)?)).transpose()
    }

    /// PLAN, a verb of ours: the addresses that ADD would hand out; `None` from plugins that do not
    /// know it.
    pub(crate) fn preview(&self) -> Result<Option<Addresses>> {
        let Some(answer) = known(self.run("PLAN"))? else { return Ok(None) };
        let preview: Preview = json::from_value(&self.parse(&answer)?)?;
        self.checked(preview.result).map(Some)
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
        let mut env = vec![("CNI_COMMAND".to_owned(), verb.to_owned())];
        if verb == "DEL" && self.call.netns.is_none() {
            // The namespace is missing or is the host's, so the plugin must not look into it.
            env.push(("CNI_NETNS".to_owned(), String::new()));
        }
        let exec = Exec {
            program: &self.program,
            env: &env,
            stdin: config.as_bytes(),
            deadline: Some(deadline),
            cancel: None,
        };
        exec.run()
    }

    fn parse(&self, answer: &[u8]) -> Result<Value> {
        json::value(answer).map_err(|error| {
            let said = text::excerpt(&String::from_utf8_lossy(answer));
            let msg = format!("the IPAM plugin {} did not answer with JSON: {error}", self.name);
            Error::new(Code::DECODE_FAILURE, msg).details(match said.as_str() {
                "" => "it printed nothing".to_owned(),
                said => format!("it printed \"{said}\""),
            })
        })
    }

    fn read(&self, answer: &[u8]) -> Result<Addresses> {
        let mut value = self.parse(answer)?;
        // As in the reference, a result that says no version has that of the configuration.
        let version = json::get(&value, "cniVersion").and_then(Value::as_str);
        if version.is_none_or(str::is_empty)
            && let Some(object) = value.as_object_mut()
        {
            object.retain(|key, _| !key.eq_ignore_ascii_case("cniVersion"));
        }
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
            if error.code == Code::INVALID_ENVIRONMENT && error.msg.contains("CNI_COMMAND") =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
