//! VERSION, which is answered whatever it comes with.

use std::io::{self, BufReader, ErrorKind, IsTerminal, Read};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::Deserializer;
use serde::de::{Deserialize, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::json;

use crate::{Manual, Version, json};

/// The answer to VERSION, in the version that it was asked in.
pub(super) fn answer(manual: &Manual, asked: Version) -> String {
    let supported: Vec<String> = manual.versions.iter().map(Version::to_string).collect();
    format!("{}\n", json!({ "cniVersion": asked.to_string(), "supportedVersions": supported }))
}

/// How long VERSION waits for the end of the configuration.
const PATIENCE: Duration = Duration::from_secs(1);

/// The version that VERSION is asked in (spec, "Version"): the one on stdin, if the plugin speaks
/// it. VERSION is answered whatever is there, also to a person at a terminal.
pub(super) fn asked_for(manual: &Manual) -> Version {
    let stdin = io::stdin();
    let asked = (!stdin.is_terminal()).then(|| version_in(stdin.as_fd())).flatten();
    let is_asked = |version: &&Version| asked.as_ref() == Some(&version.to_string());
    manual.versions.iter().find(is_asked).copied().unwrap_or(Version::CURRENT)
}

/// The `cniVersion` of the JSON object that arrives within [`PATIENCE`], whether or not more input
/// could follow. Keeps nothing else, and reads each byte once.
fn version_in(input: impl AsFd) -> Option<String> {
    let until = Instant::now().checked_add(PATIENCE)?;
    let limit = u64::try_from(json::MAX_BYTES).unwrap_or(u64::MAX);
    let input = BufReader::with_capacity(64 << 10, Timed { input, until }.take(limit));
    let mut json = serde_json::Deserializer::from_reader(input);
    let asked = Asked::deserialize(&mut json).ok()?;
    asked.exact.or(asked.other)
}

/// A descriptor that can be read until a deadline.
struct Timed<F> {
    input: F,
    until: Instant,
}

impl<F: AsFd> Read for Timed<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.until.saturating_duration_since(Instant::now());
        let mut waiting = [PollFd::new(self.input.as_fd(), PollFlags::POLLIN)];
        let left = PollTimeout::try_from(left).map_err(|_| ErrorKind::InvalidInput)?;
        // The reader repeats an interrupted wait.
        if left == PollTimeout::ZERO || poll(&mut waiting, left)? == 0 {
            return Err(ErrorKind::TimedOut.into());
        }
        Ok(rustix::io::read(&self.input, buffer)?)
    }
}

/// The `cniVersion` of an object, in any case.
#[derive(Default)]
struct Asked {
    exact: Option<String>,
    other: Option<String>,
}

impl<'de> Deserialize<'de> for Asked {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Asked, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = Asked;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Asked, A::Error> {
                let mut asked = Asked::default();
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "cniVersion" => asked.exact = map.next_value::<Text>()?.0,
                        key if key.eq_ignore_ascii_case("cniVersion") => {
                            asked.other = map.next_value::<Text>()?.0;
                        }
                        _ => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(asked)
            }
        }
        from.deserialize_map(Keys)
    }
}

/// A string; `None` for any other value, which is skipped.
struct Text(Option<String>);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Text, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Text;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a version")
            }

            fn visit_str<E>(self, text: &str) -> Result<Text, E> {
                Ok(Text(Some(text.to_owned())))
            }

            fn visit_bool<E>(self, _: bool) -> Result<Text, E> {
                Ok(Text(None))
            }

            fn visit_i64<E>(self, _: i64) -> Result<Text, E> {
                Ok(Text(None))
            }

            fn visit_u64<E>(self, _: u64) -> Result<Text, E> {
                Ok(Text(None))
            }

            fn visit_f64<E>(self, _: f64) -> Result<Text, E> {
                Ok(Text(None))
            }

            fn visit_unit<E>(self) -> Result<Text, E> {
                Ok(Text(None))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Text, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Text(None))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Text, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Text(None))
            }
        }
        from.deserialize_any(Any)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// What is found in `text` while the other end of the pipe stays open.
    fn found(text: &str) -> Option<String> {
        let (reader, mut writer) = io::pipe().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| writer.write_all(text.as_bytes()).ok());
            version_in(reader)
        })
    }

    #[test]
    fn the_version_is_that_of_the_first_object() {
        assert_eq!(
            found(r#"{"a": [{"cniVersion": "9"}], "cniVersion": "0.4.0"}"#).unwrap(),
            "0.4.0"
        );
        assert_eq!(found(r#"{"CNIVERSION": "0.4.0"} and more"#).unwrap(), "0.4.0");
        assert_eq!(found(r#"{"cniVersion": "0.4.0", "cniversion": "1.0.0"}"#).unwrap(), "0.4.0");
        for other in
            [r#"{"cniVersion": 5}"#, r#"{"cniVersion": {"a": [null, 1.5, true]}}"#, "[]", "{}"]
        {
            assert_eq!(found(other), None, "{other}");
        }
    }

    #[test]
    fn an_object_without_end_has_none() {
        assert_eq!(found(r#"{"cniVersion": "0.4.0","#), None);
    }
}
