//! Sessions on all nodes: each connected node is asked for what it has by itself, and one of them for what they keep together.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sluice_contract::v1;
use sluice_contract::v1::sessions_asked::What as Asked;
use sluice_contract::v1::sessions_told::What as Told;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::Nodes;

/// How long nodes may take: they look through what they keep for a second, and then say how far they came.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// Questions that wait for a node; whoever asks beyond is told that it does not answer.
const WAITING: usize = 4;
/// Sessions of a page where nobody says how many, and at most.
const USUAL: u32 = 100;
const MOST: u32 = 1_000;

/// What a node is asked.
pub(crate) struct Question {
    /// What is wanted.
    pub what: Asked,
    /// Of what it keeps together with others, too.
    pub shared: bool,
    /// Takes the answer.
    pub answer: oneshot::Sender<Told>,
}

/// What nodes answered, and which did not, and why.
struct Answers {
    told: Vec<(String, Told)>,
    missing: Vec<(String, &'static str)>,
}

const AWAY: &str = "is not connected";
const SILENT: &str = "does not answer";

/// The two ends of a node's queue of questions.
pub(super) fn questions() -> (mpsc::Sender<Question>, mpsc::Receiver<Question>) {
    mpsc::channel(WAITING)
}

impl Nodes {
    /// A page of the sessions of all connected nodes.
    pub async fn list_sessions(&self, which: &v1::ListSessionsRequest) -> v1::ListSessionsResponse {
        let limit = if which.limit == 0 { USUAL } else { which.limit.min(MOST) };
        let which = v1::ListSessionsRequest { limit, ..which.clone() };
        let Answers { told, missing } = self.ask(&Asked::List(which)).await;
        let missed = |(node, why): (String, &str)| match why {
            AWAY => format!("{node} {why}: what it holds alone is not known"),
            _ => format!("{node} {why}"),
        };
        let mut trouble: Vec<_> = missing.into_iter().map(missed).collect();
        let mut pages = Vec::new();
        for (node, told) in told {
            let Told::List(mut page) = told else { continue };
            trouble.extend(page.trouble.drain(..).map(|trouble| format!("{node}: {trouble}")));
            pages.push((node, page));
        }
        let (sessions, next) = together(pages, limit as usize);
        v1::ListSessionsResponse { sessions, next, trouble }
    }

    /// Ends sessions on all connected nodes; the others are told when they come back.
    pub async fn end_sessions(self: &Arc<Self>, which: &v1::EndSessionsRequest) -> v1::EndSessionsResponse {
        let Answers { told, missing } = self.ask(&Asked::End(which.clone())).await;
        let mut trouble = Vec::new();
        for (node, why) in missing {
            trouble.push(format!("{node} {why}: {}", self.owe(&node, which).await));
        }
        let mut all = 0;
        for (node, told) in told {
            let Told::End(v1::EndSessionsResponse { ended, trouble: own }) = told else { continue };
            trouble.extend(own.into_iter().map(|trouble| format!("{node}: {trouble}")));
            all += ended;
        }
        v1::EndSessionsResponse { ended: all, trouble }
    }

    /// Asks all nodes, and waits for those that answer.
    async fn ask(&self, what: &Asked) -> Answers {
        let mut missing = Vec::new();
        let mut asked = Vec::new();
        {
            let known = self.known();
            // any that serves will do
            let chosen =
                known.iter().find(|(_, node)| node.visitor.is_some() && node.report.ready).map(|(name, _)| name);
            for (name, node) in known.iter() {
                let Some(visitor) = &node.visitor else {
                    missing.push((name.clone(), AWAY));
                    continue;
                };
                let (answer, told) = oneshot::channel();
                let question = Question { what: what.clone(), shared: chosen == Some(name), answer };
                // dropped where there is no room: no answer comes
                let _ = visitor.questions.try_send(question);
                asked.push((name.clone(), told));
            }
        }
        let deadline = Instant::now() + PATIENCE;
        let mut answers = Vec::new();
        for (name, told) in asked {
            match tokio::time::timeout_at(deadline, told).await {
                Ok(Ok(told)) => answers.push((name, told)),
                _ => missing.push((name, SILENT)),
            }
        }
        Answers { told: answers, missing }
    }
}

/// One page of many, as far as all of them were looked through. A session may be on several nodes.
fn together(pages: Vec<(String, v1::ListSessionsResponse)>, limit: usize) -> (Vec<v1::Session>, String) {
    let until = pages.iter().map(|(_, page)| &page.next).filter(|next| !next.is_empty()).min().cloned();
    let mut all = BTreeMap::<String, v1::Session>::new();
    for (node, page) in pages {
        for mut told in page.sessions {
            // whatever it is called there
            let is_open = !told.nodes.is_empty();
            told.nodes = is_open.then(|| node.clone()).into_iter().collect();
            match all.get_mut(&told.session) {
                Some(known) => add(known, told),
                None => drop(all.insert(told.session.clone(), told)),
            }
        }
    }
    let mut sessions: Vec<_> =
        all.into_values().filter(|told| until.as_ref().is_none_or(|until| told.session <= *until)).collect();
    if sessions.len() > limit {
        sessions.truncate(limit);
        let next = sessions.last().map(|last| last.session.clone()).unwrap_or_default();
        return (sessions, next);
    }
    (sessions, until.unwrap_or_default())
}

/// Another node knows the session, too.
fn add(known: &mut v1::Session, other: v1::Session) {
    known.used_ms = known.used_ms.max(other.used_ms);
    known.nodes.extend(other.nodes);
    known.servers.extend(other.servers);
    known.servers.sort();
    known.servers.dedup();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(id: &str, nodes: &[&str], used_ms: u64) -> v1::Session {
        let nodes = nodes.iter().map(|node| (*node).to_owned()).collect();
        v1::Session { session: id.to_owned(), nodes, used_ms, ..v1::Session::default() }
    }

    fn page(node: &str, sessions: Vec<v1::Session>, next: &str) -> (String, v1::ListSessionsResponse) {
        let next = next.to_owned();
        (node.to_owned(), v1::ListSessionsResponse { sessions, next, ..v1::ListSessionsResponse::default() })
    }

    fn ids(sessions: &[v1::Session]) -> Vec<&str> {
        sessions.iter().map(|session| session.session.as_str()).collect()
    }

    #[test]
    fn a_session_of_several_nodes_is_one() {
        let a = page("a", vec![session("1", &["x"], 5)], "");
        let b = page("b", vec![session("1", &["y"], 9), session("2", &[], 1)], "");
        let (sessions, next) = together(vec![a, b], 10);
        assert_eq!((ids(&sessions), next.as_str()), (vec!["1", "2"], ""));
        assert_eq!((&*sessions[0].nodes, sessions[0].used_ms), (&["a".to_owned(), "b".to_owned()][..], 9));
    }

    #[test]
    fn a_page_goes_as_far_as_all_were_looked_through() {
        let a = page("a", vec![session("1", &[], 0), session("3", &[], 0)], "3");
        let b = page("b", vec![session("2", &[], 0), session("4", &[], 0)], "");
        let (sessions, next) = together(vec![a, b], 10);
        assert_eq!(
            (ids(&sessions), next.as_str()),
            (vec!["1", "2", "3"], "3"),
            "4 may come after what `a` has not told"
        );
        let a = page("a", vec![session("1", &[], 0), session("3", &[], 0)], "");
        let b = page("b", vec![session("2", &[], 0)], "");
        let (sessions, next) = together(vec![a, b], 2);
        assert_eq!((ids(&sessions), next.as_str()), (vec!["1", "2"], "2"));
        let (sessions, next) = together(vec![page("a", Vec::new(), "7")], 2);
        assert_eq!((ids(&sessions), next.as_str()), (Vec::new(), "7"), "an empty page that is not the last");
    }
}
