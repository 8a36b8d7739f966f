//! Values for `runtimeConfig` that no plugin of the network would get.

use libcni::{Error, Result};

use crate::lint::suggest::nearest;
use crate::{Session, note};

/// A plugin gets the values of the capabilities that it declares, and no others. A runtime has
/// values for all networks, and drops the rest; who gives one by hand wants it used: a fixed
/// address, for example.
///
/// # Errors
///
/// `--capabilities` has a value that no plugin declares. Of `CAP_ARGS`, which the reference's
/// cnitool reads too, it is only said.
pub fn check(session: &Session<'_>) -> Result<()> {
    let Session { arguments, list, .. } = session;
    let declared = || list.plugins.iter().flat_map(|plugin| &plugin.capabilities);
    let mut unused = arguments.capability_args.keys();
    let Some(unused) = unused.find(|name| !declared().any(|known| known == *name)) else {
        return Ok(());
    };
    let source = if arguments.capabilities_are_given { "--capabilities" } else { "CAP_ARGS" };
    let what = format!("{source}: no plugin of {} declares the capability {unused:?}", list.name);
    let remedy = match nearest(unused, declared().map(String::as_str)) {
        Some(meant) => format!("Did you mean {meant:?}? The names have to be spelt exactly."),
        None => format!(
            "Take it out, or add \"capabilities\": {{{unused:?}: true}} to the plugin of {} that \
             has it.",
            list.name
        ),
    };
    if arguments.capabilities_are_given {
        return Err(Error::config(what).details(remedy));
    }
    note(&format!("cnitool: {what}; its value is not used. {remedy}"));
    Ok(())
}
