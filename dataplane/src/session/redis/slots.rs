//! The slots of a cluster: which one a key is in, and which master has it.

use redis::{Cmd, FromRedisValue as _, Value, cmd};

/// There are so many.
const SLOTS: u16 = 16_384;

/// Host and port of a node.
pub(super) type Address = (String, u16);

/// Which master has which slots, as a node of the cluster says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Slots {
    /// By the last slot of each.
    ranges: Vec<Range>,
    /// Each once.
    masters: Vec<Address>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Range {
    first: u16,
    last: u16,
    /// Its place among the masters.
    master: usize,
}

/// How a node sees its cluster.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Health {
    /// All slots are somebody's, and most masters are in reach.
    pub serves: bool,
    /// Rises when a replica takes its master's place, or a slot moves.
    pub epoch: u64,
}

/// Asks a node for [`Health`].
pub(super) fn how_it_is() -> Cmd {
    let mut question = cmd("CLUSTER");
    question.arg("INFO");
    question
}

/// Asks a node for [`Slots`].
pub(super) fn who_has_what() -> Cmd {
    let mut question = cmd("CLUSTER");
    question.arg("SLOTS");
    question
}

impl Health {
    /// Of an answer to [`how_it_is`]; `None` where it is none.
    pub(super) fn of(answer: &Value) -> Option<Self> {
        let text = String::from_redis_value_ref(answer).ok()?;
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        Some(Self {
            serves: field("cluster_state")? == "ok",
            epoch: field("cluster_current_epoch")?.trim().parse().ok()?,
        })
    }
}

/// The slot of a key: that of its hash tag, what stands in its first braces.
pub(super) fn slot_of(key: &[u8]) -> u16 {
    let mut parts = key.splitn(2, |byte| *byte == b'{').skip(1).flat_map(|rest| rest.split(|byte| *byte == b'}'));
    let tag = parts.next().filter(|tag| !tag.is_empty() && parts.next().is_some());
    crc16(tag.unwrap_or(key)) % SLOTS
}

/// CRC-16/XMODEM, by which the cluster's specification shares out keys.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| match crc & 0x8000 {
            0 => crc << 1,
            _ => (crc << 1) ^ 0x1021,
        })
    })
}

impl Slots {
    /// Of an answer to [`who_has_what`]. A node that does not know its own name is where it was `asked`. `None`: it is no such
    /// answer, or no slot is anybody's.
    pub(super) fn of(answer: &Value, asked: &str) -> Option<Self> {
        let Value::Array(told) = answer else { return None };
        let mut shares = told.iter().map(|range| share(range, asked)).collect::<Option<Vec<_>>>()?;
        shares.sort_unstable_by_key(|(_, last, _)| *last);
        // in one order, whoever says it
        let mut masters: Vec<_> = shares.iter().map(|(.., master)| master.clone()).collect();
        masters.sort_unstable();
        masters.dedup();
        let range = |(first, last, master)| Some(Range { first, last, master: masters.binary_search(&master).ok()? });
        let ranges = shares.into_iter().map(range).collect::<Option<Vec<_>>>()?;
        (!ranges.is_empty()).then_some(Self { ranges, masters })
    }

    pub(super) fn masters(&self) -> &[Address] {
        &self.masters
    }

    /// The place among the masters of the one that has a slot.
    pub(super) fn master(&self, slot: u16) -> Option<usize> {
        let at = self.ranges.partition_point(|range| range.last < slot);
        self.ranges.get(at).filter(|range| range.first <= slot).map(|range| range.master)
    }

    /// Whether a master has no longer all the slots that it had before.
    pub(super) fn took_from(&self, before: &Self, master: &Address) -> bool {
        let has = |slots: &Self, slot| slots.master(slot).is_some_and(|at| slots.masters[at] == *master);
        (0..SLOTS).any(|slot| has(before, slot) && !has(self, slot))
    }
}

/// `[first, last, master, …]`.
fn share(range: &Value, asked: &str) -> Option<(u16, u16, Address)> {
    let Value::Array(parts) = range else { return None };
    let [Value::Int(first), Value::Int(last), Value::Array(master), ..] = &parts[..] else { return None };
    Some((u16::try_from(*first).ok()?, u16::try_from(*last).ok()?, address(master, asked)?))
}

/// `[host, port, id, {"ip": ip}]`.
fn address(node: &[Value], asked: &str) -> Option<Address> {
    let [host, Value::Int(port), rest @ ..] = node else { return None };
    let host = match text(host)? {
        // `cluster-preferred-endpoint-type unknown-endpoint`
        "" => asked,
        // `hostname`, and it has not said its own
        "?" => rest.iter().find_map(ip).unwrap_or(asked),
        host => host,
    };
    Some((host.to_owned(), u16::try_from(*port).ok()?))
}

fn ip(told: &Value) -> Option<&str> {
    let (_, ip) = told.as_map_iter()?.find(|(name, _)| text(name) == Some("ip"))?;
    text(ip).filter(|ip| !ip.is_empty())
}

/// `Some("")`: nothing is told.
fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(text) => std::str::from_utf8(text).ok(),
        Value::SimpleString(text) => Some(text),
        Value::Nil => Some(""),
        _ => None,
    }
}

/// `HOST:PORT`, as redirections have it; without a host, the one that was `asked`.
pub(super) fn named(address: &str, asked: &str) -> Option<Address> {
    let (host, port) = address.rsplit_once(':')?;
    let host = if host.is_empty() { asked } else { host };
    Some((host.to_owned(), port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(host: &str, port: i64) -> Value {
        Value::Array(vec![Value::BulkString(host.into()), Value::Int(port), Value::BulkString(b"id".to_vec())])
    }

    fn range(first: i64, last: i64, master: Value) -> Value {
        Value::Array(vec![Value::Int(first), Value::Int(last), master, node("replica", 1)])
    }

    #[test]
    fn keys_are_in_the_slots_that_the_specification_says() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        // as `CLUSTER KEYSLOT` answers
        for (key, slot) in
            [("foo", 12_182), ("{user1000}.following", 3_443), ("foo{}{bar}", 8_363), ("foo{{bar}}zap", 4_015)]
        {
            assert_eq!(slot_of(key.as_bytes()), slot, "{key}");
        }
        assert_eq!(slot_of(b"sluice:{abc}"), slot_of(b"abc"));
    }

    #[test]
    fn a_node_says_how_its_cluster_is() {
        let said = |text: &str| Health::of(&Value::BulkString(text.into()));
        let well = "cluster_enabled:1\r\ncluster_state:ok\r\ncluster_current_epoch:7\r\n";
        assert_eq!(said(well), Some(Health { serves: true, epoch: 7 }));
        assert!(!said(&well.replace("ok", "fail")).unwrap().serves);
        assert_eq!(said("PONG"), None);
    }

    #[test]
    fn who_has_a_slot_is_what_was_told() {
        let told =
            vec![range(5461, 10922, node("b", 2)), range(0, 5460, node("a", 1)), range(10923, 16000, node("", 3))];
        let slots = Slots::of(&Value::Array(told), "asked").unwrap();
        let master = |slot| slots.master(slot).map(|at| slots.masters()[at].clone());
        assert_eq!(master(0), Some(("a".into(), 1)));
        assert_eq!(master(5460), Some(("a".into(), 1)));
        assert_eq!(master(5461), Some(("b".into(), 2)));
        assert_eq!(master(16000), Some(("asked".into(), 3)));
        assert_eq!(master(16001), None);
        let fewer =
            Slots::of(&Value::Array(vec![range(1, 5460, node("a", 1)), range(5461, 16383, node("b", 2))]), "").unwrap();
        assert!(fewer.took_from(&slots, &("a".into(), 1)) && !fewer.took_from(&slots, &("b".into(), 2)));
        for strange in [Value::Nil, Value::Array(Vec::new()), Value::Array(vec![range(-1, 5, node("a", 1))])] {
            assert_eq!(Slots::of(&strange, "asked"), None);
        }
        let with = |name: &str, ip: &str| {
            let bulk = |text: &str| Value::BulkString(text.into());
            let told = Value::Map(vec![(bulk("ip"), bulk(ip))]);
            let node = Value::Array(vec![bulk(name), Value::Int(1), bulk("id"), told]);
            Slots::of(&Value::Array(vec![range(0, 16383, node)]), "asked").unwrap().masters()[0].0.clone()
        };
        assert_eq!([with("?", "10.0.0.1"), with("?", ""), with("a", "10.0.0.1")], ["10.0.0.1", "asked", "a"]);
        assert_eq!(named("::1:7", "x"), Some(("::1".into(), 7)));
        assert_eq!((named(":7", "x"), named("a", "x")), (Some(("x".into(), 7)), None));
    }
}
