//! A legacy server that knows what it did: which calls ran in which session, by the mark in their arguments, and each of its events by
//! its number. It forgets no event: whoever resumes is told the rest.
//!
//! Tools: `count` runs once, after a pause where `wait_ms` asks for one; `report` tells `steps` numbered messages on the stream of the
//! call, whether somebody reads it or not, and then its result. On the GET stream come the events that have
//! [happened](Counting::happens); each [`UPDATES`]th of them is the update of a resource, for sessions that subscribed to it.

use std::collections::{HashMap, HashSet};
use std::ops::Deref;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::message;
use crate::upstream::{Answer, Legacy, Pipe, Received};

/// What sessions subscribe to.
pub const RESOURCE: &str = "count:///resource";
/// So many events, and then an update.
pub const UPDATES: u64 = 5;
/// Between the messages of a report.
const STEP: Duration = Duration::from_millis(40);

/// The server; dereferences to what it received.
pub struct Counting {
    server: Legacy,
    state: Arc<State>,
}

struct State {
    /// What its events say.
    says: String,
    /// The sessions in which calls ran, by mark.
    runs: Mutex<HashMap<String, Vec<String>>>,
    /// Reports by mark.
    reports: Mutex<HashMap<String, Report>>,
    /// Sessions that subscribed.
    subscribed: Mutex<HashSet<String>>,
    /// How many events there have been in each session.
    happened: watch::Sender<u64>,
    /// A session may have one GET stream at a time, as with the SDKs' own servers; its open ones.
    one_stream: Option<Mutex<HashMap<String, Pipe>>>,
}

#[derive(Clone)]
struct Report {
    /// Of the request.
    id: Value,
    began: Instant,
    steps: u64,
}

impl Deref for Counting {
    type Target = Legacy;

    fn deref(&self) -> &Legacy {
        &self.server
    }
}

impl Counting {
    /// Starts it, with no event so far.
    #[must_use]
    pub fn start() -> Self {
        Self::with("an event", None)
    }

    /// The same, its events saying this.
    #[must_use]
    pub fn saying(text: &str) -> Self {
        Self::with(text, None)
    }

    /// The same, which allows a session one GET stream at a time: the second one gets 409.
    #[must_use]
    pub fn strict() -> Self {
        Self::with("an event", Some(Mutex::default()))
    }

    fn with(text: &str, one_stream: Option<Mutex<HashMap<String, Pipe>>>) -> Self {
        let state = Arc::new(State {
            says: text.to_owned(),
            runs: Mutex::default(),
            reports: Mutex::default(),
            subscribed: Mutex::default(),
            happened: watch::Sender::new(0),
            one_stream,
        });
        let own = Arc::clone(&state);
        Self { server: Legacy::scripted(move |received| own.answer(received)), state }
    }

    /// Something happens over and over, with a pause after each, until that is aborted.
    #[must_use]
    pub fn beats(self: &Arc<Self>, pause: Duration) -> JoinHandle<()> {
        let server = Arc::clone(self);
        tokio::spawn(async move {
            let mut beats = tokio::time::interval(pause);
            loop {
                beats.tick().await;
                server.happens();
            }
        })
    }

    /// One more event in every session, also in those that begin later.
    pub fn happens(&self) {
        self.state.happened.send_modify(|number| *number += 1);
    }

    /// How many events there have been.
    #[must_use]
    pub fn happened(&self) -> u64 {
        *self.state.happened.borrow()
    }

    /// The sessions of its own in which each call ran, by its mark: one for each time.
    #[must_use]
    pub fn runs(&self) -> HashMap<String, Vec<String>> {
        self.state.runs.lock().unwrap().clone()
    }
}

impl State {
    fn answer(self: &Arc<Self>, received: &Received) -> Option<Answer> {
        let message = received.message();
        let session = received.header("mcp-session-id").unwrap_or_default().to_owned();
        if received.verb == "GET" {
            return Some(self.told_from(session, received.header("last-event-id").unwrap_or("0")));
        }
        match message["method"].as_str()? {
            "resources/subscribe" if message["params"]["uri"] == RESOURCE => {
                self.subscribed.lock().unwrap().insert(session);
                None
            }
            "tools/list" => {
                let tool = |name| json!({ "name": name, "inputSchema": { "type": "object" } });
                let tools = json!({ "tools": [tool("count"), tool("report")] });
                Some(Answer::message(&message::response(&message["id"], tools)))
            }
            "tools/call" => self.run(session, &message),
            _ => None,
        }
    }

    fn run(&self, session: String, message: &Value) -> Option<Answer> {
        let arguments = &message["params"]["arguments"];
        let mark = arguments["mark"].as_str()?.to_owned();
        self.runs.lock().unwrap().entry(mark.clone()).or_default().push(session);
        if message["params"]["name"] == "report" {
            let steps = arguments["steps"].as_u64().unwrap();
            let report = Report { id: message["id"].clone(), began: Instant::now(), steps };
            self.reports.lock().unwrap().insert(mark.clone(), report.clone());
            return Some(report.told_from(mark, None));
        }
        let answer = message::response(&message["id"], message::text(&mark));
        let (pipe, head) = Answer::stream("application/json");
        let pause = Duration::from_millis(arguments["wait_ms"].as_u64().unwrap_or_default());
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            pipe.send(answer.to_string()).await;
        });
        Some(head)
    }

    /// The stream that goes on after this event: `NUMBER` of the session, or `MARK:NUMBER` of a report.
    fn told_from(self: &Arc<Self>, session: String, last: &str) -> Answer {
        if let Some((mark, number)) = last.rsplit_once(':') {
            let report = self.reports.lock().unwrap().get(mark).cloned();
            return match report {
                Some(report) => report.told_from(mark.to_owned(), Some(number.parse().unwrap())),
                None => Answer::empty(400),
            };
        }
        let (pipe, head) = Answer::stream("text/event-stream");
        if let Some(streams) = &self.one_stream {
            let mut streams = streams.lock().unwrap();
            if streams.get(&session).is_some_and(|open| !open.is_closed()) {
                return Answer::empty(409);
            }
            streams.insert(session.clone(), pipe.clone());
        }
        let (state, last) = (Arc::clone(self), last.parse().unwrap());
        tokio::spawn(async move { state.tell(&session, last, &pipe).await });
        head
    }

    async fn tell(&self, session: &str, mut last: u64, pipe: &Pipe) {
        let mut happened = self.happened.subscribe();
        loop {
            while last < *happened.borrow_and_update() {
                last += 1;
                if !pipe.numbered(&last.to_string(), &self.event(session, last)).await {
                    return;
                }
            }
            tokio::select! {
                _ = happened.changed() => {}
                () = pipe.closed() => return,
            }
        }
    }

    fn event(&self, session: &str, number: u64) -> Value {
        let meta = json!({ "number": number });
        if number.is_multiple_of(UPDATES) && self.subscribed.lock().unwrap().contains(session) {
            let params = json!({ "uri": RESOURCE, "_meta": meta });
            return message::notification("notifications/resources/updated", params);
        }
        let params = json!({ "level": "info", "data": self.says, "_meta": meta });
        message::notification("notifications/message", params)
    }
}

impl Report {
    /// The stream of the call from its beginning, or after one of its events.
    fn told_from(self, mark: String, last: Option<u64>) -> Answer {
        let (pipe, head) = Answer::stream("text/event-stream");
        tokio::spawn(async move {
            // the first one says nothing but where to go on
            if last.is_none() && !pipe.send(format!("id: {mark}:0\ndata: \n\n")).await {
                return;
            }
            for number in last.unwrap_or_default() + 1..=self.steps + 1 {
                tokio::time::sleep_until(self.began + STEP * u32::try_from(number).unwrap()).await;
                let message = match number <= self.steps {
                    true => {
                        let params = json!({ "level": "info", "data": "a step", "_meta": { "number": number } });
                        message::notification("notifications/message", params)
                    }
                    false => message::response(&self.id, message::text(&mark)),
                };
                if !pipe.numbered(&format!("{mark}:{number}"), &message).await {
                    return;
                }
            }
        });
        head
    }
}
