//! The rules about one server that concern one kind of principal.

use std::sync::Arc;

use super::{Limit, Object, Policy, Rule, Verdict};

/// The rules about one server that concern one kind of principal: patterns of principals and of servers are behind it.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    allow: Vec<Arc<Rule>>,
    deny: Vec<Arc<Rule>>,
    limits: Vec<Arc<Limit>>,
}

impl Rules {
    pub(super) fn new<'p>(policies: impl Iterator<Item = &'p Policy>, server: &str) -> Self {
        let mut rules = Self::default();
        for policy in policies {
            let about = |rule: &&Arc<Rule>| rule.coverage.has_server(server);
            rules.allow.extend(policy.allow.iter().filter(about).cloned());
            rules.deny.extend(policy.deny.iter().filter(about).cloned());
            rules.limits.extend(policy.limit.iter().filter(|limit| limit.coverage.has_server(server)).cloned());
        }
        rules
    }

    /// Whether anything of the server may be listed or called. One that is out of reach does not exist for the principal.
    #[must_use]
    pub fn reach(&self) -> bool {
        let denied = |action: fn(&Rule) -> bool| self.deny.iter().any(|rule| rule.coverage.everything && action(rule));
        let (list, call) = (!denied(|rule| rule.list), !denied(|rule| rule.call));
        self.allow.iter().any(|rule| (rule.list && list) || (rule.call && call))
    }

    /// Whether no rule singles anything out, so that the verdict on the server as such is that on everything of it.
    #[must_use]
    pub fn are_uniform(&self) -> bool {
        let coverages = self.allow.iter().chain(&self.deny).map(|rule| &rule.coverage);
        coverages.chain(self.limits.iter().map(|limit| &limit.coverage)).all(|coverage| coverage.everything)
    }

    /// What they say of an object. Takes time by the number of rules and the length of their patterns.
    #[must_use]
    pub fn judge(&self, object: Object<'_>) -> Verdict {
        let allow: Vec<_> = self.allow.iter().filter(|rule| rule.coverage.has(object)).collect();
        let deny: Vec<_> = self.deny.iter().filter(|rule| rule.coverage.may_have(object)).collect();
        let limits = self.limits.iter().filter(|limit| limit.coverage.may_have(object)).cloned();
        Verdict::new(&allow, &deny, limits.collect())
    }

    /// Whether both surely grant the same. Where the rules stand, and their limits, do not matter.
    #[must_use]
    pub fn grant_as(&self, other: &Self) -> bool {
        let same = |one: &[Arc<Rule>], two: &[Arc<Rule>]| {
            one.len() == two.len() && one.iter().zip(two).all(|(one, two)| one.grants_as(two))
        };
        same(&self.allow, &other.allow) && same(&self.deny, &other.deny)
    }
}
