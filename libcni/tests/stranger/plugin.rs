//! A plugin at the level of the protocol, which knows no verb but those of the specification.

use std::process::ExitCode;

use libcni::ipnetwork::IpNetwork;
use libcni::{
    AddResult, Call, Code, Error, Interface, IpConfig, Manual, Result, Verbs, json, serde_json,
};

/// Key given twice.
const TWICE: Code = Code::new(101);

const SCHEMA: &str = r#"{ "properties": { "once": { "description": "No key twice." } } }"#;

#[derive(serde::Deserialize)]
struct Stranger {
    #[serde(default)]
    once: std::collections::BTreeMap<String, serde_json::Value>,
}

impl Verbs for Stranger {
    const MANUAL: Manual =
        Manual::new("stranger", env!("CARGO_PKG_VERSION"), "is a plugin of another suite", SCHEMA);

    fn add(&self, call: &Call) -> Result<AddResult> {
        let keys = json::entries(&call.text(), "once")?;
        if keys.len() != self.once.len() {
            let last = keys.last().map_or("", |(key, _)| key.as_str());
            return Err(Error::new(TWICE, format!("{last} is there twice")).details("no key twice"));
        }
        let address: IpNetwork = "10.1.2.3/24".parse().map_err(|_| Error::internal("address"))?;
        let attachment = call.attachment()?;
        let interface = Interface {
            name: attachment.ifname.to_string(),
            sandbox: call.netns.clone().unwrap_or_default(),
            ..Interface::default()
        };
        let ip = IpConfig { address, gateway: None, interface: Some(0) };
        Ok(AddResult::new(vec![interface], vec![ip]))
    }

    fn check(&self, _call: &Call) -> Result<()> {
        Ok(())
    }

    fn del(&self, _call: &Call) -> Result<()> {
        Ok(())
    }
}

fn main() -> ExitCode {
    libcni::run::<Stranger>()
}
