//! A runtime that attaches a container that has no namespace, and detaches it again.

use std::process::ExitCode;

use libcni::runtime::{AttachmentConfig, Cache, NetworkConfig, Runtime};
use libcni::{ContainerId, Error, NetworkName, Result, Verb, Version};

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let mut next = || args.next().unwrap_or_default();
    match run(&next(), &next(), &next()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error}", error.code);
            ExitCode::FAILURE
        }
    }
}

fn run(plugins: &str, cache: &str, mode: &str) -> Result<()> {
    let network = match mode {
        "work" => {
            r#"{ "cniVersion": "1.1.0", "name": "pods", "plugins": [{ "type": "stranger" }] }"#
        }
        _ => {
            r#"{ "cniVersion": "1.1.0", "name": "pods", "plugins": [{ "type": "stranger" },
                { "type": "stranger", "once": { "a": 1 }, "ONCE": { "b": 2 } }] }"#
        }
    };
    let network = NetworkConfig::parse(network.as_bytes())?;
    let pods: NetworkName = "pods".parse()?;
    assert_eq!(network.name, pods);
    assert_eq!((network.version, "1.1".parse()), (Version::CURRENT, Ok(Version::CURRENT)));
    assert_eq!("DEL".parse(), Ok(Verb::Del));
    let id: ContainerId = "c1".parse()?;
    assert_eq!((id.as_ref(), format!("{id}")), ("c1", "c1".to_owned()));

    let runtime = Runtime::new(vec![plugins.into()], Cache::new(cache));
    let container = AttachmentConfig::new(id, "eth0".parse()?, "/run/netns/absent");
    let result = runtime.add(&network, &container).map_err(|error: Error| {
        let undone = runtime.undo(&network, &container);
        error.line(&format!("undone: {}", undone.is_ok()))
    })?;
    for ip in &result.ips {
        println!("{}", ip.address);
    }
    let known = runtime.plan(&network, &container, false).is_ok();
    println!("plan: {}", if known { "known" } else { "not known" });
    runtime.del(&network, &container)?;
    println!("deleted");
    Ok(())
}
