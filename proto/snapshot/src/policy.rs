//! What principals may do: policies, and the one place where they are judged, for lists, calls and explanations alike.
//!
//! What some rule allows and no rule denies is granted; the order of policies and rules means nothing. Judging has two
//! steps, so that the second costs nothing worth mentioning: [`Rules`] are those about one server that concern one kind of
//! principal; a [`Verdict`] is all they say of one object, and is kept by whoever asks often.

use std::sync::Arc;

use crate::model::Pattern;

mod coverage;
mod rules;
#[cfg(test)]
mod tests;
mod verdict;

pub use coverage::{Coverage, Object};
pub use rules::Rules;
pub use verdict::{Decision, Verdict};

/// All policies of a node. That there are policies at all means that what none of them allows is denied.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policies {
    /// In no order that means anything.
    pub policies: Vec<Policy>,
}

/// Rules for some principals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Unique in a snapshot.
    pub name: String,
    /// One of them has to stand for the principal or for one of its roles.
    pub who: Vec<Pattern>,
    /// What is granted.
    pub allow: Vec<Arc<Rule>>,
    /// What is denied, whatever else grants it.
    pub deny: Vec<Arc<Rule>>,
    /// How often, and how many at a time; all that cover a call hold.
    pub limit: Vec<Arc<Limit>>,
}

/// What may, or may not, be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Where it stands in the configuration: `policies.readers.allow[0]`.
    pub source: Arc<str>,
    /// What it is about.
    pub coverage: Coverage,
    /// Seeing it in lists.
    pub list: bool,
    /// Calling, getting, reading, subscribing, completing.
    pub call: bool,
    /// What a credential must have been issued for, sorted; of rules that allow only.
    pub scopes: Arc<[Arc<str>]>,
}

/// How often, and how many at a time. At least one of the two is limited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// Where it stands in the configuration: `policies.readers.limit[0]`.
    pub source: Arc<str>,
    /// What it is about.
    pub coverage: Coverage,
    /// What is counted together.
    pub per: Per,
    /// Calls in a minute.
    pub requests_per_minute: Option<u32>,
    /// Calls at a time.
    pub concurrent_requests: Option<u32>,
    /// It is for the whole fleet, of which each node holds a [`crate::share::Share`].
    pub of_fleet: bool,
}

/// What is counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Per {
    /// All that one principal calls of what is covered.
    Principal,
    /// What one principal calls of one tool, prompt or resource.
    Tool,
}

/// A principal as policies know it.
#[derive(Debug, Clone, Copy)]
pub struct Caller<'a> {
    /// `client:NAME`, `jwt:ISSUER:SUBJECT`, `certificate:SAN`, `local` or `anonymous`.
    pub name: &'a str,
    /// The names of its roles.
    pub roles: &'a [Arc<str>],
}

impl Rule {
    /// Whether it is the same rule, wherever it stands.
    fn grants_as(&self, other: &Self) -> bool {
        let Self { source: _, coverage, list, call, scopes } = self;
        (coverage, list, call, scopes) == (&other.coverage, &other.list, &other.call, &other.scopes)
    }
}

impl Policies {
    /// The places of the policies that are about a principal. For principals with the same places, [`Policies::rules`] are
    /// the same: they are of one kind.
    #[must_use]
    pub fn concerning(&self, caller: &Caller<'_>) -> Box<[u32]> {
        let concerning = (0..).zip(&self.policies).filter(|(_, policy)| policy.concerns(caller));
        concerning.map(|(place, _)| place).collect()
    }

    /// What they say of one object, for whoever asks once.
    #[must_use]
    pub fn judge(&self, caller: &Caller<'_>, server: &str, object: Object<'_>) -> Verdict {
        self.rules(&self.concerning(caller), server).judge(object)
    }

    /// The rules of the policies at these places about one server.
    #[must_use]
    pub fn rules(&self, concerning: &[u32], server: &str) -> Rules {
        Rules::new(concerning.iter().filter_map(|place| self.policies.get(*place as usize)), server)
    }
}

impl Policy {
    fn concerns(&self, caller: &Caller<'_>) -> bool {
        self.who.iter().any(|who| {
            let role = who.as_str().strip_prefix(ROLE).map(Pattern::new);
            match role {
                Some(role) => caller.roles.iter().any(|has| role.matches(has)),
                None => who.matches(caller.name),
            }
        })
    }
}

/// How a pattern for roles begins; all others stand for principals.
pub(crate) const ROLE: &str = "role:";
