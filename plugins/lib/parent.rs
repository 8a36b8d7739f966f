//! The link that a container's interface is made over.

use std::path::Path;

use kernel::Place::{self, Host, Pod};
use kernel::{Link, Survey};
use libcni::{Call, Error, Result, Verb};

use crate::into_cni;

/// A parent as a configuration names it, and the link as it is found.
#[derive(Debug)]
pub struct Parent {
    /// Its name; empty if neither the configuration nor a default route names one.
    pub name: String,
    /// Where it is.
    pub place: Place,
    /// The link; none if it is not there (any more).
    pub link: Option<Link>,
    survey: Option<Survey>,
}

impl Parent {
    /// Looks for the link called `master`, or without a name for the one that the first default route leads out of: on the
    /// host, or in the container.
    ///
    /// # Errors
    ///
    /// The kernel or the namespace could not be looked at.
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
            // Names that no link can have are asked for in vain.
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

    /// The link, which has to be there.
    ///
    /// # Errors
    ///
    /// It is not.
    pub fn link(&self) -> Result<&Link> {
        self.link.as_ref().ok_or_else(|| match self.name.as_str() {
            "" => Error::internal("no default route interface found")
                .details("name the parent with \"master\": without, it is the link of the first IPv4 default route"),
            name => Error::internal(format!("Link not found: {name}"))
                .details(format!("\"master\" has to be a link {}", match self.place {
                    Host => "of the host",
                    Pod => "of the container, as linkInContainer says",
                })),
        })
    }

    /// What was looked with; none if there was nothing to look at.
    pub fn survey(&mut self) -> Option<&mut Survey> {
        self.survey.as_mut()
    }
}

/// The link of the first default route. Once there is an attachment, its parent is the one it was made over, whatever has
/// become of the routes.
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
        // It has no use for one that nothing was made over.
        Verb::Del => Ok(None),
        _ => survey.default_link(),
    }
}
