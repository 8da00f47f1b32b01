//! The names of the sessions in a Redis. It gives them in an order of its own, some at a time; what is wanted is the next ones in the
//! order of ids, so all are looked at and few are remembered.

use std::collections::BTreeSet;
use std::sync::Arc;

use redis::{Value, cmd};

use super::line::Line;
use super::{bytes, id_of};
use crate::limit;
use crate::session::SessionId;
use crate::session::store::Down;

/// The next ids that are at the ends of these lines, and whether there are no others after them.
pub(super) async fn after(
    lines: &[Arc<Line>],
    prefix: &str,
    after: Option<SessionId>,
    most: usize,
) -> Result<(Vec<SessionId>, bool), Down> {
    let pattern = pattern(prefix);
    let (mut next, mut are_all) = (BTreeSet::new(), true);
    for line in lines {
        let mut cursor = b"0".to_vec();
        loop {
            let mut scan = cmd("SCAN");
            scan.arg(&cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(limit::SESSIONS_SCANNED);
            let Ok(Value::Array(answer)) = line.ask(&scan).await? else { return Err(Down) };
            let mut answer = answer.into_iter();
            let (Some(Value::BulkString(on)), Some(Value::Array(names))) = (answer.next(), answer.next()) else {
                return Err(Down);
            };
            let ids = names.into_iter().filter_map(bytes).filter_map(|name| id_of(prefix, &name));
            for id in ids.filter(|id| after.is_none_or(|after| id.0 > after.0)) {
                next.insert(id.0);
                if next.len() > most {
                    next.pop_last();
                    are_all = false;
                }
            }
            if on == b"0" {
                break;
            }
            cursor = on;
        }
    }
    Ok((next.into_iter().map(SessionId).collect(), are_all))
}

/// What names begin with, in the language of patterns: no character of a prefix means anything but itself.
fn pattern(prefix: &str) -> String {
    let is_special = |c: char| matches!(c, '*' | '?' | '[' | ']' | '\\' | '^');
    let escaped = prefix.chars().flat_map(|c| is_special(c).then_some('\\').into_iter().chain([c]));
    escaped.chain("{*}".chars()).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_prefix_stands_for_itself() {
        assert_eq!(super::pattern("sluice:"), "sluice:{*}");
        assert_eq!(super::pattern("a*[b]\\"), "a\\*\\[b\\]\\\\{*}");
    }
}
