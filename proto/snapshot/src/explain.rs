//! What would become of a call: what a node asks of its snapshot, in the node's order, with what is found and where that is
//! written. It decides nothing of its own: names are split, offers curated and policies judged by what the node uses.
//!
//! It cannot know what only a running node knows: what servers list, and what they were found out to be.

mod curation;
mod limits;
mod principal;
mod route;
mod server;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::SystemTime;

use crate::model::Snapshot;
use crate::policy::{Decision, Object};
use crate::share::Shares;
use principal::Principal;
use route::Route;

/// What somebody might ask for.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// What is done.
    pub action: Action,
    /// `server_tool` as on the merged door, or `server/tool` as on the server's own; a URI behind the slash.
    pub name: &'a str,
    /// Who does it: `client:NAME`, `jwt:ISSUER:SUBJECT`, `certificate:SAN`, `local` or `anonymous`.
    pub principal: &'a str,
    /// Of a token: the roles it says.
    pub roles: &'a [String],
    /// Of a token: the scopes it was issued for.
    pub scopes: &'a [String],
    /// The names of the arguments that the call has.
    pub arguments: &'a [String],
    /// When it is done: credentials may have expired.
    pub now: SystemTime,
    /// What the node holds of limits that are for the whole fleet.
    pub shares: &'a Shares,
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// `tools/call`.
    Call,
    /// `prompts/get`.
    Get,
    /// `resources/read`.
    Read,
}

impl Action {
    /// The action of a method.
    #[must_use]
    pub fn of(method: &str) -> Option<Self> {
        match method {
            "tools/call" => Some(Self::Call),
            "prompts/get" => Some(Self::Get),
            "resources/read" => Some(Self::Read),
            _ => None,
        }
    }

    /// What it is done to.
    fn noun(self) -> &'static str {
        match self {
            Self::Call => "tool",
            Self::Get => "prompt",
            Self::Read => "resource",
        }
    }

    fn object(self, name: &str) -> Object<'_> {
        match self {
            Self::Call => Object::Tool(name),
            Self::Get => Object::Prompt(name),
            Self::Read => Object::Resource(name),
        }
    }
}

/// What would become of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// In one word.
    pub verdict: Verdict,
    /// How that came about.
    pub steps: Vec<Step>,
    /// Where it would go.
    pub target: Option<Target>,
}

/// Something of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The server.
    pub server: Arc<str>,
    /// What the server itself calls it.
    pub name: String,
}

/// What would become of it, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It goes to the server.
    Allowed,
    /// The principal does not come in.
    Unauthenticated,
    /// Nothing is called that.
    Unknown,
    /// It is not listed, and answered like something that does not exist.
    Hidden,
    /// It is listed, and refused.
    Denied,
    /// It could be done with a token for more scopes.
    InsufficientScope,
}

impl Verdict {
    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Unauthenticated => "unauthenticated",
            Self::Unknown => "unknown",
            Self::Hidden => "hidden",
            Self::Denied => "denied",
            Self::InsufficientScope => "insufficient_scope",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What: `route`, `rule`.
    pub name: &'static str,
    /// What was found. Never a credential.
    pub value: String,
    /// Where it is written, in the words of the configuration; empty: nowhere.
    pub source: String,
}

/// What was looked at so far.
#[derive(Default)]
struct Steps(Vec<Step>);

impl Steps {
    fn note(&mut self, name: &'static str, value: impl Into<String>, source: impl Into<String>) {
        self.0.push(Step { name, value: value.into(), source: source.into() });
    }
}

/// Says what would become of it.
#[must_use]
pub fn explain(snapshot: &Snapshot, question: &Question<'_>) -> Answer {
    let mut steps = Steps::default();
    let mut target = None;
    let verdict = follow(snapshot, question, &mut steps, &mut target);
    Answer { verdict, steps: steps.0, target }
}

fn follow(snapshot: &Snapshot, question: &Question<'_>, steps: &mut Steps, target: &mut Option<Target>) -> Verdict {
    let principal = match principal::find(snapshot, question, steps) {
        Ok(principal) => principal,
        Err(verdict) => return verdict,
    };
    let Some(route) = route::find(snapshot, question, steps) else { return Verdict::Unknown };
    *target = Some(Target { server: Arc::clone(&route.server.name), name: route.name.clone() });
    server::describe(route.server, steps);
    if !curation::shows(&route, question, steps) {
        return Verdict::Hidden;
    }
    let verdict = judge(snapshot, question, &principal, &route, steps);
    if verdict == Verdict::Allowed {
        limits::describe(snapshot, question, steps);
    }
    verdict
}

/// By policies: which rule decides, and which limits of theirs hold.
fn judge(
    snapshot: &Snapshot,
    question: &Question<'_>,
    principal: &Principal,
    route: &Route<'_>,
    steps: &mut Steps,
) -> Verdict {
    let Some(policies) = &snapshot.policies else {
        steps.note("rule", "there are no policies: whoever comes in may do everything", "");
        return Verdict::Allowed;
    };
    let rules = policies.rules(&policies.concerning(&principal.caller()), &route.server.name);
    let judged = rules.judge(question.action.object(&route.name));
    let decision = judged.call(principal.scopes.as_deref());
    let source = decision.by().map(|rule| rule.source.to_string()).unwrap_or_default();
    let noun = question.action.noun();
    match decision {
        Decision::Allowed { limits, .. } => {
            steps.note("rule", "allows it", source);
            for limit in limits {
                limits::of_policy(limit, question, steps);
            }
            if !judged.is_listed() {
                steps.note("list", format!("the {noun} is not listed for this principal"), "");
            }
            Verdict::Allowed
        }
        Decision::Hidden { by } => {
            let why = if by.is_some() { "denies it" } else { "no rule of any policy allows it" };
            steps.note(
                "rule",
                format!("{why}; the {noun} is not listed, and answered like one that does not exist"),
                source,
            );
            Verdict::Hidden
        }
        Decision::Denied { by: Some(_) } => {
            steps.note("rule", format!("denies it; the {noun} is listed"), source);
            Verdict::Denied
        }
        Decision::Denied { by: None } => {
            // the rule that lists it and stops there is the one to look at
            let lists = judged.listed_by().map(|rule| rule.source.to_string()).unwrap_or_default();
            steps.note(
                "rule",
                format!("lets the {noun} be listed, and not called; no other rule allows the call"),
                lists,
            );
            Verdict::Denied
        }
        Decision::InsufficientScope { by } => {
            let scopes = by.scopes.join(" ");
            steps.note("rule", format!("would allow it to a token for `{scopes}`; the {noun} is listed"), source);
            Verdict::InsufficientScope
        }
    }
}
