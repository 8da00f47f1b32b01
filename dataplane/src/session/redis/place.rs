//! Where Redis is: at one address, wherever its sentinels say that the one is that takes writes, or in many places, as the nodes
//! of a cluster say.

use redis::{Client, Cmd, ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, ProtocolVersion};
use redis::{RedisResult, Value, cmd};

use super::sentinels::{Named, Sentinels};
use super::slots::{self, Address};

/// Of sentinels that are named without their port.
const SENTINEL_PORT: u16 = 26379;
/// Of nodes of a cluster that are.
const NODE_PORT: u16 = 6379;

/// What an address means.
pub(super) enum Site {
    /// One Redis takes all writes.
    Single(Box<Place>),
    /// Some nodes of a cluster, who know the others.
    Cluster(Vec<Place>),
}

/// Where one Redis is.
pub(super) struct Place {
    /// How a Redis is spoken to; its address, unless there are sentinels.
    info: ConnectionInfo,
    /// They are asked where it is.
    sentinels: Option<Sentinels>,
    /// It is one of many, and says whether all of them work together.
    in_cluster: bool,
}

impl Site {
    /// `redis://[USER:PASSWORD@]HOST[:PORT][/DB]`, `redis+sentinel://[USER:PASSWORD@]HOST[:PORT][,…]/MASTER[/DB]`, or
    /// `redis+cluster://[USER:PASSWORD@]HOST[:PORT][,…]`; with `rediss` everything is TLS.
    ///
    /// # Errors
    /// What is wrong. The address is not quoted: it may hold a password.
    pub(super) fn of(url: &str) -> Result<Self, String> {
        let of_many = |kind: &str| {
            ["redis", "rediss"].into_iter().find_map(|scheme| {
                let rest = url.strip_prefix(scheme)?.strip_prefix(kind)?.strip_prefix("://")?;
                let (user, rest) =
                    rest.rsplit_once('@').map_or((String::new(), rest), |(user, rest)| (format!("{user}@"), rest));
                Some((scheme, user, rest))
            })
        };
        if let Some((scheme, user, rest)) = of_many("+sentinel") {
            return Place::by_sentinels(scheme, &user, rest).map(Box::new).map(Self::Single);
        }
        let Some((scheme, user, hosts)) = of_many("+cluster") else {
            return Ok(Self::Single(Box::new(Place::at(info(url)?))));
        };
        if hosts.contains('/') {
            return Err("a cluster has one database, which has no number".to_owned());
        }
        let node = |host: &str| {
            let info = info(&format!("{scheme}://{user}{}", with_port(host, NODE_PORT)))?;
            Ok(Place { in_cluster: true, ..Place::at(info) })
        };
        hosts.split(',').map(node).collect::<Result<_, _>>().map(Self::Cluster)
    }
}

impl Place {
    fn at(info: ConnectionInfo) -> Self {
        Self { info, sentinels: None, in_cluster: false }
    }

    fn by_sentinels(scheme: &str, user: &str, rest: &str) -> Result<Self, String> {
        let mut parts = rest.split('/');
        let hosts = parts.next().unwrap_or_default();
        let master = parts.next().filter(|master| !master.is_empty());
        let Some(master) = master else {
            return Err("behind the sentinels, `/NAME` says which Redis is meant".to_owned());
        };
        let database = parts.next().map(|database| format!("/{database}")).unwrap_or_default();
        let sentinel = |host: &str| info(&format!("{scheme}://{}", with_port(host, SENTINEL_PORT)));
        let sentinels = hosts.split(',').map(sentinel).collect::<Result<_, _>>()?;
        Ok(Self {
            sentinels: Some(Sentinels::new(sentinels, master.to_owned())),
            ..Self::at(info(&format!("{scheme}://{user}redis{database}"))?)
        })
    }

    /// Another node of the cluster that this one is of: it lets the same user in.
    pub(super) fn other(&self, (host, port): &Address) -> Self {
        Self { in_cluster: true, ..Self::at(self.info_at(host.clone(), *port)) }
    }

    /// The host of its address.
    pub(super) fn host(&self) -> &str {
        match self.info.addr() {
            ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => host,
            _ => "",
        }
    }

    /// What is asked to see whether it is there.
    pub(super) fn question(&self) -> Cmd {
        match self.in_cluster {
            true => slots::how_it_is(),
            false => cmd("PING"),
        }
    }

    /// Whether that answer says that it is, and takes what it is told. A master that is cut off from most others still answers, but
    /// another may have taken its place.
    pub(super) fn is_well(&self, answer: &Value) -> bool {
        !self.in_cluster || slots::Health::of(answer).is_some_and(|health| health.serves)
    }

    /// What is said of it: no user, no password.
    pub(super) fn shown(&self) -> String {
        self.sentinels.as_ref().map_or_else(|| self.info.addr().to_string(), |sentinels| sentinels.master.clone())
    }

    /// The Redis that is there now, and how its sentinels name it, where it has any.
    pub(super) async fn find(&self) -> RedisResult<(Client, Option<Named>)> {
        let Some(sentinels) = &self.sentinels else { return Ok((Client::open(self.info.clone())?, None)) };
        let named = sentinels.find().await?;
        let (host, port) = named.address.clone();
        Ok((Client::open(self.info_at(host, port))?, Some(named)))
    }

    /// Whether it is somewhere else than where it was found, as far as somebody says so.
    pub(super) async fn has_moved(&self, found: &Named) -> bool {
        match &self.sentinels {
            Some(sentinels) => sentinels.name_another_than(found).await,
            None => false,
        }
    }

    fn info_at(&self, new_host: String, new_port: u16) -> ConnectionInfo {
        let mut address = self.info.addr().clone();
        match &mut address {
            ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
                (*host, *port) = (new_host, new_port);
            }
            _ => {}
        }
        self.info.clone().set_addr(address)
    }
}

/// `HOST[:PORT]` with a port.
fn with_port(host: &str, usual: u16) -> String {
    match host.rsplit(']').next().is_some_and(|end| end.contains(':')) {
        true => host.to_owned(),
        false => format!("{host}:{usual}"),
    }
}

fn info(url: &str) -> Result<ConnectionInfo, String> {
    let info = url.into_connection_info();
    let info = info.map_err(|_| {
        "the address of Redis is not usable: write it as `redis://[USER:PASSWORD@]HOST[:PORT]`, such as `redis://127.0.0.1:6379`"
    })?;
    // changes are told with RESP3 only
    let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    Ok(info.set_redis_settings(settings))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn single(url: &str) -> Place {
        match Site::of(url) {
            Ok(Site::Single(place)) => *place,
            _ => panic!("{url} is no address of one Redis"),
        }
    }

    fn addresses<'a>(places: impl IntoIterator<Item = &'a ConnectionInfo>) -> Vec<String> {
        places.into_iter().map(|info| info.addr().to_string()).collect()
    }

    #[test]
    fn an_address_is_read_and_its_password_is_not_shown() {
        let place = single("redis://user:canary@127.0.0.1:7/2");
        assert_eq!((place.shown().as_str(), place.sentinels.is_some()), ("127.0.0.1:7", false));
        let place = single("rediss+sentinel://user:c%40nary@one,two:7,[::1],[::1]:8/mine/3");
        let sentinels = place.sentinels.as_ref().unwrap();
        assert_eq!(addresses(sentinels.infos()), ["one:26379", "two:7", "::1:26379", "::1:8"]);
        assert!(sentinels.infos().all(|info| info.redis_settings().password().is_none()));
        assert_eq!((place.shown().as_str(), place.info.redis_settings().db()), ("mine", 3));
        assert_eq!(place.info.redis_settings().password(), Some("c@nary"));
        assert_eq!(place.info_at("host".to_owned(), 9).addr().to_string(), "host:9");
        for url in [
            "redis+sentinel://one",
            "redis+sentinel://one/",
            "redis+sentinel:///mine",
            "redis+cluster://",
            "redis+cluster://user:canary@one/2",
            "http://canary",
            "canary:6379",
            "redis://",
        ] {
            let Err(error) = Site::of(url) else { panic!("{url} is accepted") };
            assert!(!error.contains("canary"), "{error}");
        }
    }

    #[test]
    fn nodes_of_a_cluster_let_the_same_user_in() {
        let Ok(Site::Cluster(nodes)) = Site::of("rediss+cluster://user:c%40nary@one,[::1]:7") else {
            panic!("no cluster")
        };
        let other = nodes[0].other(&("two".to_owned(), 8));
        let infos: Vec<_> = nodes.iter().chain([&other]).map(|node| node.info.clone()).collect();
        assert_eq!(addresses(&infos), ["one:6379", "::1:7", "two:8"]);
        assert!(infos.iter().all(|info| info.redis_settings().password() == Some("c@nary")));
        assert!(matches!(other.info.addr(), ConnectionAddr::TcpTls { .. }));
    }
}
