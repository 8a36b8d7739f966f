//! GC: removes stale attachments.

use std::collections::HashSet;

use super::chain::{Runtime, join, request};
use super::config::NetworkConfig;
use crate::{Attachment, Context, Error, Result, Verb, Version};

impl Runtime<'_> {
    /// GC: runs DEL for every cached attachment of the network that is not in `valid`, with the
    /// namespace and the arguments of its ADD. From version 1.1.0 on, it then runs GC of every
    /// plugin, which removes the objects without a valid attachment. A failure does not stop the
    /// others.
    ///
    /// **An empty `valid` removes everything** of the network, live containers included.
    ///
    /// Returns warnings, as [`Runtime::del`] does.
    ///
    /// # Errors
    ///
    /// Returns the errors of all failed removals, joined.
    pub fn gc(&self, list: &NetworkConfig, valid: &[Attachment]) -> Result<Vec<Error>> {
        if list.disable_gc {
            return Ok(Vec::new());
        }
        let operation = self.start();
        let (mut errors, mut warnings) = (Vec::new(), Vec::new());
        for conf in self.stale(list, valid)? {
            let Attachment { container, ifname } = &conf.attachment;
            let doing = || format!("failed to delete stale attachment {container} {ifname}");
            match self.del_within(&operation, list, &conf).context(doing) {
                Ok(remains) => warnings.extend(remains),
                Err(error) => errors.push(error),
            }
        }
        let asked =
            if list.version < Version::new(1, 1, 0) { &[] } else { list.plugins.as_slice() };
        for plugin in asked {
            let mut request = request(Verb::Gc, list, plugin, None, None);
            request.valid = Some(valid);
            errors.extend(operation.run(&request, |exec| exec.run()).err());
        }
        if !errors.is_empty() {
            errors.append(&mut warnings);
        }
        join(errors)?;
        Ok(warnings)
    }

    /// The cached attachments of the network that are not in `valid`, for which [`Runtime::gc`]
    /// runs DEL.
    ///
    /// # Errors
    ///
    /// Returns an error if the cache cannot be read.
    pub fn stale(
        &self,
        list: &NetworkConfig,
        valid: &[Attachment],
    ) -> Result<Vec<super::AttachmentConfig>> {
        let valid: HashSet<_> = valid.iter().collect();
        let cached = self.cache.attachments(None)?.into_iter();
        let stale = cached.filter(|cached| {
            cached.network == list.name && !valid.contains(&cached.conf.attachment)
        });
        Ok(stale.map(|cached| cached.conf).collect())
    }
}
