//! Clients that go on whatever becomes of the process they talk to: they connect again, resume their streams where these broke, and
//! remember what they were told, so that a test can count it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::counting::{RESOURCE, UPDATES};
use crate::events::Events;
use crate::{Call, Session, message, wait};

/// After an answer that asks for patience, and after a connection that nobody took.
const PAUSE: Duration = Duration::from_millis(20);
/// Longest that any client is left without what it asks for.
const PATIENCE: Duration = Duration::from_secs(30);

/// What all clients of a test share.
#[derive(Clone, Default)]
pub struct Course {
    over: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
}

impl Course {
    /// They are to come to an end.
    pub fn is_over(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    /// Waits until so many more calls were answered.
    pub async fn goes_on(&self, calls: usize) {
        let goal = self.done.load(Ordering::Relaxed) + calls;
        let done = || (self.done.load(Ordering::Relaxed) >= goal).then_some(());
        wait::within(PATIENCE, "clients go on", done).await;
    }

    fn runs(&self) -> bool {
        !self.over.load(Ordering::Relaxed)
    }
}

/// What became of calls, by their marks.
#[derive(Debug, Clone, Default)]
pub struct Calls {
    /// Answered with a result.
    pub answered: Vec<String>,
    /// The connection broke, or an error said that it may have run.
    pub uncertain: Vec<String>,
}

/// What was told on streams.
#[derive(Debug, Default)]
pub struct Told {
    /// The numbers of the events, in the order they came.
    pub numbers: Vec<u64>,
    /// Of those, updates of the resource.
    pub updates: usize,
    /// How long it took until each stream that had broken was open again.
    pub breaks: Vec<Duration>,
}

/// A client with a session.
pub struct Survivor {
    /// Its session, where the balancer is.
    pub session: Session,
    /// Where that is.
    pub port: u16,
    /// Begins its marks.
    pub name: String,
    /// What comes before the names of tools.
    pub prefix: &'static str,
    /// See [`Course`].
    pub course: Course,
}

impl Survivor {
    fn call(&self, tool: &str, arguments: Value) -> Call {
        let tool = format!("{}{tool}", self.prefix);
        self.session.post(&message::call(&tool, self.session.next_id(), arguments))
    }

    /// Calls until the end of the course; every third call takes its time.
    pub async fn calls(self, pause: Duration) -> Calls {
        let mut calls = Calls::default();
        for number in 0.. {
            if !self.course.runs() {
                break;
            }
            let mark = format!("{}-{number}", self.name);
            let wait_ms = if number % 3 == 0 { 200 } else { 0 };
            match self.count(&mark, wait_ms).await {
                true => calls.answered.push(mark),
                false => calls.uncertain.push(mark),
            }
            tokio::time::sleep(pause).await;
        }
        calls
    }

    /// One call: `true` if it was answered with its result. What did not run is asked for again.
    async fn count(&self, mark: &str, wait_ms: u64) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            let call = self.call("count", json!({ "mark": mark, "wait_ms": wait_ms }));
            let Some(reply) = call.try_send(self.port).await else { return false };
            match (reply.status, reply.header("retry-after")) {
                (200, _) => {
                    let answer = reply.rpc();
                    if answer.get("error").is_some() {
                        assert!(may_have_run(&answer), "{mark}: {answer}");
                        return false;
                    }
                    assert_eq!(answer["result"]["content"][0]["text"], mark, "an answer of another call");
                    self.course.done.fetch_add(1, Ordering::Relaxed);
                    return true;
                }
                (503, Some(_)) => tokio::time::sleep(PAUSE).await,
                (502 | 504, _) if may_have_run(&reply.rpc()) => return false,
                _ => panic!("{mark}: {reply:?}"),
            }
        }
        panic!("{mark}: no answer for {PATIENCE:?}")
    }

    /// Asks for reports until the end of the course, and reads each to its result, wherever its stream breaks. What there was to resume
    /// was told once and in order.
    pub async fn reports(self, steps: u64) -> Calls {
        let mut calls = Calls::default();
        for number in 0.. {
            if !self.course.runs() {
                break;
            }
            let mark = format!("{}-report-{number}", self.name);
            match self.report(&mark, steps).await {
                true => calls.answered.push(mark),
                false => calls.uncertain.push(mark),
            }
        }
        calls
    }

    /// `false`: the stream broke before there was anything to resume.
    async fn report(&self, mark: &str, steps: u64) -> bool {
        let call = self.call("report", json!({ "mark": mark, "steps": steps }));
        let (mut last, mut told) = (None, Told::default());
        let mut stream = loop {
            match call.try_open(self.port).await {
                Some(stream) if stream.status == 503 => tokio::time::sleep(PAUSE).await,
                Some(stream) => break stream,
                None => return false,
            }
        };
        loop {
            assert_eq!(stream.status, 200, "{mark}");
            while let Some(event) = stream.event().await {
                last = event.id.clone().or(last);
                let message = event.message();
                if message.get("result").is_some() {
                    assert_eq!(message["result"]["content"][0]["text"], mark, "an answer of another call");
                    assert!(told.numbers.iter().copied().eq(1..=steps), "{mark}: {:?}", told.numbers);
                    self.course.done.fetch_add(1, Ordering::Relaxed);
                    return true;
                }
                if message.get("error").is_some() {
                    assert!(may_have_run(&message) && last.is_none(), "{mark}: {message}");
                    return false;
                }
                told.note(&message);
            }
            if last.is_none() {
                return false;
            }
            stream = self.open(last.as_deref()).await;
        }
    }

    /// Subscribes, and reads the session's stream until the course is over and `goal` events were told.
    pub async fn reads(self, goal: impl Fn() -> u64) -> Told {
        let subscribe = json!({ "uri": RESOURCE });
        let subscribed = self.session.request("resources/subscribe", subscribe).await;
        assert_eq!(subscribed.status, 200, "{subscribed:?}");
        let (mut told, mut last) = (Told::default(), None::<String>);
        let mut broken = None;
        loop {
            let mut stream = self.open(last.as_deref()).await;
            told.breaks.extend(broken.map(|at: Instant| at.elapsed()));
            loop {
                let is_all = !self.course.runs() && told.numbers.last().is_some_and(|number| *number >= goal());
                if is_all {
                    return told;
                }
                let next = tokio::time::timeout(PATIENCE, stream.event()).await;
                let Some(event) = next.unwrap_or_else(|_| panic!("{}: no event", self.name)) else { break };
                last = event.id.clone().or(last);
                told.note(&event.message());
            }
            broken = Some(Instant::now());
        }
    }

    /// The GET stream, after `last` if given; open as soon as somebody serves it.
    async fn open(&self, last: Option<&str>) -> Events {
        let call = self.session.dressed(Call::get(self.session.path()));
        let call = last.iter().fold(call, |call, last| call.header("last-event-id", last));
        let opening = async {
            loop {
                if let Some(stream) = call.try_open(self.port).await {
                    assert!(matches!(stream.status, 200 | 503), "{}: {} after {last:?}", self.name, stream.status);
                    if stream.status == 200 {
                        return stream;
                    }
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        tokio::time::timeout(PATIENCE, opening).await.unwrap_or_else(|_| panic!("{}: no stream", self.name))
    }
}

impl Told {
    fn note(&mut self, message: &Value) {
        if let Some(number) = message["params"]["_meta"]["number"].as_u64() {
            self.numbers.push(number);
            self.updates += usize::from(message["method"] == "notifications/resources/updated");
        }
    }

    /// Every event up to the last was told once and in order, and every update was one.
    pub fn was_whole(&self) {
        let last = self.numbers.last().copied().unwrap_or_default();
        let wrong = self.numbers.iter().zip(1..).find(|(number, expected)| **number != *expected);
        assert!(wrong.is_none() && self.numbers.len() as u64 == last, "(told, expected): {wrong:?} of {last}");
        assert_eq!(self.updates as u64, last / UPDATES, "updates of what was subscribed to");
    }
}

fn may_have_run(answer: &Value) -> bool {
    answer["error"]["message"].as_str().is_some_and(|text| text.contains("may have run"))
}
