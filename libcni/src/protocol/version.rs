//! VERSION, which is answered whatever it comes with.

use std::io::{self, IsTerminal, Read};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::{Value, json};

use super::spoken_in;
use crate::{Manual, Version, json};

/// The answer to VERSION, in the version that it was asked in.
pub(super) fn answer(manual: &Manual, asked: Version) -> String {
    let supported: Vec<String> = manual.versions.iter().map(Version::to_string).collect();
    format!("{}\n", json!({ "cniVersion": asked.to_string(), "supportedVersions": supported }))
}

/// How long VERSION waits for somebody who keeps stdin open and says nothing.
const PATIENCE: Duration = Duration::from_secs(1);

/// The version that VERSION is asked in (spec, "Version"): the one on stdin, if the plugin speaks it. VERSION is answered
/// whatever is there, also to a person at a terminal.
pub(super) fn asked_for(manual: &Manual) -> Version {
    let stdin = io::stdin();
    let asked = (!stdin.is_terminal()).then(|| first_value(&mut stdin.lock())).flatten();
    asked.and_then(|config| spoken_in(&config, manual.versions)).unwrap_or(Version::CURRENT)
}

/// The JSON that comes in within [`PATIENCE`], whether or not more could follow.
fn first_value(input: &mut (impl Read + AsFd)) -> Option<Value> {
    let deadline = Instant::now().checked_add(PATIENCE)?;
    // Not smaller than the buffer inside stdin, or bytes would wait there unseen.
    let (mut bytes, mut buffer) = (Vec::new(), [0; 16 * 1024]);
    while bytes.len() <= json::MAX_BYTES {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut waiting = [PollFd::new(input.as_fd(), PollFlags::POLLIN)];
        match poll(&mut waiting, PollTimeout::try_from(left).ok()?) {
            Ok(0) => return None,
            Ok(_) => {}
            Err(_) => continue,
        }
        match input.read(&mut buffer) {
            Ok(0) | Err(_) => return None,
            Ok(read) => bytes.extend(buffer.iter().take(read)),
        }
        if let Ok(value) = json::parse(&bytes) {
            return Some(value);
        }
    }
    None
}
