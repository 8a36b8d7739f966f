//! Name resolution from a file in the format of `resolv.conf(5)`.

use std::path::Path;

use libcni::{Context, Dns, Result, file};

/// The maximum size of such a file in bytes. A real file has some hundred bytes.
const MAX_BYTES: u64 = 1 << 20;

/// Reads the file at `path`.
pub fn read(path: &Path) -> Result<Dns> {
    let text = file::read(path, MAX_BYTES);
    let text = text.context(|| format!("read resolvConf {}", path.display()))?;
    Ok(parse(&String::from_utf8_lossy(&text)))
}

/// Reads the four keywords that the specification has fields for, and skips other lines.
fn parse(text: &str) -> Dns {
    let mut dns = Dns::default();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
        let mut words = line.split_whitespace().map(str::to_owned);
        let (Some(keyword), Some(value)) = (words.next(), words.next()) else { continue };
        match keyword.as_str() {
            "nameserver" => dns.nameservers.push(value),
            "domain" => dns.domain = value,
            "search" => dns.search.extend(std::iter::once(value).chain(words)),
            "options" => dns.options.extend(std::iter::once(value).chain(words)),
            _ => {}
        }
    }
    dns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_accumulate_and_the_last_domain_wins() {
        let dns = parse(
            "# a comment\n; another\n\nnameserver 10.0.0.1 ignored\n\tnameserver   10.0.0.2\nnameserver\n\
             domain a.example\ndomain b.example\nsearch a b\nsearch c\noptions ndots:2\noptions rotate edns0\n\
             sortlist 10.0.0.0\n#nameserver 10.9.9.9\n",
        );
        assert_eq!(dns.nameservers, ["10.0.0.1", "10.0.0.2"]);
        assert_eq!(dns.domain, "b.example");
        assert_eq!(dns.search, ["a", "b", "c"]);
        assert_eq!(dns.options, ["ndots:2", "rotate", "edns0"]);
    }

    #[test]
    fn an_empty_file_has_no_settings() {
        assert!(parse("").is_empty());
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = read(Path::new("/nonexistent/resolv.conf")).unwrap_err();
        assert!(error.msg.starts_with("read resolvConf /nonexistent/resolv.conf: No such file"));
    }
}
