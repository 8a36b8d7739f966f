//! The digests of the plugins' files: which build a report is about.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::Report;

/// The SHA-256 digest of a file; [`None`] if it cannot be read.
pub(super) fn sha256(file: &Path) -> Option<String> {
    let digest = Sha256::digest(fs::read(file).ok()?);
    let mut text = String::new();
    for byte in digest {
        let _ = write!(text, "{byte:02x}");
    }
    Some(text)
}

/// The plugins of a report that are not the files of a directory, each with the reason.
pub fn differing(report: &Report, folder: &Path) -> Vec<String> {
    let mut differing = Vec::new();
    for plugin in &report.plugins {
        let why = match sha256(&folder.join(&plugin.name)) {
            None => "cannot be read".to_owned(),
            Some(_) if plugin.sha256.is_empty() => "has no digest in the report".to_owned(),
            Some(digest) if digest == plugin.sha256 => continue,
            Some(digest) => {
                format!("has the SHA-256 digest {digest}, and in the report {}", plugin.sha256)
            }
        };
        differing.push(format!("{} {why}", folder.join(&plugin.name).display()));
    }
    differing
}
