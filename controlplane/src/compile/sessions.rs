//! Where sessions are kept.

use sluice_contract::v1;
use sluice_snapshot::model::Redis;
use v1::sessions::Store;

use super::{Notes, sensitive};
use crate::language::{Fault, Path, SessionStore, Sessions};

pub(super) fn compile(said: Option<&Sessions>, notes: &mut Notes) -> Option<v1::Sessions> {
    let path = Path::of(["proxy", "sessions"]);
    notes.origins.value("sessions.redis.url", path.key("url"));
    notes.origins.value("sessions.redis.prefix", path.key("prefix"));
    let said = said?;
    let of_redis = [("url", said.url.is_some()), ("prefix", said.prefix.is_some())];
    for (key, _) in of_redis.iter().filter(|(_, is_said)| *is_said && said.store != SessionStore::Redis) {
        notes.faults.push(Fault::key(path.key(key), "is of `store: redis` only"));
    }
    let store = match said.store {
        SessionStore::Memory => return None,
        SessionStore::Sqlite => Store::Sqlite(v1::SqliteSessions {}),
        SessionStore::Redis => {
            if said.url.is_none() {
                let fault = Fault::key(path.key("store"), "needs `url` beside it");
                notes.faults.push(fault.advise("`url: ${REDIS_URL}` takes it from the environment, with its password"));
            }
            Store::Redis(v1::RedisSessions {
                url: said.url.as_ref().map(|url| sensitive::said(url.expose())),
                prefix: said.prefix.clone().unwrap_or_else(|| Redis::PREFIX.to_owned()),
            })
        }
    };
    Some(v1::Sessions { store: Some(store) })
}
