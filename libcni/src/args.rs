//! `CNI_ARGS`: `KEY=VALUE;KEY=VALUE`, meant for plugins, which disagree about who may find a
//! mistake in it.
//!
//! So reading ([`parse`]) takes everything, and a plugin that has keys of its own asks for the rest
//! to be right ([`Call::known_args`](crate::Call::known_args)). A plugin without keys never fails
//! because of `CNI_ARGS`.

use crate::{Code, Error, Result};

/// The key that allows keys a plugin does not know.
const IGNORE_UNKNOWN: &str = "IgnoreUnknown";

/// Splits `CNI_ARGS` into pairs, at the first `=` of each. A piece without one gets an empty key.
pub(crate) fn parse(text: &str) -> Vec<(String, String)> {
    if text.is_empty() {
        return Vec::new();
    }
    let pair = |piece: &str| match piece.split_once('=') {
        Some((key, value)) => (key.to_owned(), value.to_owned()),
        None => (String::new(), piece.to_owned()),
    };
    text.split(';').map(pair).collect()
}

/// Checks for the plugin `plugin` that all is `KEY=VALUE`, and all keys are of `known`, unless
/// `IgnoreUnknown` is 1 or true.
pub(crate) fn check(args: &[(String, String)], plugin: &str, known: &[&str]) -> Result<()> {
    let refused = |msg: String, details: String| {
        Err(Error::new(Code::INVALID_ENVIRONMENT, format!("ARGS: {msg}")).details(details))
    };
    let wrong = |msg: String| {
        refused(msg, format!("{plugin} reads CNI_ARGS as KEY=VALUE pairs separated by semicolons"))
    };
    let mut ignore = false;
    let mut unknown = Vec::new();
    for (key, value) in args {
        let pair = if key.is_empty() { value.clone() } else { format!("{key}={value}") };
        if key.is_empty() || value.contains('=') {
            return wrong(format!("invalid pair {pair:?}"));
        }
        if key == IGNORE_UNKNOWN {
            ignore = match value.to_ascii_lowercase().as_str() {
                "1" | "true" => true,
                "0" | "false" => false,
                _ => {
                    return wrong(format!(
                        "error parsing value of pair {pair:?}: boolean unmarshal error: invalid \
                         input {value}"
                    ));
                }
            };
        } else if !known.contains(&key.as_str()) {
            unknown.push(format!("{pair:?}"));
        }
    }
    if ignore || unknown.is_empty() {
        return Ok(());
    }
    let known: Vec<_> = known.iter().map(|key| format!("{key}=")).collect();
    refused(
        format!("unknown args [{}]", unknown.join(" ")),
        format!(
            "{plugin} knows only {} in CNI_ARGS. Correct the key, or add IgnoreUnknown=1 to \
             CNI_ARGS if the pair is meant for another plugin.",
            known.join(" and ")
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(text: &str) -> Result<(), String> {
        check(&parse(text), "bridge", &["MAC", "IP"]).map_err(|error| error.msg)
    }

    #[test]
    fn pairs_with_known_keys_are_right() {
        for text in
            ["", "MAC=a", "MAC=a;IP=b", "IP=", "IgnoreUnknown=0", "IgnoreUnknown=TRUE;K8S_POD=x"]
        {
            assert_eq!(checked(text), Ok(()), "{text}");
        }
        assert_eq!(
            parse("MAC=a;IP=b=c"),
            [("MAC".into(), "a".into()), ("IP".into(), "b=c".into())]
        );
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_plugin_and_the_remedy() {
        let error = check(&parse("IP=10.0.0.2"), "bridge", &["MAC"]).unwrap_err();
        assert_eq!(
            error.details,
            "bridge knows only MAC= in CNI_ARGS. Correct the key, or add IgnoreUnknown=1 to \
             CNI_ARGS if the pair is meant for another plugin."
        );
        let error = check(&parse("IP"), "bridge", &["MAC"]).unwrap_err();
        assert_eq!(
            error.details,
            "bridge reads CNI_ARGS as KEY=VALUE pairs separated by semicolons"
        );
    }

    #[test]
    fn mistakes_are_shown() {
        let wrong = |text, msg: &str| assert_eq!(checked(text), Err(msg.to_owned()), "{text}");
        wrong("MAC=a;", "ARGS: invalid pair \"\"");
        wrong("MAC", "ARGS: invalid pair \"MAC\"");
        wrong("MAC=a=b", "ARGS: invalid pair \"MAC=a=b\"");
        wrong("A=B;MAC=x;C=D", "ARGS: unknown args [\"A=B\" \"C=D\"]");
        wrong("mac=a", "ARGS: unknown args [\"mac=a\"]");
        wrong(
            "IgnoreUnknown=yes",
            "ARGS: error parsing value of pair \"IgnoreUnknown=yes\": boolean unmarshal error: \
             invalid input yes",
        );
    }
}
