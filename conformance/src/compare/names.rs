//! Names that differ in each run: MAC addresses, host ends of veth pairs, digests. The names of a
//! container's objects are replaced by names that derive from the container, so that equal objects
//! become equal text.

use serde_json::Value;
use testbed::{Pod, normalise};

use crate::fixture::{Call, Container, Fixture, addresses};

/// A placeholder for the colons of a MAC address that must not be replaced.
const COLON: char = '\u{b7}';

/// The names and their replacements.
#[derive(Debug, Default)]
pub struct Names {
    /// The host ends of veth pairs.
    ends: Vec<(String, String)>,
    /// Addresses.
    addresses: Vec<(String, String)>,
    /// IDs, namespaces and numbers, which are replaced everywhere, also inside other names.
    ids: Vec<(String, String)>,
    /// MAC addresses that the configuration requests.
    macs: Vec<(String, String)>,
}

impl Names {
    /// Learns the names of a container after ADD.
    pub fn learn(
        &mut self,
        fixture: &Fixture,
        container: &Container,
        call: &Call<'_>,
        result: Option<&Value>,
    ) {
        let name = container.pod.name();
        let belongs = |text: String, what: &str| (text, format!("<{what}-of-{name}>"));
        let ends = host_ends(&fixture.host, &container.pod);
        self.ends.extend(ends.into_iter().map(|end| belongs(end, "host-end")));
        for address in result.map(addresses).unwrap_or_default() {
            let address = address.split('/').next().unwrap_or_default().to_owned();
            let family = if address.contains(':') { "IPv6" } else { "IPv4" };
            self.addresses.push(belongs(address, family));
        }
        self.ids.push(belongs(container.id.clone(), "id"));
        self.ids.push(belongs(container.pod.path().display().to_string(), "namespace"));
        if fixture.is_numbered() {
            self.ids.push(belongs(container.number.to_string(), "number"));
        }
        let config = call.cni.shell("ADD");
        let words = config.split(|c: char| !c.is_ascii_hexdigit() && c != ':');
        let macs = words.filter(|word| word.len() == 17 && word.matches(':').count() == 5);
        let made = container.prev.as_ref().map(Value::to_string).unwrap_or_default();
        for mac in macs.filter(|mac| !made.contains(mac)) {
            self.macs.push((mac.to_owned(), mac.replace(':', &COLON.to_string())));
        }
    }

    /// A text of a result, without what differs in each run.
    pub fn hide(&self, text: &str) -> String {
        let in_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        let text =
            self.macs.iter().fold(text.to_owned(), |text, (mac, kept)| text.replace(mac, kept));
        let text =
            self.ends.iter().fold(text, |text, (end, label)| replaced(&text, end, label, in_name));
        let text = self.ids.iter().fold(text, |text, (id, label)| text.replace(id, label));
        let kinds = ["mac", "veth", "linklocal", "chain", "id"];
        let text = kinds.iter().fold(normalise(&text), |text, kind| without_numbers(&text, kind));
        without_digests(&text).replace(COLON, ":")
    }

    /// A text of a state, where the addresses of containers are replaced, too. The results show
    /// whether the addresses are equal.
    pub fn hide_all(&self, text: &str) -> String {
        let text = self.addresses.iter().fold(text.to_owned(), |text, (address, label)| {
            match address.contains(':') {
                true => replaced(&text, address, label, |c| c.is_ascii_hexdigit() || c == ':'),
                false => replaced(&text, address, label, |c| c.is_ascii_digit() || c == '.'),
            }
        });
        self.hide(&text)
    }
}

/// The host ends of a container's veth pairs.
fn host_ends(host: &Pod, container: &Pod) -> Vec<String> {
    let links = |pod: &Pod| -> Vec<Value> {
        serde_json::from_str(&pod.run(&["ip", "-j", "-d", "link"])).unwrap_or_default()
    };
    let is_wire = |link: &&Value| {
        link.pointer("/linkinfo/info_kind").is_some_and(|kind| kind == "veth")
            && link.get("link_index").is_some()
    };
    let (outside, inside) = (links(host), links(container));
    let end_of = |link: &Value| {
        let end = outside.iter().filter(is_wire).find(|end| {
            // Each end has the index of the other.
            end.get("ifindex") == link.get("link_index")
                && end.get("link_index") == link.get("ifindex")
        });
        end.and_then(|end| end.get("ifname")).and_then(Value::as_str).map(str::to_owned)
    };
    let ends = inside.iter().filter(is_wire).filter_map(end_of);
    // Names of another pattern tell more than ours.
    let connect = format!("host-{}", container.name());
    ends.filter(|end| normalise(end) != *end || *end == connect).collect()
}

/// Replaces `word` by `label` in `text`, unless it is a part of a longer word: `is_part` accepts
/// the characters of a word.
fn replaced(text: &str, word: &str, label: &str, is_part: impl Fn(char) -> bool) -> String {
    let mut new = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(word) {
        let whole = !before.chars().next_back().is_some_and(&is_part)
            && !after.chars().next().is_some_and(&is_part);
        new.push_str(before);
        new.push_str(if whole { label } else { word });
        rest = after;
    }
    new + rest
}

/// `<mac>` for `<mac7>`: the order of MAC addresses depends on names that change.
fn without_numbers(text: &str, kind: &str) -> String {
    let label = format!("<{kind}");
    let mut parts = text.split(&label);
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        let digits = part.len() - part.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let rest = part.get(digits..).filter(|rest| digits > 0 && rest.starts_with('>'));
        text + &label + rest.unwrap_or(part)
    })
}

/// `<digest>` for 16 or more hexadecimal digits.
fn without_digests(text: &str) -> String {
    let mut new = String::new();
    let mut run = String::new();
    for c in text.chars().chain(['\n']) {
        if c.is_ascii_digit() || ('a'..='f').contains(&c) {
            run.push(c);
            continue;
        }
        new.push_str(if run.len() >= 16 { "<digest>" } else { &run });
        run.clear();
        new.push(c);
    }
    new.pop();
    new
}

#[cfg(test)]
mod tests {
    use super::{Names, replaced, without_digests, without_numbers};

    #[test]
    fn only_whole_words_are_replaced() {
        let digit = |c: char| c.is_ascii_digit() || c == '.';
        let text = "10.1.2.2/24 10.1.2.20 110.1.2.2 dnat to 10.1.2.2:80";
        assert_eq!(replaced(text, "10.1.2.2", "X", digit), "X/24 10.1.2.20 110.1.2.2 dnat to X:80");
    }

    #[test]
    fn numbers_of_names_and_digests_go() {
        assert_eq!(without_numbers("<mac1> <mac12> <machine>", "mac"), "<mac> <mac> <machine>");
        assert_eq!(
            without_digests("a 6fd94d501e58f0aa-287fc69eff0574a2 beef"),
            "a <digest>-<digest> beef"
        );
    }

    #[test]
    fn a_mac_address_that_was_asked_for_stays() {
        let mac = "02:00:00:00:01:05";
        let names =
            Names { macs: vec![(mac.to_owned(), mac.replace(':', "\u{b7}"))], ..Names::default() };
        let text = "mac 02:00:00:00:01:05 and 7a:cf:d3:14:52:a8";
        assert_eq!(names.hide(text), "mac 02:00:00:00:01:05 and <mac>");
    }
}
