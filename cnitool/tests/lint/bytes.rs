//! Whatever is in a file, there is an answer.

use std::fs;

use crate::corpus::broken;
use crate::{Bed, entries, folder, name};

/// Files cut off anywhere, all in one folder. That no piece of text makes it fail is tested inside.
#[test]
fn files_that_end_anywhere() {
    let bed = Bed::new();
    let good = entries(&folder().join("good")).into_iter();
    let broken = broken().into_iter().map(|(path, _)| path).filter(|path| path.is_file());
    for path in good.chain(broken) {
        let bytes = fs::read(&path).unwrap();
        // A few places in each: all of them are tested inside.
        for end in [bytes.len() / 4, bytes.len() / 2, bytes.len().saturating_sub(3)] {
            bed.write(&format!("net.d/{}-{end}.conflist", name(&path)), &bytes[..end]);
        }
    }
    bed.write("net.d/deep.conflist", "[".repeat(1_000_000));
    bed.write("net.d/deep.conf", "{\"a\":".repeat(200_000));
    bed.write("net.d/zeros.conf", [0; 4096]);
    let run = bed.lint(&["--no-host", "net.d"]);
    assert_eq!((run.status, &*run.stderr), (Some(1), ""));
    assert!(run.stdout.contains("deep.conflist:1:"), "{}", run.stdout.len());
}

#[test]
fn large_files() {
    let bed = Bed::new();
    let values = "[1, 2, 3],".repeat(600_000);
    bed.write(
        "many.conf",
        format!("{{ \"name\": \"n\", \"type\": \"other\", \"all\": [{values} 4] }}"),
    );
    let run = bed.lint(&["--no-host", "many.conf"]);
    assert_eq!(run.stdout.lines().last(), Some("1 file: 1 warning"), "{:?}", run.status);
    bed.write("larger.conf", " ".repeat(9 << 20));
    let run = bed.lint(&["--no-host", "larger.conf"]);
    assert!(run.stdout.contains("larger than 8 MiB"), "{}", run.stdout);
}
