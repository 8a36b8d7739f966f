//! What a plugin's message says about the configuration that it needs.

use std::collections::BTreeSet;

use super::draft::{Hint, Type};

/// Keys that every configuration, result or error has, in lower case.
const OF_THE_PROTOCOL: [&str; 18] = [
    "cniversion",
    "name",
    "type",
    "ipam",
    "args",
    "cni",
    "dns",
    "ips",
    "ip",
    "routes",
    "interfaces",
    "prevresult",
    "runtimeconfig",
    "code",
    "msg",
    "details",
    "sandbox",
    "default",
];
/// The words before a key that is missing: "missing subnet".
const BEFORE: [&str; 8] =
    ["missing", "no", "need", "needs", "require", "requires", "specify", "set"];
/// The words after a key that is missing: "subnet is required".
const AFTER: [&str; 8] =
    ["missing", "required", "empty", "unset", "undefined", "needed", "mandatory", "specified"];
/// Words that are not keys.
const NOT_KEYS: [&str; 24] = [
    "is",
    "are",
    "was",
    "not",
    "be",
    "must",
    "a",
    "an",
    "the",
    "to",
    "of",
    "in",
    "field",
    "key",
    "and",
    "or",
    "for",
    "value",
    "valid",
    "such",
    "file",
    "directory",
    "config",
    "configuration",
];
/// The parts of a message, without spaces, of a plugin that must be chained.
const CHAINED: [&str; 4] = ["prevresult", "previousresult", "previousplugin", "chained"];

/// The keys that a program knows: the tags of Go's structures in a binary, the paths of `jq` and
/// single words in quotes in a script.
pub fn vocabulary(program: &[u8]) -> BTreeSet<String> {
    let text = String::from_utf8_lossy(program);
    let starts: &[&str] = if program.contains(&0) { &["json:\""] } else { &[".", "\"", "'"] };
    let mut found = BTreeSet::new();
    for start in starts {
        for (at, _) in text.match_indices(start) {
            let before = text.get(..at).and_then(|text| text.chars().next_back());
            let rest = text.get(at + start.len()..).unwrap_or_default();
            let key: String = rest.chars().take_while(|c| is_part(*c)).take(40).collect();
            let after = rest.chars().nth(key.chars().count());
            let is_key = match *start {
                "." => !before.is_some_and(|c| is_part(c) || c == '/' || c == '.'),
                "json:\"" => matches!(after, Some('"' | ',')),
                quote => after == quote.chars().next(),
            };
            if is_key && key.len() > 1 && key.starts_with(|c: char| c.is_ascii_alphabetic()) {
                found.insert(key);
            }
        }
    }
    found.retain(|key| !is_of_the_protocol(key));
    found
}

fn is_of_the_protocol(key: &str) -> bool {
    OF_THE_PROTOCOL.contains(&key.to_lowercase().as_str())
}

fn is_part(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

/// The hints in a message, the best first.
pub fn hints(message: &str, vocabulary: &BTreeSet<String>) -> Vec<Hint> {
    let mut hints = Vec::new();
    let squeezed = squeeze(message);
    if CHAINED.iter().any(|part| squeezed.contains(part)) {
        hints.push(Hint::Chain);
    }
    if message.to_lowercase().contains("default route") {
        hints.push(Hint::DefaultRoute);
    }
    hints.extend(other_type(message));
    hints.extend(variables(message).into_iter().map(Hint::Variable));
    let quoted = quoted(message).into_iter().filter(|word| {
        vocabulary.contains(*word) || (vocabulary.is_empty() && !NOT_KEYS.contains(word))
    });
    let missing = missing(message);
    let keys = quoted.map(str::to_owned).chain(known(message, vocabulary)).chain(missing);
    hints.extend(keys.filter(|key| !is_of_the_protocol(key)).map(Hint::Key));
    let mut seen = BTreeSet::new();
    hints.retain(|hint| seen.insert(hint.clone()));
    hints
}

/// A text in lower case without spaces and punctuation: "VRF name" is `vrfname`.
fn squeeze(text: &str) -> String {
    text.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase()
}

fn words(message: &str) -> Vec<&str> {
    let split = message.split(|c: char| !is_part(c) && c != '$');
    split.filter(|word| !word.is_empty()).collect()
}

/// "json: cannot unmarshal string into Go struct field NetConf.vlan of type int".
fn other_type(message: &str) -> Option<Hint> {
    let (field, rest) = message.split_once("struct field ")?.1.split_once(" of type ")?;
    let key = field.rsplit('.').next().filter(|key| !is_of_the_protocol(key))?.to_owned();
    let kind = match rest {
        rest if rest.starts_with("[]") => Type::List,
        rest if rest.starts_with("bool") => Type::Bool,
        rest if rest.starts_with("string") => Type::Text,
        rest if rest.starts_with("int") || rest.starts_with("uint") => Type::Number,
        _ => Type::Object,
    };
    Some(Hint::Type(key, kind))
}

/// The environment variables that a message names.
fn variables(message: &str) -> Vec<String> {
    let lower = message.to_lowercase();
    let is_about = lower.contains("environment") || lower.contains("variable");
    let is_name = |word: &&str| {
        let name = word.trim_start_matches('$');
        let capitals =
            name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
        let marked = is_about || word.starts_with('$') || name.contains('_');
        let own = name == "CNI_ARGS" || !name.starts_with("CNI_");
        capitals && marked && own && name.len() > 2 && name != "PATH"
    };
    let names = words(message).into_iter().filter(is_name);
    names.map(|word| word.trim_start_matches('$').to_owned()).collect()
}

/// The single words in quotes.
fn quoted(message: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for quote in ['"', '`', '\''] {
        let between = message.split(quote).skip(1).step_by(2);
        found.extend(between.filter(|word| word.len() > 1 && word.chars().all(is_part)));
    }
    found
}

/// The keys that the program knows and the message mentions, the longest first.
fn known(message: &str, vocabulary: &BTreeSet<String>) -> Vec<String> {
    let squeezed = squeeze(message);
    let words: Vec<String> = words(message).iter().map(|word| word.to_lowercase()).collect();
    let is_said = |key: &&String| {
        let short = squeeze(key);
        words.contains(&key.to_lowercase()) || (short.len() > 4 && squeezed.contains(&short))
    };
    let mut keys: Vec<String> = vocabulary.iter().filter(is_said).cloned().collect();
    keys.sort_by_key(|key| std::cmp::Reverse(key.len()));
    keys
}

/// The words beside "missing" and "required".
fn missing(message: &str) -> Vec<String> {
    let words = words(message);
    let is_key = |word: &&&str| !NOT_KEYS.contains(&word.to_lowercase().as_str());
    let mut found = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let word = word.to_lowercase();
        let before = words.get(..at).unwrap_or_default();
        let after = words.get(at + 1..).unwrap_or_default();
        if BEFORE.contains(&word.as_str()) {
            found.extend(after.iter().take(3).find(is_key));
        }
        if AFTER.contains(&word.as_str()) {
            found.extend(before.iter().rev().take(3).find(is_key));
        }
    }
    let is_word = |word: &&&str| word.len() > 1 && word.starts_with(|c: char| c.is_alphabetic());
    found.iter().filter(is_word).map(|word| (**word).to_owned()).collect()
}

/// What the kit cannot provide, and what the user can do about it.
pub fn advice(message: &str) -> Option<String> {
    let lower = message.to_lowercase();
    let path = message.split(|c: char| c.is_whitespace() || "\"'`:,;()".contains(c));
    let path = path.rev().find(|word| word.starts_with('/') && word.len() > 1);
    let has = |parts: &[&str]| parts.iter().any(|part| lower.contains(part));
    match path {
        _ if has(&["executable file not found", "command not found"]) => {
            Some("it needs a program that this machine lacks: install it".to_owned())
        }
        _ if has(&["not supported"]) => Some(
            "it needs something that this kernel does not support: try another kernel".to_owned(),
        ),
        _ if has(&["failed to find plugin", "no such plugin"]) => {
            Some("it runs another plugin: name its directory with --path".to_owned())
        }
        Some(path) if has(&["dial", "connect", "socket"]) => Some(format!(
            "it talks to a process at {path}: start that process in `setup`, in the background"
        )),
        Some(path) if has(&["no such file"]) => {
            Some(format!("it needs {path}, which another program writes: write it in `setup`"))
        }
        None if has(&["connection refused", "dial ", "connect:"]) => Some(
            "it talks to another process: start that process in `setup`, in the background"
                .to_owned(),
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Hint, Type, advice, hints, vocabulary};

    fn first(message: &str, words: &[&str]) -> Hint {
        let vocabulary: BTreeSet<String> = words.iter().map(|word| (*word).to_owned()).collect();
        hints(message, &vocabulary).into_iter().next().unwrap()
    }

    #[test]
    fn messages_of_known_plugins_name_what_is_missing() {
        let key = |name: &str| Hint::Key(name.to_owned());
        for (message, words, hint) in [
            (
                "\"master\" field is required. It specifies the host interface",
                &["master", "mode"][..],
                key("master"),
            ),
            ("missing field `subnet` at line 1 column 9", &[], key("subnet")),
            ("no IP ranges specified", &["ranges", "subnet"], key("ranges")),
            (
                "configuration is expected to have a valid vrf name",
                &["vrfname", "table"],
                key("vrfname"),
            ),
            ("bridge is required", &[], key("bridge")),
            ("required prevResult missing", &["table"], Hint::Chain),
            ("must be called as a chained plugin", &[], Hint::Chain),
            (
                "the environment variable MYTOKEN is not set",
                &[],
                Hint::Variable("MYTOKEN".to_owned()),
            ),
            ("NODE_NAME missing", &[], Hint::Variable("NODE_NAME".to_owned())),
            (
                "json: cannot unmarshal string into Go struct field NetConf.vlanId of type int",
                &["vlanId"],
                Hint::Type("vlanId".to_owned(), Type::Number),
            ),
        ] {
            assert_eq!(first(message, words), hint, "{message}");
        }
    }

    #[test]
    fn keys_are_in_the_program() {
        let binary = b"\0json:\"vrfname\"\0json:\"table,omitempty\"\0json:\"name\"";
        assert_eq!(vocabulary(binary).into_iter().collect::<Vec<_>>(), ["table", "vrfname"]);
        let script = b"jq -r .subnet; jq '.ipam.range'; ./x.sh; a=\"mtu\"; echo \"no such\"";
        let found = vocabulary(script);
        assert!(found.contains("subnet") && found.contains("mtu"), "{found:?}");
        assert!(!found.contains("sh"), "{found:?}");
    }

    #[test]
    fn what_the_user_has_to_do_is_said() {
        let said = |message| advice(message).unwrap_or_default();
        assert!(
            said("open /run/flannel/subnet.env: no such file or directory")
                .contains("/run/flannel/subnet.env")
        );
        assert!(
            said("dial unix /run/cni/dhcp.sock: connect: no such file")
                .contains("start that process")
        );
        assert!(said("failed to find plugin \"bridge\" in path [/x]").contains("--path"));
        assert_eq!(advice("subnet is required"), None);
    }
}
