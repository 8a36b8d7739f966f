//! The parent: the link over which a container's interface is made.

use std::path::Path;

use kernel::Place::{self, Host, Pod};
use kernel::{Link, Survey};
use libcni::{Call, Error, Result, Verb};

use super::into_cni;

/// A parent as the configuration names it, and the link that was found.
#[derive(Debug)]
pub struct Parent {
    /// Its name; empty if neither the configuration nor a default route names one.
    pub name: String,
    /// The namespace that it is in.
    pub place: Place,
    /// The link; `None` if it does not exist, or no longer.
    pub link: Option<Link>,
    survey: Option<Survey>,
}

impl Parent {
    /// Looks for the link called `master` on the host or in the container; without a name, for the
    /// link of the first default route.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel or the namespace cannot be queried.
    pub fn find(call: &Call, master: Option<&str>, in_container: bool) -> Result<Parent> {
        let place = if in_container { Pod } else { Host };
        let mut parent =
            Parent { name: master.unwrap_or_default().to_owned(), place, link: None, survey: None };
        let found = match (place, call.netns.as_deref()) {
            (Host, _) => Survey::host(),
            (Pod, Some(netns)) => Survey::pod(Path::new(netns)),
            (Pod, None) => return Ok(parent),
        };
        let mut survey = match found {
            // DEL goes on without a namespace.
            Err(error) if error.is_namespace() && call.verb == Verb::Del => return Ok(parent),
            found => found.map_err(into_cni)?,
        };
        parent.link = match master {
            // No link can have an invalid name.
            Some(name) if libcni::IfName::new(name).is_err() => Ok(None),
            Some(name) => survey.link(name),
            None => default(call, &mut survey),
        }
        .map_err(into_cni)?;
        if let Some(link) = &parent.link {
            parent.name.clone_from(&link.name);
        }
        parent.survey = Some(survey);
        Ok(parent)
    }

    /// The link, which must exist.
    ///
    /// # Errors
    ///
    /// Returns an error if it does not exist.
    pub fn link(&self) -> Result<&Link> {
        self.link.as_ref().ok_or_else(|| match self.name.as_str() {
            "" => Error::internal("no default route interface found").details(
                "Name the parent with \"master\"; without it, it is the link of the \
                 first IPv4 default route",
            ),
            name => Error::internal(format!("Link not found: {name}")).details(format!(
                "\"master\" has to be a link {}",
                match self.place {
                    Host => "of the host",
                    Pod => "of the container, as linkInContainer says",
                }
            )),
        })
    }

    /// The survey that found the link; `None` if there was no namespace to query.
    pub fn survey(&mut self) -> Option<&mut Survey> {
        self.survey.as_mut()
    }
}

/// The link of the first default route. The parent of an existing attachment is the link over which
/// it was made, even if the routes have changed.
fn default(call: &Call, survey: &mut Survey) -> kernel::Result<Option<Link>> {
    let is_made = matches!(call.verb, Verb::Check | Verb::Repair | Verb::Del);
    if let (true, Some(netns), Some(attachment)) = (is_made, &call.netns, &call.attachment) {
        let pod = Survey::pod(Path::new(netns)).and_then(|mut pod| pod.link(&attachment.ifname));
        if let Ok(Some(Link { peer: Some(index), .. })) = pod
            && let Some(link) = survey.links()?.into_iter().find(|link| link.index == index)
        {
            return Ok(Some(link));
        }
    }
    match call.verb {
        // DEL does not need a parent over which nothing was made.
        Verb::Del => Ok(None),
        _ => survey.default_link(),
    }
}
