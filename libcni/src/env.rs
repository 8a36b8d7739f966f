//! The environment and the command line: read here, and nowhere else.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::{Code, Error, Result, text};

/// How long one call may take when `FERROCNI_TIMEOUT` says nothing. Longer than the 208 s an IPAM
/// plugin for DHCP may need to get a lease, shorter than the 240 s after which kubelet gives up on
/// a sandbox.
pub(crate) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(220);

/// The variables of the protocol, as given; an empty one counts as missing.
#[derive(Debug, Default)]
pub(crate) struct Env {
    pub(crate) command: Option<String>,
    pub(crate) container: Option<String>,
    pub(crate) netns: Option<String>,
    pub(crate) ifname: Option<String>,
    pub(crate) args: Option<String>,
    pub(crate) path: Option<String>,
    /// `CNI_NETNS_OVERRIDE`: the container's namespace may be the plugin's own.
    pub(crate) own_netns_allowed: bool,
    /// `FERROCNI_TIMEOUT`, ours: the seconds a call may take, `2.5` for example.
    pub(crate) timeout: Option<String>,
    /// No variable: when the call this one is a part of has to be done.
    pub(crate) until: Option<Instant>,
}

impl Env {
    /// Reads the variables of this process.
    ///
    /// # Errors
    ///
    /// [`Code::INVALID_ENVIRONMENT`] if one is not UTF-8.
    pub(crate) fn read() -> Result<Env> {
        Env::from(|name| std::env::var_os(name))
    }

    fn from<T: AsRef<OsStr>>(get: impl Fn(&str) -> Option<T>) -> Result<Env> {
        let get = |name| match get(name) {
            None => Ok(None),
            Some(value) => match value.as_ref().to_str() {
                Some("") => Ok(None),
                Some(value) => Ok(Some(value.to_owned())),
                None => {
                    let msg = format!("environment variable {name} is not UTF-8");
                    Err(Error::new(Code::INVALID_ENVIRONMENT, msg))
                }
            },
        };
        let is_true = |text: String| text == "1" || text.eq_ignore_ascii_case("true");
        Ok(Env {
            command: get("CNI_COMMAND")?,
            container: get("CNI_CONTAINERID")?,
            netns: get("CNI_NETNS")?,
            ifname: get("CNI_IFNAME")?,
            args: get("CNI_ARGS")?,
            path: get("CNI_PATH")?,
            own_netns_allowed: get("CNI_NETNS_OVERRIDE")?.is_some_and(is_true),
            timeout: get("FERROCNI_TIMEOUT")?,
            until: None,
        })
    }

    /// The folders of `CNI_PATH`. An empty entry would be the current directory, which is never
    /// intended.
    pub(crate) fn folders(&self) -> Vec<PathBuf> {
        let path = self.path.as_deref().unwrap_or_default();
        path.split(':').filter(|folder| !folder.is_empty()).map(PathBuf::from).collect()
    }

    /// When a call that begins now has to be done, or the call that it is a part of.
    ///
    /// # Errors
    ///
    /// [`Code::INVALID_ENVIRONMENT`] if `FERROCNI_TIMEOUT` is no positive number of seconds.
    pub(crate) fn deadline(&self) -> Result<Instant> {
        if let Some(until) = self.until {
            return Ok(until);
        }
        let timeout = match &self.timeout {
            None => Some(DEFAULT_TIMEOUT),
            Some(text) => text
                .parse()
                .ok()
                .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
                .filter(|timeout| !timeout.is_zero()),
        };
        timeout.and_then(|timeout| Instant::now().checked_add(timeout)).ok_or_else(|| {
            let msg = "FERROCNI_TIMEOUT is not a positive number of seconds";
            Error::new(Code::INVALID_ENVIRONMENT, msg)
                .details(text::excerpt(self.timeout.as_deref().unwrap_or_default()))
        })
    }
}

/// The default deadline of a call that begins now.
pub(crate) fn default_deadline() -> Instant {
    Instant::now() + DEFAULT_TIMEOUT
}

/// What stands on the command line after the program's name.
pub(crate) fn command_line() -> Vec<String> {
    std::env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    fn env(name: &'static str, value: &str) -> Env {
        Env::from(|asked| (asked == name).then(|| value.to_owned())).unwrap()
    }

    #[test]
    fn empty_is_missing_and_not_utf8_is_an_error() {
        assert_eq!(env("CNI_NETNS", "").netns, None);
        let error = Env::from(|_| Some(OsString::from_vec(vec![0xff]))).unwrap_err();
        assert_eq!(error.code, Code::INVALID_ENVIRONMENT);
        assert_eq!(error.msg, "environment variable CNI_COMMAND is not UTF-8");
    }

    #[test]
    fn folders_are_split_at_colons() {
        let folders = env("CNI_PATH", "/opt/cni/bin::/usr/lib/cni:").folders();
        assert_eq!(folders, [PathBuf::from("/opt/cni/bin"), PathBuf::from("/usr/lib/cni")]);
    }

    #[test]
    fn timeouts_are_positive_seconds() {
        let left = |text| env("FERROCNI_TIMEOUT", text).deadline().map(|at| at - Instant::now());
        let ours = left("1000.5").unwrap();
        assert!(ours <= Duration::from_millis(1_000_500) && ours > DEFAULT_TIMEOUT);
        assert!(left("").unwrap() <= DEFAULT_TIMEOUT);
        for wrong in ["0", "-1", "x", "inf", "NaN", "1e300"] {
            assert_eq!(left(wrong).unwrap_err().code, Code::INVALID_ENVIRONMENT, "{wrong}");
        }
    }

    #[test]
    fn the_override_is_1_or_true() {
        for (text, allowed) in [("1", true), ("TruE", true), ("yes", false), ("0", false)] {
            assert_eq!(env("CNI_NETNS_OVERRIDE", text).own_netns_allowed, allowed, "{text}");
        }
    }
}
