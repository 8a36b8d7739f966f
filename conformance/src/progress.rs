//! A progress bar on the terminal.

use std::io::{self, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// The maximum number of progress lines on standard error without a terminal.
const LINES: u64 = 20;

/// Advances the progress: on the terminal the bar changes, otherwise a line is printed from time to
/// time.
pub fn advance(bar: &ProgressBar, what: &str, message: String) {
    bar.set_message(message.clone());
    bar.inc(1);
    let (done, count) = (bar.position(), bar.length().unwrap_or_default().max(1));
    let part = |done: u64| done * LINES / count;
    if bar.is_hidden() && part(done) > part(done.saturating_sub(1)) {
        // If standard error is closed, the error cannot be reported.
        let _ = writeln!(io::stderr(), "{done} of {count} {what}, {message}");
    }
}

/// A progress bar, if standard error is a terminal.
pub fn bar(count: usize) -> ProgressBar {
    let bar = ProgressBar::new(count as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:24} {pos}/{len}, {elapsed}  {wide_msg}") {
        bar.set_style(style.progress_chars("━╸─"));
    }
    // The clock continues during a long case.
    bar.enable_steady_tick(Duration::from_millis(500));
    bar
}
