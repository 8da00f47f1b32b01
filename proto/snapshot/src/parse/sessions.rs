//! Where sessions are kept.

use sluice_contract::v1;
use v1::sessions::Store;

use super::Faults;
use crate::model::{Redis, Secret, Sessions};

/// Characters of what keys begin with: each session's key has them.
const MAX_PREFIX: usize = 64;

pub(super) fn parse(wire: Option<&v1::Sessions>, faults: &mut Faults) -> Option<Sessions> {
    let Some(wire) = wire else { return Some(Sessions::Memory) };
    match &wire.store {
        Some(Store::Sqlite(_)) => Some(Sessions::Sqlite),
        Some(Store::Redis(redis)) => self::redis(redis, faults).map(Sessions::Redis),
        None => faults.note("sessions", "is kept in a way that this version does not know"),
    }
}

fn redis(wire: &v1::RedisSessions, faults: &mut Faults) -> Option<Redis> {
    const URL: &str = "sessions.redis.url";
    let url = match wire.url.as_ref().and_then(|url| url.source.as_ref()) {
        Some(v1::sensitive::Source::Value(url)) => self::url(url, faults),
        Some(_) => faults.note(URL, "is a value itself here, and nothing else"),
        None => faults.note(URL, "is missing"),
    };
    let usable = |b: u8| b.is_ascii_alphanumeric() || b":._-".contains(&b);
    let fits = !wire.prefix.is_empty() && wire.prefix.len() <= MAX_PREFIX && wire.prefix.bytes().all(usable);
    if !fits {
        let what = format!("has letters, digits and `:._-`, at least one and at most {MAX_PREFIX}");
        faults.note::<()>("sessions.redis.prefix", what);
    }
    Some(Redis { url: url.filter(|_| fits)?, prefix: wire.prefix.clone() })
}

/// The address is not quoted in a fault: it may hold a password.
fn url(url: &str, faults: &mut Faults) -> Option<Secret> {
    let kinds = ["", "+sentinel", "+cluster"];
    let scheme = url.strip_prefix("rediss").or_else(|| url.strip_prefix("redis"));
    let rest = kinds.iter().find_map(|kind| scheme?.strip_prefix(kind)?.strip_prefix("://"));
    let plain = url.bytes().all(|b| b.is_ascii_graphic());
    match rest.filter(|rest| plain && !rest.split('/').next().unwrap_or_default().is_empty()) {
        Some(_) => Some(Secret::new(url)),
        None => faults.note("sessions.redis.url", "is `redis://HOST`, `rediss://HOST` for TLS, `redis+sentinel://HOST,HOST/NAME`, or `redis+cluster://HOST,HOST`, with `USER:PASSWORD@` before the host where Redis asks for it"),
    }
}
