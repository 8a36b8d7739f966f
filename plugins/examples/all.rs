//! All plugins in one program, which is the plugin that it is called: make a link to it for each.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let called = std::env::args_os().next().unwrap_or_default();
    let name = Path::new(&called).file_name().and_then(|name| name.to_str()).unwrap_or_default();
    ferrocni::run(name).unwrap_or_else(|| {
        eprintln!("no plugin is called \"{name}\": link this program as bridge, for example");
        ExitCode::FAILURE
    })
}
