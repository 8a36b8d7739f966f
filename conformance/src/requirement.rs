//! What a requirement is.

use serde::{Deserialize, Serialize};

use crate::fixture::Fixture;
use crate::profile::{Kind, Profile};
use crate::verdict::TestResult;
use crate::version::{OLDEST, numbers};

/// One property that a plugin must have, and the test for it.
#[derive(Debug, Clone, Copy)]
pub struct Requirement {
    /// The ID, `S2.ADD.4`: section and heading of the specification, or a chapter of the kit.
    pub id: &'static str,
    /// Where it comes from: a section of the specification, a man page, a security advisory.
    pub source: &'static str,
    /// The property, in one sentence with "must" or "should".
    pub statement: &'static str,
    /// How binding it is.
    pub level: Level,
    /// The plugins that it applies to.
    pub applies_to: AppliesTo,
    /// The versions of the specification in which it is tested.
    pub versions: Versions,
    /// The test. The fixture provides the plugin, its configuration and a host.
    pub test: fn(&Fixture) -> TestResult,
}

/// How binding a requirement is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// The specification says "must", or the requirement follows from the specification.
    Must,
    /// The specification says "should".
    Should,
    /// The specification does not mention it, but operators rely on it.
    Expected,
}

impl Level {
    /// The word in lists.
    pub fn name(self) -> &'static str {
        match self {
            Level::Must => "must",
            Level::Should => "should",
            Level::Expected => "expected",
        }
    }

    /// The explanation for `explain`.
    pub fn meaning(self) -> &'static str {
        match self {
            Level::Must => "must: the specification demands it, or it follows from a demand",
            Level::Should => "should: the specification recommends it",
            Level::Expected => {
                "expected: the specification does not mention it, but operators rely on it"
            }
        }
    }
}

/// The plugins that a requirement applies to.
#[derive(Debug, Clone, Copy)]
pub enum AppliesTo {
    /// All plugins.
    All,
    /// Plugins that create an interface.
    Interfaces,
    /// Plugins that create an interface and call an IPAM plugin.
    Delegating,
    /// IPAM plugins.
    Ipam,
    /// Chained plugins: the runtime calls them after another plugin, with its result.
    Chained,
    /// Plugins whose profile meets a condition; the text completes "applies to plugins that ..".
    Where(fn(&Profile) -> bool, &'static str),
}

impl AppliesTo {
    fn includes(self, profile: &Profile) -> bool {
        match self {
            AppliesTo::All => true,
            AppliesTo::Interfaces => profile.kind == Kind::Interface,
            AppliesTo::Delegating => {
                profile.kind == Kind::Interface && profile.config.get("ipam").is_some()
            }
            AppliesTo::Ipam => profile.kind == Kind::Ipam,
            AppliesTo::Chained => profile.kind == Kind::Chained,
            AppliesTo::Where(test, _) => test(profile),
        }
    }

    /// Completes "applies to plugins that ..".
    pub fn description(self) -> &'static str {
        match self {
            AppliesTo::All => "exist",
            AppliesTo::Interfaces => "create an interface",
            AppliesTo::Delegating => "call an IPAM plugin",
            AppliesTo::Ipam => "manage addresses (IPAM)",
            AppliesTo::Chained => "are chained after another plugin",
            AppliesTo::Where(_, description) => description,
        }
    }
}

/// The versions of the specification in which a requirement is tested, of those that the plugin
/// supports and the user selects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versions {
    /// Each version.
    Each,
    /// This version and each later one.
    From(&'static str),
    /// Only the newest version, because the requirement does not depend on the version.
    Newest,
    /// Only the newest version, if it is this one or later: the specification says nothing of the
    /// kind before.
    NewestFrom(&'static str),
}

/// The source of a requirement that no document states.
pub const OPERATORS: &str = "what operators rely on";

/// A requirement that the specification states and that does not depend on its version.
pub const fn must(
    id: &'static str,
    source: &'static str,
    statement: &'static str,
    applies_to: AppliesTo,
    test: fn(&Fixture) -> TestResult,
) -> Requirement {
    Requirement {
        id,
        source,
        statement,
        level: Level::Must,
        applies_to,
        versions: Versions::Newest,
        test,
    }
}

/// A requirement that operators rely on.
pub const fn expected(
    id: &'static str,
    statement: &'static str,
    applies_to: AppliesTo,
    test: fn(&Fixture) -> TestResult,
) -> Requirement {
    Requirement { level: Level::Expected, ..must(id, OPERATORS, statement, applies_to, test) }
}

impl Requirement {
    /// Checks whether the requirement applies to a plugin with this profile.
    ///
    /// # Errors
    ///
    /// "applies to plugins that ..".
    pub fn is_for(&self, profile: &Profile) -> Result<(), String> {
        match self.applies_to.includes(profile) {
            true => Ok(()),
            false => Err(format!("applies to plugins that {}", self.applies_to.description())),
        }
    }

    /// The versions in which the requirement is tested, oldest first, of `versions`.
    pub fn versions_of(&self, versions: &[String]) -> Vec<String> {
        match self.versions {
            Versions::Each => versions.to_vec(),
            Versions::From(first) => versions
                .iter()
                .filter(|version| numbers(version) >= numbers(first))
                .cloned()
                .collect(),
            Versions::Newest => versions.last().cloned().into_iter().collect(),
            Versions::NewestFrom(first) => {
                let newest = versions.last().filter(|last| numbers(last) >= numbers(first));
                newest.cloned().into_iter().collect()
            }
        }
    }

    /// The first version of the specification, of those that the kit tests, with the requirement.
    pub fn since(&self) -> &'static str {
        match self.versions {
            Versions::Each | Versions::Newest => OLDEST,
            Versions::From(first) | Versions::NewestFrom(first) => first,
        }
    }
}
