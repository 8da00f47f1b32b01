//! Three nodes behind a balancer that knows nothing of sessions, and one of them killed again and again: no session is lost, no
//! tool runs twice, no event is missed or told twice. `SLUICE_LONG=1`: 1,000 sessions, 200 streams, 20 kills.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::future::join_all;
use sluice_tests::counting::Counting;
use sluice_tests::fleet::{Fleet, object};
use sluice_tests::long::form;
use sluice_tests::survivor::{Calls, Course, Survivor, Told};
use sluice_tests::{Redis, Session};
use tokio::task::JoinHandle;

const NAMES: [&str; 3] = ["edge-1", "edge-2", "edge-3"];
/// The door of the server, the one of all servers, and what comes before the names of its tools there.
const DOORS: [(&str, &str); 2] = [("/servers/one/mcp", ""), ("/mcp", "one_")];
/// Until a stream that broke is open again.
const BACK: Duration = Duration::from_secs(2);
/// Sessions that are opened at a time.
const AT_ONCE: usize = 20;

/// How much of it.
struct Measure {
    kills: usize,
    callers: usize,
    readers: usize,
    reporters: usize,
    /// Of each caller, between its calls.
    pause: Duration,
    /// Between events.
    beat: Duration,
    /// Of calls between two kills.
    calls: usize,
}

const SHORT: Measure = Measure {
    kills: 4,
    callers: 16,
    readers: 8,
    reporters: 4,
    pause: Duration::from_millis(50),
    beat: Duration::from_millis(50),
    calls: 20,
};
const LONG: Measure = Measure {
    kills: 20,
    callers: 750,
    readers: 200,
    reporters: 50,
    pause: Duration::from_secs(1),
    beat: Duration::from_millis(100),
    calls: 1_000,
};

/// Clients with a session each, every second one at the door of all servers if `both`.
async fn survivors(port: u16, course: &Course, name: &str, count: usize, both: bool) -> Vec<Survivor> {
    let mut survivors = Vec::new();
    while survivors.len() < count {
        let first = survivors.len();
        let opened = (first..count.min(first + AT_ONCE)).map(async |number| {
            let (path, prefix) = DOORS[if both { number % 2 } else { 0 }];
            let (session, name) = (Session::open(port, path).await, format!("{name}-{number}"));
            Survivor { session, port, name, prefix, course: course.clone() }
        });
        survivors.extend(join_all(opened).await);
    }
    survivors
}

async fn all<T>(clients: Vec<JoinHandle<T>>) -> Vec<T> {
    join_all(clients).await.into_iter().map(Result::unwrap).collect()
}

/// Which of the nodes comes next: as good as random, and said, so that it can be had again.
fn draw(state: &mut u64) -> usize {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    usize::try_from(*state >> 33).unwrap() % NAMES.len()
}

/// Nothing ran twice, what was answered ran, and each client had one session of the server all along.
fn ran_as_answered(runs: &HashMap<String, Vec<String>>, calls: &[Calls]) {
    let twice: Vec<_> = runs.iter().filter(|(_, sessions)| sessions.len() > 1).collect();
    assert!(twice.is_empty(), "tools that ran more than once: {twice:?}");
    for client in calls {
        let ran = |mark: &String| runs.get(mark).unwrap_or_else(|| panic!("{mark} was answered and did not run"));
        let sessions: HashSet<&String> = client.answered.iter().flat_map(ran).collect();
        assert_eq!(sessions.len(), 1, "{:?}: the session of the server was lost", client.answered.first());
    }
}

#[tokio::test]
async fn sessions_go_on_while_one_node_after_the_other_is_killed() {
    let measure = form(SHORT, LONG);
    let (server, redis) = (Arc::new(Counting::start()), Redis::start().await);
    let mut fleet = Fleet::keeping(&redis, &NAMES, vec![object("server", "one", &server.config())]).await;
    let (port, course) = (fleet.port(), Course::default());
    let callers = survivors(port, &course, "caller", measure.callers, true).await;
    let readers = survivors(port, &course, "reader", measure.readers, false).await;
    let reporters = survivors(port, &course, "reporter", measure.reporters, false).await;

    let callers = callers.into_iter().map(|client| tokio::spawn(client.calls(measure.pause))).collect();
    let reporters = reporters.into_iter().map(|client| tokio::spawn(client.reports(10))).collect();
    let reading = |client: Survivor| {
        let server = Arc::clone(&server);
        tokio::spawn(client.reads(move || server.happened()))
    };
    let readers: Vec<JoinHandle<Told>> = readers.into_iter().map(reading).collect();
    let heart = server.beats(measure.beat);

    let mut state =
        u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() % 1_000_000).unwrap();
    eprintln!("the kills begin with {state}");
    for _ in 0..measure.kills {
        course.goes_on(measure.calls).await;
        let node = &mut fleet.nodes[draw(&mut state)];
        node.kill().await;
        course.goes_on(measure.calls).await;
        node.again();
        node.is_ready().await;
    }
    course.goes_on(measure.calls).await;
    heart.abort();
    course.is_over();
    // by which they see that it is
    server.happens();

    let calls = [all(callers).await, all(reporters).await].concat();
    let told = all(readers).await;
    ran_as_answered(&server.runs(), &calls);
    told.iter().for_each(Told::was_whole);
    let breaks: Vec<Duration> = told.iter().flat_map(|told| told.breaks.iter().copied()).collect();
    let longest = breaks.iter().max().copied().unwrap_or_default();
    let [answered, uncertain] =
        calls.iter().fold([0, 0], |sum, calls| [sum[0] + calls.answered.len(), sum[1] + calls.uncertain.len()]);
    eprintln!(
        "{} kills: {answered} calls answered, {uncertain} may have run; {} streams broke, longest for {longest:?}; {} events each",
        measure.kills,
        breaks.len(),
        server.happened()
    );
    assert!(!breaks.is_empty(), "no stream broke: nothing was shown");
    assert!(longest < BACK, "{longest:?}");
}
