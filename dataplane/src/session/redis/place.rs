//! Where Redis is: at one address, or wherever its sentinels say that the one is that takes writes.

use std::sync::atomic::{AtomicUsize, Ordering};

use redis::{
    Client, ConnectionInfo, ErrorKind, IntoConnectionInfo as _, ProtocolVersion, RedisError, RedisResult, cmd,
};
use tokio::time::timeout;

use crate::limit;

/// Of sentinels that are named without their port.
const SENTINEL_PORT: u16 = 26379;

/// An address, as it is configured.
pub(super) struct Place {
    /// How a Redis is spoken to; its address, unless there are sentinels.
    info: ConnectionInfo,
    /// They are asked without user and password.
    sentinels: Vec<ConnectionInfo>,
    /// What they call it.
    master: String,
    /// Who is asked next: one that hangs is not the first again.
    turn: AtomicUsize,
}

impl Place {
    /// `redis://[USER:PASSWORD@]HOST[:PORT][/DB]`, or `redis+sentinel://[USER:PASSWORD@]HOST[:PORT][,…]/MASTER[/DB]`; with
    /// `rediss` everything is TLS.
    ///
    /// # Errors
    /// What is wrong. The address is not quoted: it may hold a password.
    pub(super) fn of(url: &str) -> Result<Self, String> {
        let of_sentinels = ["redis", "rediss"].iter().find_map(|scheme| {
            let rest = url.strip_prefix(scheme)?.strip_prefix("+sentinel://")?;
            Some((*scheme, rest))
        });
        let Some((scheme, rest)) = of_sentinels else {
            return Ok(Self {
                info: info(url)?,
                sentinels: Vec::new(),
                master: String::new(),
                turn: AtomicUsize::new(0),
            });
        };
        let (user, rest) = rest.rsplit_once('@').map_or(("", rest), |(user, rest)| (user, rest));
        let mut parts = rest.split('/');
        let hosts = parts.next().unwrap_or_default();
        let master = parts.next().filter(|master| !master.is_empty());
        let Some(master) = master else {
            return Err("behind the sentinels, `/NAME` says which Redis is meant".to_owned());
        };
        let database = parts.next().map(|database| format!("/{database}")).unwrap_or_default();
        let at = if user.is_empty() { "" } else { "@" };
        let sentinel = |host: &str| {
            let has_port = host.rsplit(']').next().is_some_and(|end| end.contains(':'));
            let port = if has_port { String::new() } else { format!(":{SENTINEL_PORT}") };
            info(&format!("{scheme}://{host}{port}"))
        };
        Ok(Self {
            info: info(&format!("{scheme}://{user}{at}redis{database}"))?,
            sentinels: hosts.split(',').map(sentinel).collect::<Result<_, _>>()?,
            master: master.to_owned(),
            turn: AtomicUsize::new(0),
        })
    }

    /// What is said of it: no user, no password.
    pub(super) fn shown(&self) -> String {
        match &*self.sentinels {
            [] => self.info.addr().to_string(),
            _ => self.master.clone(),
        }
    }

    /// Whether somebody has to be asked where it is.
    pub(super) fn has_sentinels(&self) -> bool {
        !self.sentinels.is_empty()
    }

    /// The Redis that is there now.
    pub(super) async fn find(&self) -> RedisResult<Client> {
        if self.sentinels.is_empty() {
            return Client::open(self.info.clone());
        }
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let mut trouble = RedisError::from((ErrorKind::Io, "no sentinel answers"));
        for at in 0..self.sentinels.len() {
            let sentinel = &self.sentinels[(turn + at) % self.sentinels.len()];
            match timeout(limit::SENTINEL, self.ask(sentinel)).await {
                Ok(Ok((host, port))) => return Client::open(self.at(host, port)),
                Ok(Err(error)) => trouble = error,
                Err(_) => {}
            }
        }
        Err(trouble)
    }

    async fn ask(&self, sentinel: &ConnectionInfo) -> RedisResult<(String, u16)> {
        let mut connection = Client::open(sentinel.clone())?.get_multiplexed_async_connection().await?;
        let mut question = cmd("SENTINEL");
        question.arg("GET-MASTER-ADDR-BY-NAME").arg(&self.master);
        let answer: Option<(String, u16)> = question.query_async(&mut connection).await?;
        answer.ok_or_else(|| RedisError::from((ErrorKind::Client, "the sentinels know no Redis of that name")))
    }

    fn at(&self, new_host: String, new_port: u16) -> ConnectionInfo {
        let mut address = self.info.addr().clone();
        match &mut address {
            redis::ConnectionAddr::Tcp(host, port) | redis::ConnectionAddr::TcpTls { host, port, .. } => {
                (*host, *port) = (new_host, new_port);
            }
            _ => {}
        }
        self.info.clone().set_addr(address)
    }
}

fn info(url: &str) -> Result<ConnectionInfo, String> {
    let info = url.into_connection_info();
    let info = info.map_err(|error| format!("the address of Redis is not usable: {}", error.category()))?;
    // changes are told with RESP3 only
    let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    Ok(info.set_redis_settings(settings))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_and_its_password_is_not_shown() {
        let place = Place::of("redis://user:canary@127.0.0.1:7/2").unwrap();
        assert_eq!((place.shown().as_str(), place.has_sentinels()), ("127.0.0.1:7", false));
        let place = Place::of("rediss+sentinel://user:c%40nary@one,two:7,[::1],[::1]:8/mine/3").unwrap();
        let sentinels: Vec<_> = place.sentinels.iter().map(|info| info.addr().to_string()).collect();
        assert_eq!(sentinels, ["one:26379", "two:7", "::1:26379", "::1:8"]);
        assert!(place.sentinels.iter().all(|info| info.redis_settings().password().is_none()));
        assert_eq!((place.shown().as_str(), place.info.redis_settings().db()), ("mine", 3));
        assert_eq!(place.info.redis_settings().password(), Some("c@nary"));
        assert_eq!(place.at("host".to_owned(), 9).addr().to_string(), "host:9");
        for url in
            ["redis+sentinel://one", "redis+sentinel://one/", "redis+sentinel:///mine", "http://canary", "redis://"]
        {
            let Err(error) = Place::of(url) else { panic!("{url} is accepted") };
            assert!(!error.contains("canary"), "{error}");
        }
    }
}
