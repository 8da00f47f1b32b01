//! What a node answers its control plane about sessions.

use sluice_contract::v1;
use sluice_contract::v1::sessions_asked::What as Asked;
use sluice_contract::v1::sessions_told::What as Told;

use crate::exchange;
use crate::node::Node;

/// The answer; to a question of a later version it is empty.
pub(super) async fn answer(node: &Node, asked: v1::SessionsAsked) -> v1::SessionsTold {
    let v1::SessionsAsked { number, shared, what } = asked;
    let what = match what {
        Some(Asked::List(which)) => Some(Told::List(exchange::list_sessions(node, &which, shared).await)),
        Some(Asked::End(which)) => Some(Told::End(exchange::end_sessions_for(node, &which, shared).await)),
        None => None,
    };
    v1::SessionsTold { number, what }
}
