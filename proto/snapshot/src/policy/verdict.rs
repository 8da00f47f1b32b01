//! What policies say of one object, and what follows for one credential.

use std::sync::Arc;

use super::{Limit, Rule};

/// All that policies say of one object to one kind of principal. It does not depend on the scopes of a credential, so that
/// it can be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    list: Ruling,
    call: Ruling,
    limits: Box<[Arc<Limit>]>,
}

/// What they say of one action.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Ruling {
    /// By any of these rules, never none; those that need fewer scopes first.
    Granted(Box<[Arc<Rule>]>),
    /// By this rule; `None`: because no rule allows it.
    Refused(Option<Arc<Rule>>),
}

/// What follows for a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision<'v> {
    /// It may be made, within these limits.
    Allowed {
        /// The rule that allows it.
        by: &'v Arc<Rule>,
        /// All of them hold.
        limits: &'v [Arc<Limit>],
    },
    /// It may not be made, and the object is not listed: nobody is told that it exists.
    Hidden {
        /// The rule that denies it; `None`: no rule allows it.
        by: Option<&'v Arc<Rule>>,
    },
    /// It may not be made; that the object exists is no secret, for it is listed.
    Denied {
        /// The rule that denies it; `None`: no rule allows it.
        by: Option<&'v Arc<Rule>>,
    },
    /// It could be made with a credential for these scopes.
    InsufficientScope {
        /// The rule that would allow it. Its scopes are all that the call needs.
        by: &'v Arc<Rule>,
    },
}

impl Verdict {
    /// `allow` and `deny` are the rules about the object, `limits` those that hold for it.
    pub(super) fn new(allow: &[&Arc<Rule>], deny: &[&Arc<Rule>], limits: Box<[Arc<Limit>]>) -> Self {
        Self {
            list: Ruling::of(allow, deny, |rule| rule.list),
            call: Ruling::of(allow, deny, |rule| rule.call),
            limits,
        }
    }

    /// Whether the object is seen in lists. A scope that is missing hides nothing: how else would a client know what to ask
    /// for.
    #[must_use]
    pub fn is_listed(&self) -> bool {
        matches!(self.list, Ruling::Granted(_))
    }

    /// The rule by which it is seen in lists, or not; `None`: no rule allows it.
    #[must_use]
    pub fn listed_by(&self) -> Option<&Arc<Rule>> {
        match &self.list {
            Ruling::Granted(rules) => rules.first(),
            Ruling::Refused(by) => by.as_ref(),
        }
    }

    /// What follows for a call with a credential that was issued for `scopes`, sorted; `None`: it knows no scopes and lacks
    /// none.
    #[must_use]
    pub fn call(&self, scopes: Option<&[Arc<str>]>) -> Decision<'_> {
        let rules = match (&self.call, self.is_listed()) {
            (Ruling::Granted(rules), _) => rules,
            (Ruling::Refused(by), true) => return Decision::Denied { by: by.as_ref() },
            (Ruling::Refused(by), false) => return Decision::Hidden { by: by.as_ref() },
        };
        let missing = |rule: &Arc<Rule>| match scopes {
            Some(has) => rule.scopes.iter().filter(|scope| has.binary_search(scope).is_err()).count(),
            None => 0,
        };
        // the first of those that lack least
        match rules.iter().map(|rule| (missing(rule), rule)).min_by_key(|(missing, _)| *missing) {
            Some((0, by)) => Decision::Allowed { by, limits: &self.limits },
            Some((_, by)) => Decision::InsufficientScope { by },
            None => Decision::Hidden { by: None },
        }
    }
}

impl Ruling {
    fn of(allow: &[&Arc<Rule>], deny: &[&Arc<Rule>], concerns: impl Fn(&Rule) -> bool) -> Self {
        let of_rules = |rules: &[&Arc<Rule>]| -> Vec<Arc<Rule>> {
            rules.iter().filter(|rule| concerns(rule)).map(|rule| Arc::clone(rule)).collect()
        };
        // which one is named must not depend on the order of policies
        if let Some(denied) = of_rules(deny).into_iter().min_by(|one, two| one.source.cmp(&two.source)) {
            return Self::Refused(Some(denied));
        }
        let mut granted = of_rules(allow);
        granted.sort_by(|one, two| (one.scopes.len(), &one.source).cmp(&(two.scopes.len(), &two.source)));
        // nobody lacks anything for a rule without scopes
        if granted.first().is_some_and(|rule| rule.scopes.is_empty()) {
            granted.truncate(1);
        }
        if granted.is_empty() { Self::Refused(None) } else { Self::Granted(granted.into()) }
    }
}

impl Decision<'_> {
    /// The rule that decided; `None`: no rule allows it.
    #[must_use]
    pub fn by(&self) -> Option<&Arc<Rule>> {
        match self {
            Self::Allowed { by, .. } | Self::InsufficientScope { by } => Some(by),
            Self::Hidden { by } | Self::Denied { by } => *by,
        }
    }
}
