use super::{At, Kind, Mode, Place};
use crate::error::Result;
use crate::sysctl::Sysctl;

impl Kind for Sysctl {
    fn name(&self) -> &'static str {
        "sysctl"
    }

    fn show(&self, place: Place) -> String {
        let prefix = if place == Place::Pod { "nsenter --net=POD " } else { "" };
        format!("{prefix}sysctl -w net/{}={}", self.key, self.value)
    }

    fn apply(&self, at: &mut At<'_>) -> Result<()> {
        // Wait for the link to come up only after its settings are applied. A link exists as soon
        // as the object that creates it is applied. A shared setting is written only after
        // everything before it succeeded.
        if at.is_shared() {
            at.handles.flush()?;
        }
        // A setting of this attachment alone is new: no program watches it, and it need not be read
        // first, unless another plugin of the chain made the interface.
        if !at.is_shared() && at.mode == Mode::Add {
            if !at.makes_interface() {
                at.undo_setting(self);
            }
            at.handle()?.write(self.clone());
            return Ok(());
        }
        let before = at.handle()?.inside(|| self.read())?;
        // Another program may watch the file.
        if before.as_ref().map_or(self.optional, |before| *before == self.value) {
            return Ok(());
        }
        if let (Some(link), Some(value), true) = (self.link(), before, at.is_shared()) {
            let before = Sysctl { value, ..self.clone() };
            at.undo_shared(link, move |_, _| before.ensure());
        }
        at.handle()?.inside(|| self.write())
    }

    fn diff(&self, at: &mut At<'_>) -> Result<Vec<String>> {
        let handle = at.handle()?;
        Ok(match handle.inside(|| self.read())? {
            Some(now) if now == self.value => vec![],
            // ADD succeeded without it, and it cannot be changed here.
            Some(_) if self.optional && !handle.inside(|| self.is_writable())? => vec![],
            Some(now) => {
                vec![format!("sysctl net/{} is {now} instead of {}", self.key, self.value)]
            }
            // The settings of a link disappear with it. The object that creates the link reports
            // that it is missing.
            None => vec![],
        })
    }

    /// CHECK does not require an optional setting.
    fn is_there(&self, at: &mut At<'_>) -> bool {
        let now = at.handle().and_then(|handle| handle.inside(|| self.read()));
        now.is_ok_and(|now| now.as_ref() == Some(&self.value))
    }

    fn settable(&self) -> Result<()> {
        self.obstacle()?.map_or(Ok(()), Err)
    }
}
