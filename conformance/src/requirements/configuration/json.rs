//! Standard input: valid and invalid JSON.

use serde_json::json;

use super::super::steps::{add_and_del, has_code, refused, succeeds_or_fails_properly, with_input};
use super::{call, with_key};
use crate::fixture::Fixture;
use crate::verdict::{OutcomeExt, TestResult};

pub(super) fn no_json(fixture: &Fixture) -> TestResult {
    let config = fixture.config().to_string();
    let half: String = config.chars().take(config.len() / 2).collect();
    let (twice, more) = (format!("{config}{config}"), format!("{config} and more"));
    let inputs = [
        ("nothing at all", ""),
        ("white space", " \n\t "),
        ("plain text", "bridge eth0"),
        ("half of the configuration", &half),
        ("the configuration twice", &twice),
        ("text after the configuration", &more),
        ("a list", "[]"),
        ("a string", "\"name\""),
        ("a number", "7"),
        ("null", "null"),
    ];
    let call = call(fixture);
    let calls = inputs.map(|(input, text)| (input, call.clone().with(|cni| cni.stdin(text))));
    refused(fixture, calls)
}

pub(super) fn code_of_no_json(fixture: &Fixture) -> TestResult {
    let call = call(fixture);
    for input in ["bridge eth0", "{\"cniVersion\": ", "[]"] {
        let outcome = call.clone().with(|cni| cni.stdin(input)).add();
        has_code(&with_input(input, outcome.fails())?, 6, format!("ADD: {input}"))?;
    }
    Ok(())
}

pub(super) fn strange_json(fixture: &Fixture) -> TestResult {
    let call = call(fixture);
    let config = fixture.config().to_string();
    // `args` may have any value.
    let with_args = |args: &[u8]| {
        let rest = config.strip_prefix('{').unwrap_or_default();
        [b"{\"args\":", args, b",", rest.as_bytes()].concat()
    };
    let deep = [b"[".repeat(100_000), b"]".repeat(100_000)].concat();
    let inputs: [(&str, Vec<u8>); 8] = [
        ("100000 lists in each other", with_args(&deep)),
        ("bytes that are no UTF-8", with_args(b"{\"a\": \"\xff\xfe\"}")),
        ("half of a surrogate pair", with_args(b"{\"a\": \"\\ud800\"}")),
        ("a NUL in a string", with_args(b"{\"a\": \"\\u0000\"}")),
        ("a number of 400 digits", with_args(&b"7".repeat(400))),
        ("an exponent without end", with_args(b"1e99999")),
        ("a key twice", with_args(b"{\"a\": 1, \"a\": {}}")),
        ("a byte order mark first", [b"\xef\xbb\xbf", config.as_bytes()].concat()),
    ];
    for (input, stdin) in inputs {
        let added = call.clone().with(|cni| cni.stdin(stdin)).add();
        with_input(input, succeeds_or_fails_properly(&added))?;
        with_input(format!("after {input}"), call.del().succeeds())?;
    }
    Ok(())
}

pub(super) fn large(fixture: &Fixture) -> TestResult {
    let padding: Vec<String> = (0..16 * 1024).map(|number| format!("{number:064}")).collect();
    let checked = add_and_del(&with_key(&call(fixture), "args", &json!({ "padding": padding })));
    with_input("a megabyte in `args`", checked)
}
