//! The contract, against every store that outlives a process.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use bytes::Bytes;
use sluice_snapshot::model;

use super::*;
use crate::auth::PrincipalId;
use crate::session::definition::Definitions;
use crate::session::{Declared, State};

const LIFE: Duration = Duration::from_secs(60);

/// A Redis of the test's own, a cluster of three, and a file.
struct Site {
    redis: Vec<Child>,
    ports: Vec<u16>,
    folder: std::path::PathBuf,
}

/// The first one is alone.
const CLUSTER: std::ops::RangeInclusive<usize> = 1..=3;

impl Site {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("sluice-store-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let free = || TcpListener::bind("127.0.0.1:0").unwrap();
        // of all at once: none is given out twice
        let listeners: Vec<_> = (0..=2 * CLUSTER.end()).map(|_| free()).collect();
        let ports: Vec<_> = listeners.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
        drop(listeners);
        let mut site = Self { redis: Vec::new(), ports, folder };
        for at in 0..=*CLUSTER.end() {
            let folder = site.folder.join(at.to_string());
            std::fs::create_dir_all(&folder).unwrap();
            let mut command = Command::new("redis-server");
            command
                .args(["--port", &site.ports[at].to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"])
                .arg(&folder);
            if CLUSTER.contains(&at) {
                let bus = site.ports[at + CLUSTER.end()].to_string();
                command.args(["--cluster-enabled", "yes", "--cluster-port", &bus]);
            }
            let redis = command.stdout(Stdio::null()).spawn().expect("redis-server is installed (tests/run setup)");
            site.redis.push(redis);
        }
        site.join();
        site
    }

    /// Makes a cluster of those that are to be one.
    fn join(&self) {
        let address = |at: usize| format!("127.0.0.1:{}", self.ports[at]);
        let all = || CLUSTER.map(address);
        let deadline = Instant::now() + Duration::from_secs(20);
        while all().any(|address| std::net::TcpStream::connect(address).is_err()) {
            assert!(Instant::now() < deadline, "Redis does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        let mut create = Command::new("redis-cli");
        create.args(["--cluster", "create"]).args(all()).arg("--cluster-yes").stdout(Stdio::null());
        assert!(create.status().expect("redis-cli is installed (tests/run setup)").success());
    }

    async fn stores(&self) -> [Store; 3] {
        let file = Store::sqlite(Sqlite::open(&self.folder.join("sessions.db"), false).unwrap());
        let cluster = format!("redis+cluster://127.0.0.1:{}", self.ports[*CLUSTER.start()]);
        [redis(&format!("redis://127.0.0.1:{}", self.ports[0])).await, redis(&cluster).await, file]
    }
}

async fn redis(url: &str) -> Store {
    let (at, runtime) = (model::Redis::at(url), tokio::runtime::Handle::current());
    let store = Store::redis(|near, doubted| Redis::open(&at, near, doubted, &runtime)).unwrap();
    let up = async {
        while store.trouble().is_some() {
            tokio::time::sleep(Duration::from_millis(10)).await
        }
    };
    tokio::time::timeout(Duration::from_secs(20), up).await.expect("Redis comes up");
    store
}

impl Drop for Site {
    fn drop(&mut self) {
        for redis in &mut self.redis {
            let _ = redis.kill();
            let _ = redis.wait();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn record(upstream: &'static str) -> Record {
    let state = State { upstream: Some(Bytes::from_static(upstream.as_bytes())), ..State::default() };
    Record {
        owner: PrincipalId([1; 16]),
        principal: PrincipalId([1; 16]),
        subject: "client:alice".into(),
        server: Some(("one".into(), Definitions::numbered(vec![3]))),
        declared: Declared::default(),
        created: 1,
        initialize: Bytes::from_static(b"{}"),
        state,
        log_level: None,
        parts: Vec::new(),
        stream: None,
    }
}

#[tokio::test]
async fn what_was_acknowledged_is_found_until_it_is_removed_and_written_over_only_by_who_knows_it() {
    let site = Site::new("contract");
    let seal = Seal::new(&[7; 32]);
    for store in site.stores().await {
        let (shared, id) = (store.shared().unwrap(), SessionId::random());
        let word = shared.word();
        assert!(shared.read(&seal, &id).await.unwrap().is_none(), "{word}");
        shared.create(&seal, &id, &record("a"), LIFE).await.unwrap();
        assert_eq!(shared.create(&seal, &id, &record("b"), LIFE).await, Err(Down), "{word}: it is there");
        assert_eq!(shared.read(&seal, &id).await.unwrap(), Some((record("a"), 1)), "{word}");
        let replaced = shared.replace(&seal, &id, 1, &record("c"), 2).await.unwrap();
        assert!(matches!(replaced, Replaced::Done), "{word}");
        match shared.replace(&seal, &id, 1, &record("d"), 2).await.unwrap() {
            Replaced::Other(won) => assert_eq!(shared.open(&seal, &id, won), Some((record("c"), 2)), "{word}"),
            _ => panic!("{word}: written over what it did not know"),
        }
        let left = shared.left(vec![id, SessionId::random()]).await.unwrap();
        assert!(left[0].is_some_and(|left| left <= LIFE && left > LIFE / 2) && left[1].is_none(), "{word}: {left:?}");
        for life in [2 * LIFE, LIFE] {
            shared.touch(vec![(id, life), (SessionId::random(), life)]).await.unwrap();
            assert!(
                shared.left(vec![id]).await.unwrap()[0].is_some_and(|left| left > LIFE),
                "{word}: its life goes on"
            );
        }
        assert_eq!(shared.revisions(vec![id, SessionId::random()]).await.unwrap(), [Some(2), None], "{word}");
        let removed = shared.remove(&id).await.unwrap().expect("it was there");
        assert_eq!(shared.open(&seal, &id, removed), Some((record("c"), 2)), "{word}");
        assert!(shared.remove(&id).await.unwrap().is_none(), "{word}: by one caller");
        assert!(matches!(shared.replace(&seal, &id, 2, &record("e"), 3).await.unwrap(), Replaced::Gone), "{word}");
    }
}

#[tokio::test]
async fn sessions_are_named_in_their_order_some_at_a_time() {
    let site = Site::new("names");
    let seal = Seal::new(&[7; 32]);
    for store in site.stores().await {
        let shared = store.shared().unwrap();
        let word = shared.word();
        let mut all: Vec<_> = (0..25).map(|_| SessionId::random()).collect();
        for id in &all {
            shared.create(&seal, id, &record("a"), LIFE).await.unwrap();
        }
        all.sort_unstable_by_key(|id| id.0);
        let (mut named, mut after) = (Vec::new(), None);
        loop {
            let (ids, are_all) = shared.ids(after, 10).await.unwrap();
            assert!(ids.len() <= 10, "{word}");
            after = ids.last().copied();
            named.extend(ids);
            if are_all {
                break;
            }
        }
        assert_eq!(named, all, "{word}");
        let asked = vec![all[3], SessionId::random(), all[0]];
        let records = shared.read_all(&seal, asked).await.unwrap();
        assert_eq!(records, [Some(record("a")), None, Some(record("a"))], "{word}");
    }
}

#[tokio::test]
async fn a_life_that_is_over_is_over() {
    let site = Site::new("life");
    let seal = Seal::new(&[7; 32]);
    for store in site.stores().await {
        let (shared, id) = (store.shared().unwrap(), SessionId::random());
        shared.create(&seal, &id, &record("a"), Duration::from_millis(50)).await.unwrap();
        let over = async {
            while shared.read(&seal, &id).await.unwrap().is_some() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), over).await.expect("it ends");
        let word = shared.word();
        for id in shared.over().await.unwrap() {
            assert!(shared.remove(&id).await.unwrap().is_some(), "{word}: what it does not forget by itself, it gives");
        }
        assert!(shared.over().await.unwrap().is_empty(), "{word}");
    }
}

#[tokio::test]
async fn of_many_who_change_a_record_at_once_each_change_counts() {
    let site = Site::new("races");
    let seal = Arc::new(Seal::new(&[7; 32]));
    for store in site.stores().await {
        let (store, id) = (Arc::new(store), SessionId::random());
        store.shared().unwrap().create(&seal, &id, &record("a"), LIFE).await.unwrap();
        let changes = (0..8).map(|_| {
            let (store, seal) = (Arc::clone(&store), Arc::clone(&seal));
            tokio::spawn(async move {
                let shared = store.shared().unwrap();
                for _ in 0..20 {
                    loop {
                        let (mut record, revision) = shared.read(&seal, &id).await.unwrap().unwrap();
                        record.state.epoch += 1;
                        let next = shared.replace(&seal, &id, revision, &record, revision + 1).await.unwrap();
                        if matches!(next, Replaced::Done) {
                            break;
                        }
                    }
                }
            })
        });
        futures_util::future::join_all(changes).await.into_iter().for_each(|done| done.unwrap());
        let (record, revision) = store.shared().unwrap().read(&seal, &id).await.unwrap().unwrap();
        assert_eq!((record.state.epoch, revision), (160, 161), "{}", store.shared().unwrap().word());
    }
}
