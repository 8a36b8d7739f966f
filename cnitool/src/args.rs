//! The command line and the environment, checked.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lexopt::{Arg, Parser, ValueExt};
use libcni::runtime::{AttachmentConfig, Cache, Runtime};
use libcni::{Attachment, ContainerId, Context, Error, IfName, Result};
use serde_json::{Map, Value};

use crate::action::Action;
use crate::{Failure, lint, netns, usage, version};

/// The default directories of network configurations and of the result cache.
const CONF_DIR: &str = "/etc/cni/net.d";
const CACHE_DIR: &str = "/var/lib/cni";

/// The maximum size of a `--valid-file` in bytes. It has a line of about a hundred bytes for each
/// attachment.
const MAX_VALID_FILE: u64 = 32 << 20;

/// Everything the caller said, defaults filled in.
#[derive(Debug)]
pub struct Arguments {
    pub action: Action,
    /// None only for `version`, `ls` and `lint`.
    pub network: Option<String>,
    /// The namespace's absolute path.
    pub netns: Option<String>,
    pub conf_dir: PathBuf,
    pub path: Vec<PathBuf>,
    pub cache_dir: PathBuf,
    pub ifname: String,
    pub args: Vec<(String, String)>,
    pub capability_args: Map<String, Value>,
    /// Whether the capabilities were given by the option, and not by the variable.
    pub capabilities_are_given: bool,
    pub container_id: Option<String>,
    /// For one operation, all plugins together.
    pub timeout: Duration,
    pub json: bool,
    /// GC: nothing is valid.
    pub all: bool,
    /// GC: only say what would be removed.
    pub dry_run: bool,
    /// GC: what is valid, if it was said.
    pub valid: Option<Vec<Attachment>>,
    /// Lint: the files and folders to look at.
    pub files: Vec<PathBuf>,
    /// Lint: warnings count.
    pub strict: bool,
    /// Lint: nothing of this host.
    pub no_host: bool,
    /// Whether an option or a variable names the directories of the plugins.
    pub path_is_given: bool,
}

/// What came of the command line.
pub enum Parsed {
    /// This was asked for.
    Help(String),
    Run(Box<Arguments>),
}

/// Reads the command line of this process.
pub fn parse() -> Result<Parsed, Failure> {
    let mut given = Given::default();
    match given.read(Parser::from_env()) {
        Ok(()) => {}
        Err(error) => {
            let meant = match &error {
                lexopt::Error::UnexpectedOption(option) => usage::nearest_option(option),
                _ => String::new(),
            };
            return Err(Failure::Usage(usage::mistake(&format!("{error}{meant}"), given.action())));
        }
    }
    if given.help {
        return Ok(Parsed::Help(usage::of(given.action())));
    }
    if given.version {
        return Ok(Parsed::Help(version::own(given.json)));
    }
    given.check().map_err(|problem| match problem.is_empty() {
        true => Failure::Usage(usage::of(None)),
        false => Failure::Usage(usage::mistake(&problem, given.action())),
    })?;
    Ok(Parsed::Run(Box::new(given.complete()?)))
}

impl Arguments {
    /// A runtime with the given folders. The plugins are told to give up a little before we kill
    /// them.
    pub fn runtime(&self) -> Runtime<'static> {
        let mut runtime = Runtime::new(self.path.clone(), Cache::new(&self.cache_dir));
        runtime.timeout = Some(self.timeout);
        if env::var_os("FERROCNI_TIMEOUT").is_none() {
            let seconds = self.timeout.as_secs_f64();
            let earlier = seconds - (seconds / 10.0).clamp(0.1, 5.0);
            runtime.env.push(("FERROCNI_TIMEOUT".to_owned(), earlier.to_string()));
        }
        runtime
    }

    /// The options that another call needs to look into the same folders, each with a space before
    /// it.
    pub fn folders(&self) -> String {
        self.folders_with(&self.conf_dir)
    }

    /// As [`Arguments::folders`], with another configuration folder.
    pub fn folders_with(&self, conf_dir: &Path) -> String {
        let mut options = String::new();
        let mut add = |option: &str, value: OsString, usual: OsString| {
            if value != usual {
                options += &format!(" {option} {}", quoted(&value.to_string_lossy()));
            }
        };
        let usual = folder(None, "NETCONFPATH", CONF_DIR);
        add("--conf-dir", conf_dir.into(), usual.into());
        add("--cache-dir", self.cache_dir.clone().into(), CACHE_DIR.into());
        let list = |folders: &[PathBuf]| env::join_paths(folders).unwrap_or_default();
        add("--path", list(&self.path), list(&plugin_folders(None)));
        options
    }

    /// What to look at, and how, for `lint`.
    pub fn lint(&self) -> lint::Options {
        let paths = match self.files.as_slice() {
            [] => vec![self.conf_dir.clone()],
            files => files.to_vec(),
        };
        lint::Options {
            paths,
            folders: self.path.clone(),
            with_plugins: !self.no_host || self.path_is_given,
            with_host: !self.no_host,
            conf_dir: self.conf_dir.clone(),
            cache_dir: self.cache_dir.clone(),
            strict: self.strict,
            json: self.json,
        }
    }

    /// The attachment meant, with its arguments. Without a namespace it is one that only a plan can
    /// be made for.
    pub fn conf(&self) -> Result<AttachmentConfig> {
        let netns = self.netns.clone().unwrap_or_default();
        let id = match (&self.container_id, &self.netns) {
            (Some(id), _) => id.clone(),
            (None, Some(netns)) => netns::container_id(netns),
            (None, None) => "cnitool-plan".to_owned(),
        };
        let mut conf =
            AttachmentConfig::new(ContainerId::new(id)?, IfName::new(&self.ifname)?, netns);
        conf.args = self.args.clone();
        conf.capability_args = self.capability_args.clone();
        Ok(conf)
    }
}

/// The command line as it was given; the environment fills the gaps.
#[derive(Default)]
struct Given {
    words: Vec<String>,
    conf_dir: Option<OsString>,
    path: Option<OsString>,
    cache_dir: Option<OsString>,
    ifname: Option<String>,
    args: Option<String>,
    capabilities: Option<String>,
    container_id: Option<String>,
    timeout: Option<u64>,
    valid: Vec<String>,
    valid_file: Option<OsString>,
    json: bool,
    all: bool,
    dry_run: bool,
    strict: bool,
    no_host: bool,
    help: bool,
    version: bool,
}

impl Given {
    fn read(&mut self, mut parser: Parser) -> Result<(), lexopt::Error> {
        while let Some(arg) = parser.next()? {
            match arg {
                Arg::Short('h') | Arg::Long("help") => self.help = true,
                Arg::Short('V') | Arg::Long("version") => self.version = true,
                Arg::Long("conf-dir") => self.conf_dir = Some(parser.value()?),
                Arg::Long("path" | "plugin-dir") => self.path = Some(parser.value()?),
                Arg::Long("cache-dir") => self.cache_dir = Some(parser.value()?),
                Arg::Long("ifname") => self.ifname = Some(parser.value()?.string()?),
                Arg::Long("args") => self.args = Some(parser.value()?.string()?),
                Arg::Long("capabilities") => self.capabilities = Some(parser.value()?.string()?),
                Arg::Long("container-id") => self.container_id = Some(parser.value()?.string()?),
                Arg::Long("timeout") => self.timeout = Some(parser.value()?.parse()?),
                Arg::Long("valid") => self.valid.push(parser.value()?.string()?),
                Arg::Long("valid-file") => self.valid_file = Some(parser.value()?),
                Arg::Long("json") => self.json = true,
                Arg::Long("all") => self.all = true,
                Arg::Long("dry-run") => self.dry_run = true,
                Arg::Long("strict") => self.strict = true,
                Arg::Long("no-host") => self.no_host = true,
                Arg::Value(word) => self.words.push(word.string()?),
                other => return Err(other.unexpected()),
            }
        }
        Ok(())
    }

    fn action(&self) -> Option<Action> {
        usage::action(self.words.first()?)
    }

    /// What is wrong with the words; an empty text if there are none.
    fn check(&self) -> Result<(), String> {
        let Some(verb) = self.words.first() else { return Err(String::new()) };
        let Some(action) = self.action() else {
            return Err(format!("unknown verb {verb:?}{}", usage::nearest_verb(verb)));
        };
        let needed = match action {
            Action::Version | Action::Ls | Action::Lint => 1,
            Action::Gc | Action::Status | Action::Plan | Action::Repair => 2,
            Action::Add | Action::Check | Action::Del => 3,
        };
        if self.words.len() < needed {
            let missing = if self.words.len() == 1 { "NET" } else { "NETNS" };
            return Err(format!("{verb}: {missing} is missing"));
        }
        let most = match action {
            Action::Lint => usize::MAX,
            // A namespace after gc would be taken for the one to clean up after, or for the one to
            // keep.
            Action::Ls | Action::Gc | Action::Version => 2,
            // The reference's cnitool wants a namespace after status too, and does nothing with it.
            _ => 3,
        };
        if let Some(extra) = self.words.get(most) {
            let instead = match action {
                Action::Gc => "; --valid and --valid-file name the attachments to keep",
                _ => "",
            };
            return Err(format!("{verb}: {extra:?} is one word too many{instead}"));
        }
        let about_gc = self.all || self.dry_run || self.lists_valid();
        if about_gc && action != Action::Gc {
            return Err(format!("{verb}: --all, --dry-run, --valid and --valid-file are for gc"));
        }
        if (self.strict || self.no_host) && action != Action::Lint {
            return Err(format!("{verb}: --strict and --no-host are for lint"));
        }
        if self.all && self.lists_valid() {
            return Err(
                "gc: --all says that nothing is valid, --valid that something is".to_owned()
            );
        }
        if self.timeout == Some(0) {
            return Err("--timeout is in seconds, 1 at least".to_owned());
        }
        Ok(())
    }

    fn lists_valid(&self) -> bool {
        !self.valid.is_empty() || self.valid_file.is_some()
    }

    fn complete(self) -> Result<Arguments> {
        let action = self.action().ok_or_else(|| Error::internal("no verb"))?;
        let valid = self.valid_attachments()?;
        let capabilities_are_given = self.capabilities.is_some();
        let capabilities = setting(self.capabilities, "CAP_ARGS")?;
        let args = setting(self.args, "CNI_ARGS")?.unwrap_or_default();
        let is_lint = action == Action::Lint;
        let netns =
            self.words.get(2).filter(|_| !is_lint).map(|netns| netns::path(netns)).transpose()?;
        let files = self.words.iter().skip(1).filter(|_| is_lint).map(PathBuf::from).collect();
        let path_is_given = self.path.is_some() || is_set("CNI_PATH");
        Ok(Arguments {
            action,
            network: self.words.into_iter().nth(1).filter(|_| !is_lint),
            netns,
            conf_dir: folder(self.conf_dir, "NETCONFPATH", CONF_DIR),
            path: plugin_folders(self.path),
            cache_dir: folder(self.cache_dir, "", CACHE_DIR),
            ifname: setting(self.ifname, "CNI_IFNAME")?.unwrap_or_else(|| "eth0".to_owned()),
            args: cni_args(&args)?,
            capabilities_are_given,
            capability_args: capability_args(&capabilities.unwrap_or_default())?,
            container_id: self.container_id,
            timeout: Duration::from_secs(self.timeout.unwrap_or(240)),
            json: self.json,
            all: self.all,
            dry_run: self.dry_run,
            valid,
            files,
            strict: self.strict,
            no_host: self.no_host,
            path_is_given,
        })
    }

    /// The attachments named by `--valid` and `--valid-file`.
    fn valid_attachments(&self) -> Result<Option<Vec<Attachment>>> {
        if !self.lists_valid() {
            return Ok(None);
        }
        let mut named = self.valid.clone();
        if let Some(file) = &self.valid_file {
            let doing = || format!("read --valid-file {}", file.to_string_lossy());
            let open = fs::File::open(file).context(doing)?;
            let text = libcni::file::whole(open, MAX_VALID_FILE).context(doing)?;
            let text = String::from_utf8(text).map_err(io::Error::other).context(doing)?;
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
            named.extend(lines.map(str::to_owned));
        }
        named.iter().map(|name| attachment(name)).collect::<Result<_>>().map(Some)
    }
}

fn attachment(name: &str) -> Result<Attachment> {
    let (container, ifname) = name.split_once('/').ok_or_else(|| {
        Error::config(format!("{name:?} is not a valid attachment: CONTAINERID/IFNAME is expected"))
    })?;
    Ok(Attachment { container: ContainerId::new(container)?, ifname: IfName::new(ifname)? })
}

/// An option, or else the variable.
fn setting(option: Option<String>, variable: &str) -> Result<Option<String>> {
    match (option, env::var(variable)) {
        (Some(option), _) => Ok(Some(option)),
        (None, Ok(value)) => Ok(Some(value)),
        (None, Err(env::VarError::NotPresent)) => Ok(None),
        (None, Err(error)) => Err(Error::config(format!("{variable}: {error}"))),
    }
}

fn is_set(variable: &str) -> bool {
    env::var_os(variable).is_some_and(|value| !value.is_empty())
}

fn folder(option: Option<OsString>, variable: &str, default: &str) -> PathBuf {
    let variable = || env::var_os(variable).filter(|value| !value.is_empty());
    option.or_else(variable).unwrap_or_else(|| default.into()).into()
}

/// A word as a shell takes it.
pub fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-:,=@+~".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// The folders of `--path` or `CNI_PATH`; without either, the usual one, and our own if plugins are
/// in it.
fn plugin_folders(option: Option<OsString>) -> Vec<PathBuf> {
    let variable = || env::var_os("CNI_PATH").filter(|value| !value.is_empty());
    if let Some(list) = option.or_else(variable) {
        return env::split_paths(&list).filter(|folder| !folder.as_os_str().is_empty()).collect();
    }
    let mut folders = vec![PathBuf::from("/opt/cni/bin")];
    let own = env::current_exe().ok().and_then(|file| file.parent().map(PathBuf::from));
    let with_plugins = |folder: &PathBuf| {
        ["bridge", "loopback", "host-local"].iter().any(|name| folder.join(name).is_file())
    };
    folders.extend(own.filter(with_plugins).filter(|own| !folders.contains(own)));
    folders
}

/// `K=V` pairs between semicolons, both sides there.
fn cni_args(text: &str) -> Result<Vec<(String, String)>> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let pair = |pair: &str| match pair.split_once('=') {
        Some((key, value)) if !key.is_empty() && !value.is_empty() && !value.contains('=') => {
            Ok((key.to_owned(), value.to_owned()))
        }
        _ => Err(Error::config(format!("invalid CNI_ARGS pair {pair:?}"))),
    };
    text.split(';').map(pair).collect()
}

fn capability_args(text: &str) -> Result<Map<String, Value>> {
    if text.is_empty() {
        return Ok(Map::new());
    }
    serde_json::from_str(text)
        .map_err(|error| Error::config(format!("CAP_ARGS is not a JSON object: {error}")))
}
