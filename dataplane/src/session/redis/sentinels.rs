//! The sentinels of a Redis. They say which one takes writes, and agree on another when it is gone, or when they are told to: the one
//! from before may go on taking writes for a while, all of which are lost.

use std::collections::HashMap;

use futures_util::future::join_all;
use redis::aio::{ConnectionLike as _, MultiplexedConnection};
use redis::{Client, ConnectionInfo, ErrorKind, RedisError, RedisResult, Value, from_redis_value, pipe};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::slots::Address;
use crate::limit;

pub(super) struct Sentinels {
    all: Vec<Sentinel>,
    /// What they call the Redis.
    pub master: String,
}

/// One of them. It is asked without user and password.
struct Sentinel {
    info: ConnectionInfo,
    connection: Mutex<Option<MultiplexedConnection>>,
}

/// A Redis that sentinels name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    pub address: Address,
    /// Rises with what they agree on.
    epoch: u64,
}

impl Sentinels {
    pub(super) fn new(all: Vec<ConnectionInfo>, master: String) -> Self {
        let all = all.into_iter().map(|info| Sentinel { info, connection: Mutex::default() }).collect();
        Self { all, master }
    }

    #[cfg(test)]
    pub(super) fn infos(&self) -> impl Iterator<Item = &ConnectionInfo> {
        self.all.iter().map(|sentinel| &sentinel.info)
    }

    /// The Redis that takes writes.
    pub(super) async fn find(&self) -> RedisResult<Named> {
        let (mut said, mut trouble) = (Vec::new(), RedisError::from((ErrorKind::Io, "no sentinel answers")));
        for answer in self.ask().await {
            match answer {
                Ok(named) => said.push(named),
                Err(error) => trouble = error,
            }
        }
        newest(said, None).ok_or(trouble)
    }

    /// Whether they name another than this one by now. Who knows less than was known when it was found is not heard; and while
    /// none answers, nobody knows better.
    pub(super) async fn name_another_than(&self, this: &Named) -> bool {
        let said = self.ask().await.into_iter().flatten().filter(|named| named.epoch >= this.epoch).collect();
        newest(said, Some(&this.address)).is_some_and(|named| named.address != this.address)
    }

    /// What each says that answers, or why it does not.
    async fn ask(&self) -> Vec<RedisResult<Named>> {
        let asking = self.all.iter().map(|sentinel| timeout(limit::SENTINEL, sentinel.ask(&self.master)));
        join_all(asking).await.into_iter().flatten().collect()
    }
}

impl Sentinel {
    async fn ask(&self, master: &str) -> RedisResult<Named> {
        // it is put back when it has answered: one that was not waited for is not asked again
        let mut kept = self.connection.lock().await;
        let answered = match kept.take() {
            Some(mut connection) => said(&mut connection, master).await.ok().map(|named| (connection, named)),
            None => None,
        };
        let (connection, named) = match answered {
            Some(answered) => answered,
            None => {
                let mut connection = Client::open(self.info.clone())?.get_multiplexed_async_connection().await?;
                let named = said(&mut connection, master).await?;
                (connection, named)
            }
        };
        *kept = Some(connection);
        Ok(named)
    }
}

/// What a sentinel says. Its epoch comes first: it is not to be of a later agreement than the address.
async fn said(connection: &mut MultiplexedConnection, master: &str) -> RedisResult<Named> {
    let mut questions = pipe();
    questions.cmd("SENTINEL").arg("MASTER").arg(master);
    questions.cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(master);
    let mut answers = connection.req_packed_commands(&questions, 0, 2).await?.into_iter();
    let mut next = || answers.next().unwrap_or(Value::Nil);
    // who may not ask for it hears nothing of the agreement
    let about: HashMap<String, String> = from_redis_value(next()).unwrap_or_default();
    let epoch = about.get("config-epoch").and_then(|epoch| epoch.parse().ok()).unwrap_or(0);
    let address: Option<Address> = from_redis_value(next())?;
    let address =
        address.ok_or_else(|| RedisError::from((ErrorKind::Client, "the sentinels know no Redis of that name")))?;
    Ok(Named { address, epoch })
}

/// Of what sentinels say, what counts: what they agreed on last. Who is cut off from the others goes on naming the one from before.
/// Where they call it by several names, that is `now`, or what most say.
fn newest(mut said: Vec<Named>, now: Option<&Address>) -> Option<Named> {
    let epoch = said.iter().map(|named| named.epoch).max()?;
    said.retain(|named| named.epoch == epoch);
    let votes = |named: &Named| said.iter().filter(|other| *other == named).count();
    let best = said.iter().max_by_key(|named| (Some(&named.address) == now, votes(named)))?;
    Some(best.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(said: &[(u16, u64)]) -> Vec<Named> {
        said.iter().map(|(port, epoch)| Named { address: ("redis".to_owned(), *port), epoch: *epoch }).collect()
    }

    fn newest_port(said: &[(u16, u64)], now: Option<u16>) -> Option<u16> {
        let now = now.map(|port| ("redis".to_owned(), port));
        newest(named(said), now.as_ref()).map(|named| named.address.1)
    }

    #[test]
    fn the_newest_agreement_of_sentinels_counts() {
        assert_eq!(newest_port(&[], Some(1)), None);
        assert_eq!(newest_port(&[(1, 3), (1, 3), (2, 4)], Some(1)), Some(2), "two have not heard of it yet");
        assert_eq!(newest_port(&[(1, 3), (2, 3), (2, 3)], None), Some(2), "most");
        assert_eq!(newest_port(&[(1, 3), (2, 3), (2, 3)], Some(1)), Some(1), "two names of one");
        assert_eq!(newest_port(&[(1, 0)], Some(2)), Some(1));
    }
}
