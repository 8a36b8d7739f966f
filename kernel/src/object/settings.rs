use std::os::fd::{AsFd, AsRawFd};
use std::path::PathBuf;
use std::sync::Arc;

use netlink_packet_route::link::LinkFlags;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{At, Kind, Place, Undo, ip};
use crate::error::{Error, Result};
use crate::handle::Handle;
use crate::link::{self, IFINFOMSG, Link};
use crate::memory::{Memory, Values};
use crate::owner::Mac;
use crate::rtnl::{attributes, word};

/// `IFLA_TXQLEN` (`include/uapi/linux/if_link.h`).
const TX_QUEUE_LEN: u16 = 13;

/// Settings of a link that another plugin of the chain made.
///
/// A [`Memory`] keeps what the link had before, because nothing in the kernel does. DEL restores
/// it, and so does a failed ADD.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Settings {
    /// The link's name.
    pub link: String,
    /// What the link should have.
    #[serde(flatten)]
    pub wanted: LinkSettings,
    /// The folder of the [`Memory`].
    pub folder: PathBuf,
    /// Of the object that a failed ADD removes.
    #[serde(skip)]
    rollback: Option<Rollback>,
}

/// What a link can be given. `None` leaves it as it is. The names are those in the files of the
/// reference's `tuning`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LinkSettings {
    /// The MAC address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<Mac>,
    /// Whether it receives every frame.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub promisc: Option<bool>,
    /// The largest packet, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// Whether it receives every multicast frame.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allmulti: Option<bool>,
    /// The length of the transmit queue, in packets.
    #[serde(rename = "txQLen", skip_serializing_if = "Option::is_none")]
    pub tx_queue_len: Option<u32>,
}

/// What this call has to restore if it fails.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rollback {
    before: Values,
    /// Whether this call made the file. Otherwise it is an earlier ADD's.
    made_file: bool,
}

impl LinkSettings {
    fn values(&self) -> Values {
        match serde_json::to_value(self) {
            Ok(Value::Object(values)) => values,
            _ => Values::new(),
        }
    }
}

impl Settings {
    /// These settings of a link, with the values before in a file in the folder.
    pub fn new(link: &str, wanted: LinkSettings, folder: impl Into<PathBuf>) -> Settings {
        Settings { link: link.to_owned(), wanted, folder: folder.into(), rollback: None }
    }
}

impl Kind for Settings {
    fn name(&self) -> &'static str {
        "settings"
    }

    fn show(&self, place: Place) -> String {
        let mut line = format!("{} link set {}", ip(place), self.link);
        for (key, value) in self.wanted.values() {
            let word = match key.as_str() {
                "mac" => "address",
                "allmulti" => "allmulticast",
                "txQLen" => "txqueuelen",
                same => same,
            };
            line += &format!(" {word} {}", shown(&value));
        }
        line
    }

    fn about(&self) -> Option<&str> {
        Some(&self.link)
    }

    fn apply(&self, at: &mut At<'_>) -> Result<()> {
        let memory = Memory::of(&self.folder, at.owner)?;
        let handle = at.handle()?;
        let index = handle.existing(&self.link)?.index;
        let (path, now) = (path_of(handle), look(handle, &self.link)?.unwrap_or_default());
        let wanted = self.wanted.values();
        let is_meant = |(key, _): &(String, Value)| wanted.contains_key(key);
        let before: Values = now.clone().into_iter().filter(is_meant).collect();
        let made_file = memory.recall(path.as_deref())?.is_empty();
        let rollback = Some(Rollback { before: before.clone(), made_file });
        at.undo.push(Undo::Step(at.place, Arc::new(Settings { rollback, ..self.clone() })));
        memory.keep(path.as_deref(), &before)?;
        set(at.handle()?, &self.link, index, &changes(&now, wanted))
    }

    fn diff(&self, at: &mut At<'_>) -> Result<Vec<String>> {
        let Some(now) = look(at.handle()?, &self.link)? else {
            return Ok(vec![format!("interface {} is gone", self.link)]);
        };
        let difference = |(key, value): (String, Value)| {
            let seen = now.get(&key).map_or_else(|| "none".to_owned(), shown);
            format!("interface {}: {key} is {seen} instead of {}", self.link, shown(&value))
        };
        Ok(changes(&now, self.wanted.values()).into_iter().map(difference).collect())
    }

    /// Restores what the link had, and then removes the file, so that a DEL that was killed can be
    /// repeated. A file that cannot be read has nothing to restore.
    fn remove(&self, at: &mut At<'_>) -> Result<()> {
        // Without such a name there is no file.
        let Ok(memory) = Memory::of(&self.folder, at.owner) else { return Ok(()) };
        if let Some(Rollback { before, made_file }) = &self.rollback {
            restore(at.handle()?, &self.link, before)?;
            return if *made_file { memory.forget() } else { Ok(()) };
        }
        if let Some(pod) = at.handles.pod()? {
            let before = memory.recall(path_of(pod).as_deref()).unwrap_or_default();
            restore(pod, &self.link, &before)?;
        }
        memory.forget()
    }
}

/// A path of the namespace of the handle, by which a [`Memory`] knows it.
fn path_of(handle: &Handle) -> Option<PathBuf> {
    let namespace = handle.namespace()?;
    Some(PathBuf::from(format!("/proc/self/fd/{}", namespace.as_fd().as_raw_fd())))
}

/// All settings that a link has now; `None` if it is gone.
fn look(handle: &mut Handle, name: &str) -> Result<Option<Values>> {
    let found = handle.get_each(vec![link::by_name(name)], Error::is_gone)?;
    let Some(body) = found.into_iter().flatten().next() else { return Ok(None) };
    let link = Link::read(&body);
    let queue = attributes(body.get(IFINFOMSG..).unwrap_or_default())
        .find_map(|(kind, value)| (kind == TX_QUEUE_LEN).then(|| word(value, 0)));
    let flags = LinkFlags::from_bits_retain(word(&body, 8));
    let settings = LinkSettings {
        mac: link.mac,
        promisc: Some(link.promiscuous),
        mtu: Some(link.mtu),
        allmulti: Some(flags.contains(LinkFlags::Allmulti)),
        tx_queue_len: queue,
    };
    Ok(Some(settings.values()))
}

/// The wanted values that a link does not have.
fn changes(now: &Values, mut wanted: Values) -> Values {
    wanted.retain(|key, value| now.get(key) != Some(value));
    wanted
}

/// Gives a link what it had before, if it is there.
fn restore(handle: &mut Handle, name: &str, before: &Values) -> Result<()> {
    let (Some(link), Some(now)) = (handle.link(name)?, look(handle, name)?) else { return Ok(()) };
    match set(handle, name, link.index, &changes(&now, before.clone())) {
        Err(error) if error.is_gone() => Ok(()),
        restored => restored,
    }
}

/// Sets values of a link, all by one message. Values of unknown keys or types are ignored.
fn set(handle: &mut Handle, name: &str, index: u32, values: &Values) -> Result<()> {
    let wanted: LinkSettings =
        serde_json::from_value(Value::Object(values.clone())).unwrap_or_default();
    if wanted == LinkSettings::default() {
        return Ok(());
    }
    let mut message = link::with_index(index);
    if let Some(mac) = wanted.mac {
        message = message.address(mac.0.to_vec());
    }
    if let Some(mtu) = wanted.mtu {
        message = message.mtu(mtu);
    }
    if let Some(is_on) = wanted.promisc {
        message = message.promiscuous(is_on);
    }
    if let Some(is_on) = wanted.allmulti {
        message = message.allmulticast(is_on);
    }
    if let Some(length) = wanted.tx_queue_len {
        message = message.txqueuelen(length);
    }
    let keys: Vec<&str> = values.keys().map(String::as_str).collect();
    let action = format!("set {} of {name}", keys.join(", "));
    handle.now(link::set(action, message.build()))
}

/// A value as `ip(8)` has it.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(true) => "on".to_owned(),
        Value::Bool(false) => "off".to_owned(),
        other => other.to_string(),
    }
}
