//! Sessions in Redis: a string for each, whose life is the session's. All that concerns a session is one key, with a hash
//! tag around the id.
//!
//! Reading and writing go over one line (see [`line`]) on which Redis also tells of every change of such a key by somebody
//! else, whoever that is and whatever by: another node, a person, expiry. Broadcast by prefix rather than for the keys a
//! node has read: Redis then remembers nothing for each key, and no change falls between reading and asking to be told.

mod line;
mod names;
mod place;

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use redis::{Value, cmd, pipe};
use sluice_snapshot::model;

use super::record::{REVISION, Sealed};
use super::store::{Doubted, Down, Look, Replaced};
use super::{SessionId, memory::Memory, tie::Tie};
use line::Line;

/// Puts a value in the place of one that begins with this revision. The life of the key stays as it is.
const REPLACE: &str = "local was = redis.call('GET', KEYS[1]) \
    if not was then return false end \
    if string.sub(was, 1, 8) ~= ARGV[1] then return was end \
    redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL') \
    return 1";

/// A Redis that keeps sessions.
pub(crate) struct Redis {
    line: Arc<Line>,
    prefix: String,
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
        let line = Arc::new(Line::new(settings, near, doubted)?);
        runtime.spawn(Arc::clone(&line).keep());
        Ok(Self { line, prefix: settings.prefix.clone() })
    }

    /// The name of a session's key.
    pub(super) fn name(&self, id: &SessionId) -> Vec<u8> {
        name(&self.prefix, id)
    }

    pub(super) async fn create(&self, id: &SessionId, value: Vec<u8>, life: Duration) -> Result<bool, Down> {
        let mut set = cmd("SET");
        set.arg(self.name(id)).arg(value).arg("NX").arg("PX").arg(milliseconds(life));
        self.line.write(&set).await.map(|answer| answer == Value::Okay)
    }

    pub(super) async fn read(&self, id: &SessionId) -> Result<Option<Vec<u8>>, Down> {
        self.line.read(cmd("GET").arg(self.name(id))).await.map(bytes)
    }

    /// What is kept of each.
    pub(super) async fn read_all(&self, ids: &[SessionId]) -> Result<Vec<Option<Vec<u8>>>, Down> {
        let mut questions = pipe();
        for id in ids {
            questions.cmd("GET").arg(self.name(id));
        }
        self.line.ask_all(&questions, ids.len()).await.map(|answers| answers.into_iter().map(bytes).collect())
    }

    /// The next ids in their order, and whether there are no others after them.
    pub(super) async fn ids(&self, after: Option<SessionId>, most: usize) -> Result<(Vec<SessionId>, bool), Down> {
        names::after(&self.line, &self.prefix, after, most).await
    }

    pub(super) async fn replace(&self, id: &SessionId, from: u64, value: Vec<u8>) -> Result<Replaced, Down> {
        let mut script = cmd("EVAL");
        script.arg(REPLACE).arg(1).arg(self.name(id)).arg(&from.to_be_bytes()).arg(value);
        Ok(match self.line.write(&script).await? {
            Value::Int(_) => Replaced::Done,
            Value::BulkString(other) => Sealed::of(other).map_or(Replaced::Gone, Replaced::Other),
            _ => Replaced::Gone,
        })
    }

    pub(super) async fn remove(&self, id: &SessionId) -> Result<Option<Vec<u8>>, Down> {
        self.line.write(cmd("GETDEL").arg(self.name(id))).await.map(bytes)
    }

    pub(super) async fn touch(&self, lives: &[(SessionId, Duration)]) -> Result<(), Down> {
        let mut touches = pipe();
        for (id, life) in lives {
            touches.cmd("PEXPIRE").arg(self.name(id)).arg(milliseconds(*life)).arg("GT");
        }
        self.line.ask_all(&touches, lives.len()).await.map(drop)
    }

    pub(super) async fn revisions(&self, ids: &[SessionId]) -> Result<Vec<Option<u64>>, Down> {
        let mut questions = pipe();
        for id in ids {
            questions.cmd("GETRANGE").arg(self.name(id)).arg(0).arg(REVISION - 1);
        }
        let revision = |answer: Value| Some(u64::from_be_bytes(bytes(answer)?.try_into().ok()?));
        self.line.ask_all(&questions, ids.len()).await.map(|answers| answers.into_iter().map(revision).collect())
    }

    pub(super) async fn left(&self, ids: &[SessionId]) -> Result<Vec<Option<Duration>>, Down> {
        let mut questions = pipe();
        for id in ids {
            questions.cmd("PTTL").arg(self.name(id));
        }
        let left = |answer: Value| match answer {
            // -2: there is no such key
            Value::Int(-2) => None,
            Value::Int(ms) => Some(u64::try_from(ms).map_or(Duration::MAX, Duration::from_millis)),
            _ => None,
        };
        self.line.ask_all(&questions, ids.len()).await.map(|answers| answers.into_iter().map(left).collect())
    }

    pub(super) fn look(&self, id: &SessionId) -> Look {
        self.line.look(id)
    }

    /// Rises with each new line.
    pub(super) fn generation(&self) -> u64 {
        self.line.generation()
    }

    /// Whether Redis answered within this time before `now`: had a record changed until then, this node would know.
    pub(super) fn is_heard(&self, now: Instant, within: Duration) -> bool {
        self.line.is_heard(now, within)
    }

    /// Whether a copy may be used although Redis does not answer: it was good this long ago at most.
    pub(super) fn holds_over(&self, tie: &Tie, within: Duration) -> bool {
        self.line.holds_over(tie, within)
    }

    pub(super) fn is_up(&self) -> bool {
        self.line.is_up()
    }

    /// Waits until Redis answers.
    pub(super) async fn reached(&self) {
        self.line.reached().await;
    }

    pub(super) fn trouble(&self) -> Option<String> {
        self.line.trouble()
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
