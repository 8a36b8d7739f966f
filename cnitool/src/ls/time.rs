//! Formats times in words.

use std::fs;
use std::time::{Duration, SystemTime};

/// The boot time of this machine (`proc_stat(5)`).
pub fn boot() -> Option<SystemTime> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    let seconds = text.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

/// `3 days ago`. A time in the future counts as now, because clocks can be set back.
pub fn ago(time: SystemTime) -> String {
    let seconds = time.elapsed().unwrap_or_default().as_secs();
    let (count, unit) = match seconds {
        0..120 => (seconds, "second"),
        120..7200 => (seconds / 60, "minute"),
        7200..172_800 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{} ago", plural(count, unit))
}

/// `1 day`, `2 days`.
pub fn plural(count: impl TryInto<u64>, noun: &str) -> String {
    let count = count.try_into().unwrap_or(u64::MAX);
    match (count, noun.strip_suffix("ss")) {
        (1, _) => format!("1 {noun}"),
        (_, Some(_)) => format!("{count} {noun}es"),
        (_, None) => format!("{count} {noun}s"),
    }
}

/// Seconds since 1970, for JSON.
pub fn unix(time: SystemTime) -> Option<u64> {
    Some(time.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_said_in_one_unit() {
        let said = |seconds| ago(SystemTime::now() - Duration::from_secs(seconds));
        assert_eq!(
            [said(130), said(7500), said(86_400 * 3)],
            ["2 minutes ago", "2 hours ago", "3 days ago"]
        );
        assert_eq!(ago(SystemTime::now() + Duration::from_secs(1000)), "0 seconds ago");
    }

    #[test]
    fn counts_have_their_nouns() {
        assert_eq!(plural(1_usize, "address"), "1 address");
        assert_eq!(plural(0_usize, "address"), "0 addresses");
        assert_eq!(plural(2_usize, "link"), "2 links");
    }
}
