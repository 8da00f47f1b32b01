//! Sessions in Redis: a string for each, whose life is the session's. All that concerns a session is one key, with a hash
//! tag around the id.
//!
//! Reading and writing go over one line (see [`line`]) on which Redis also tells of every change of such a key by somebody
//! else, whoever that is and whatever by: another node, a person, expiry; and of this node's own by a script, which to Redis are
//! nobody's. Broadcast by prefix rather than for the keys a node has read: Redis then remembers nothing for each key, and no change
//! falls between reading and asking to be told. That a key was changed is all it says: a copy is not used until its
//! revision was held against the store's, which is done at once. Where Redis is a cluster, there is such a line to each of its
//! masters (see [`cluster`]).

mod cluster;
mod copies;
mod line;
mod names;
mod place;
mod sentinels;
mod slots;
mod trouble;

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use redis::{Cmd, Pipeline, Value, cmd};
use sluice_snapshot::model;

use super::record::{REVISION, Sealed};
use super::store::{Doubted, Down, Look, Replaced};
use super::{SessionId, memory::Memory, tie::Tie};
use crate::limit;
use cluster::Cluster;
use copies::Copies;
use line::Line;
use place::Site;

/// Puts a value in the place of one that begins with this revision. The life of the key stays as it is.
const REPLACE: &str = "local was = redis.call('GET', KEYS[1]) \
    if not was then return false end \
    if string.sub(was, 1, 8) ~= ARGV[1] then return was end \
    redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL') \
    return 1";

/// A Redis that keeps sessions.
pub(crate) struct Redis {
    lines: Lines,
    copies: Arc<Copies>,
}

/// The ways to it.
enum Lines {
    One(Arc<Line>),
    Many(Arc<Cluster>),
}

impl Redis {
    /// Begins to connect, and to see to it that it stays so.
    ///
    /// # Errors
    /// What is wrong with the address, which is not quoted: it may hold a password.
    pub(crate) fn open(
        settings: &model::Redis,
        near: Arc<Memory>,
        doubted: Arc<Doubted>,
        runtime: &tokio::runtime::Handle,
    ) -> Result<Self, String> {
        let copies = Arc::new(Copies::new(&settings.prefix, near, doubted));
        let lines = match Site::of(settings.url.expose())? {
            Site::Single(place) => {
                let line = Arc::new(Line::new(*place, Arc::clone(&copies)));
                runtime.spawn(Arc::clone(&line).keep());
                Lines::One(line)
            }
            Site::Cluster(seeds) => {
                let cluster = Arc::new(Cluster::new(seeds, Arc::clone(&copies)));
                runtime.spawn(Arc::clone(&cluster).keep());
                Lines::Many(cluster)
            }
        };
        Ok(Self { lines, copies })
    }

    /// The name of a session's key.
    pub(super) fn name(&self, id: &SessionId) -> Vec<u8> {
        name(&self.copies.prefix, id)
    }

    pub(super) async fn create(&self, id: &SessionId, value: Vec<u8>, life: Duration) -> Result<bool, Down> {
        let mut set = cmd("SET");
        set.arg(self.name(id)).arg(value).arg("NX").arg("PX").arg(milliseconds(life));
        self.write(id, &set).await.map(|answer| answer == Value::Okay)
    }

    pub(super) async fn read(&self, id: &SessionId) -> Result<Option<Vec<u8>>, Down> {
        self.look_up(id, cmd("GET").arg(self.name(id))).await.map(bytes)
    }

    /// What is kept of each.
    pub(super) async fn read_all(&self, ids: &[SessionId]) -> Result<Vec<Option<Vec<u8>>>, Down> {
        let question = |id: &SessionId| {
            let mut question = cmd("GET");
            question.arg(self.name(id));
            (*id, question)
        };
        let answers = self.answers(ids.iter().map(question).collect()).await?;
        Ok(answers.into_iter().map(bytes).collect())
    }

    /// The next ids in their order, and whether there are no others after them.
    pub(super) async fn ids(&self, after: Option<SessionId>, most: usize) -> Result<(Vec<SessionId>, bool), Down> {
        let lines = match &self.lines {
            Lines::One(line) => vec![Arc::clone(line)],
            Lines::Many(cluster) => cluster.lines()?,
        };
        names::after(&lines, &self.copies.prefix, after, most).await
    }

    pub(super) async fn replace(&self, id: &SessionId, from: u64, value: Vec<u8>) -> Result<Replaced, Down> {
        let mut script = cmd("EVAL");
        script.arg(REPLACE).arg(1).arg(self.name(id)).arg(&from.to_be_bytes()).arg(value);
        self.copies.change(id);
        Ok(match self.write(id, &script).await? {
            Value::Int(_) => Replaced::Done,
            Value::BulkString(other) => Sealed::of(other).map_or(Replaced::Gone, Replaced::Other),
            _ => Replaced::Gone,
        })
    }

    pub(super) async fn remove(&self, id: &SessionId) -> Result<Option<Vec<u8>>, Down> {
        self.write(id, cmd("GETDEL").arg(self.name(id))).await.map(bytes)
    }

    pub(super) async fn spill(&self, id: &SessionId, stream: u64, events: Vec<u8>, life: Duration) -> Result<(), Down> {
        let mut set = cmd("SET");
        set.arg(self.name_beside(id, stream)).arg(events).arg("PX").arg(milliseconds(life));
        self.write(id, &set).await.map(drop)
    }

    pub(super) async fn spilled(&self, id: &SessionId, stream: u64) -> Result<Option<Vec<u8>>, Down> {
        self.look_up(id, cmd("GET").arg(self.name_beside(id, stream))).await.map(bytes)
    }

    /// The name of what is kept of a stream, in the same slot as its session, and no session's.
    fn name_beside(&self, id: &SessionId, stream: u64) -> Vec<u8> {
        [&self.name(id)[..], format!(":{stream:016x}").as_bytes()].concat()
    }

    /// Of what changes a key in one turn of its loop, Redis tells the last only: a longer life that we gave it would hide what somebody
    /// else did just before. So the revision is asked for behind it.
    pub(super) async fn touch(&self, lives: &[(SessionId, Duration)]) -> Result<(), Down> {
        if !self.is_up() {
            return Err(Down);
        }
        let touch = |(id, life): &(SessionId, Duration)| {
            let mut touch = cmd("PEXPIRE");
            touch.arg(self.name(id)).arg(milliseconds(*life)).arg("GT");
            [(*id, touch), self.revision_of(id)]
        };
        lives.iter().for_each(|(id, _)| self.copies.change(id));
        let Ok(answers) = self.answered(lives.iter().flat_map(touch).collect()).await else {
            // done or not: what it hid, nobody tells
            self.begin_again();
            return Err(Down);
        };
        // what Redis refused changed nothing, and so hid nothing
        let is_done = answers.iter().all(Option::is_some);
        for ((id, _), revision) in lives.iter().zip(answers.into_iter().skip(1).step_by(2)) {
            if let Some(revision) = revision {
                self.copies.found(id, revision_in(revision));
            }
        }
        if is_done { Ok(()) } else { Err(Down) }
    }

    pub(super) async fn revisions(&self, ids: &[SessionId]) -> Result<Vec<Option<u64>>, Down> {
        let answers = self.answers(ids.iter().map(|id| self.revision_of(id)).collect()).await?;
        Ok(answers.into_iter().map(revision_in).collect())
    }

    /// Asks for the revision of a session.
    fn revision_of(&self, id: &SessionId) -> (SessionId, Cmd) {
        let mut question = cmd("GETRANGE");
        question.arg(self.name(id)).arg(0).arg(REVISION - 1);
        (*id, question)
    }

    /// A copy may be another one than what is kept.
    pub(super) fn doubt(&self, tie: &Tie) {
        self.copies.doubt(tie);
    }

    /// Any copy may have been changed without a word.
    fn begin_again(&self) {
        match &self.lines {
            Lines::One(line) => line.begin_again(),
            Lines::Many(cluster) => cluster.begin_again(),
        }
        self.copies.doubt_all();
    }

    pub(super) async fn left(&self, ids: &[SessionId]) -> Result<Vec<Option<Duration>>, Down> {
        let question = |id: &SessionId| {
            let mut question = cmd("PTTL");
            question.arg(self.name(id));
            (*id, question)
        };
        let left = |answer: Value| match answer {
            // -2: there is no such key
            Value::Int(-2) => None,
            Value::Int(ms) => Some(u64::try_from(ms).map_or(Duration::MAX, Duration::from_millis)),
            _ => None,
        };
        let answers = self.answers(ids.iter().map(question).collect()).await?;
        Ok(answers.into_iter().map(left).collect())
    }

    async fn look_up(&self, id: &SessionId, command: &Cmd) -> Result<Value, Down> {
        match &self.lines {
            Lines::One(line) => line.ask(command).await?.map_err(|_| Down),
            Lines::Many(cluster) => cluster.read(id, command).await,
        }
    }

    async fn write(&self, id: &SessionId, command: &Cmd) -> Result<Value, Down> {
        match &self.lines {
            Lines::One(line) => {
                let answer = line.ask(command).await?;
                line.note(answer.as_ref().err());
                answer.map_err(|_| Down)
            }
            Lines::Many(cluster) => cluster.write(id, command).await,
        }
    }

    /// A command for each of many sessions, and each one's answer.
    async fn answers(&self, asked: Vec<(SessionId, Cmd)>) -> Result<Vec<Value>, Down> {
        self.answered(asked).await?.into_iter().map(|answer| answer.ok_or(Down)).collect()
    }

    /// The same; `None` for what Redis refused.
    async fn answered(&self, asked: Vec<(SessionId, Cmd)>) -> Result<Vec<Option<Value>>, Down> {
        match &self.lines {
            Lines::One(line) => {
                let count = asked.len();
                let mut commands = Pipeline::with_capacity(count);
                for (_, command) in asked {
                    commands.add_command(command);
                }
                Ok(line.ask_all(&commands, count).await?.into_iter().map(Result::ok).collect())
            }
            Lines::Many(cluster) => cluster.ask_all(&asked).await,
        }
    }

    pub(super) fn look(&self, id: &SessionId) -> Look {
        match &self.lines {
            Lines::One(line) => line.look(id),
            Lines::Many(cluster) => cluster.look(id),
        }
    }

    /// Whether a copy is good at `now`: had the record changed more than a moment before, this node would know.
    pub(super) fn vouches_for(&self, tie: &Tie, now: Instant) -> bool {
        match &self.lines {
            Lines::One(line) => line.vouches_for(tie, now),
            Lines::Many(cluster) => cluster.vouches_for(tie, now),
        }
    }

    /// Whether a copy may be used although Redis does not answer: nobody is known to have changed it, and it is not long.
    pub(super) fn holds_over(&self, tie: &Tie) -> bool {
        let now = Instant::now();
        let by_line = match &self.lines {
            Lines::One(line) => line.holds_over(tie, now),
            Lines::Many(cluster) => cluster.holds_over(tie, now),
        };
        by_line || self.copies.held_over(tie, now, limit::COPY_HELD_OVER)
    }

    pub(super) fn is_up(&self) -> bool {
        match &self.lines {
            Lines::One(line) => line.is_up(),
            Lines::Many(cluster) => cluster.is_up(),
        }
    }

    /// Waits until Redis answers.
    pub(super) async fn reached(&self) {
        match &self.lines {
            Lines::One(line) => line.reached().await,
            Lines::Many(cluster) => cluster.reached().await,
        }
    }

    pub(super) fn trouble(&self) -> Option<String> {
        match &self.lines {
            Lines::One(line) => line.trouble(),
            Lines::Many(cluster) => cluster.trouble(),
        }
    }
}

fn name(prefix: &str, id: &SessionId) -> Vec<u8> {
    let mut name = String::with_capacity(prefix.len() + 24);
    name.push_str(prefix);
    name.push('{');
    URL_SAFE_NO_PAD.encode_string(id.0, &mut name);
    name.push('}');
    name.into_bytes()
}

/// The session that a key is of.
fn id_of(prefix: &str, name: &[u8]) -> Option<SessionId> {
    let id = name.strip_prefix(prefix.as_bytes())?.strip_prefix(b"{")?.strip_suffix(b"}")?;
    let mut bytes = [0; 16];
    let length = URL_SAFE_NO_PAD.decode_slice(id, &mut bytes).ok()?;
    (length == bytes.len()).then_some(SessionId(bytes))
}

/// The revision in an answer to [`Redis::revision_of`]; `None`: there is no such session.
fn revision_in(answer: Value) -> Option<u64> {
    Some(u64::from_be_bytes(bytes(answer)?.try_into().ok()?))
}

fn milliseconds(life: Duration) -> u64 {
    u64::try_from(life.as_millis()).unwrap_or(u64::MAX).max(1)
}

fn bytes(answer: Value) -> Option<Vec<u8>> {
    match answer {
        Value::BulkString(bytes) => Some(bytes),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_names_its_session_and_nothing_else_does() {
        let id = SessionId([7; 16]);
        let name = name("sluice:", &id);
        assert_eq!(id_of("sluice:", &name), Some(id));
        for other in
            [&b"sluice:"[..], b"sluice:{}", b"other:{BwcHBwcHBwcHBwcHBwcHBw}", b"sluice:{BwcHBwcHBwcHBwcHBwcHBwcH}"]
        {
            assert_eq!(id_of("sluice:", other), None);
        }
    }
}
