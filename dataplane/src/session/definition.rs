//! What a server is called by in records: the number it has in a process means nothing to another.

use aws_lc_rs::digest::{Context, SHA256};
use sluice_snapshot::model::{Command, HttpEndpoint, Transport};
use smallvec::{SmallVec, smallvec};

use crate::upstream::Upstream;

/// Who a server is: its key, and where it is or what is started, in a digest for each place it runs in. Two processes that agree
/// in one of them mean the same server, which runs somewhere else as well; in one process that sees more of it change, its
/// sessions end as they always do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Definitions(SmallVec<[u64; 1]>);

impl Definitions {
    /// Those of a server where it runs now.
    pub(crate) fn of(server: &Upstream) -> Self {
        if let Some(endpoints) = &server.endpoints {
            return Self(endpoints.group().endpoints().map(|one| at(server, one.target.endpoint())).collect());
        }
        Self(smallvec![match &server.config.transport {
            Transport::Http(place) | Transport::Sse(place) | Transport::WebSocket(place) => at(server, place),
            Transport::Stdio(command) => started(server, command),
        }])
    }

    /// Whether both are of the same server.
    pub(crate) fn agree(&self, other: &Self) -> bool {
        self.0.iter().any(|one| other.0.contains(one))
    }

    /// As they are written.
    pub(crate) fn numbers(&self) -> Vec<u64> {
        self.0.to_vec()
    }

    /// Those that were written.
    pub(crate) fn numbered(numbers: Vec<u64>) -> Self {
        Self(numbers.into())
    }
}

fn at(server: &Upstream, place: &HttpEndpoint) -> u64 {
    let socket = place.socket.as_ref().map_or(&b""[..], |path| path.as_os_str().as_encoded_bytes());
    digest(server, [&[place.tls.into()], place.authority.as_bytes(), place.path.as_bytes(), socket])
}

fn started(server: &Upstream, command: &Command) -> u64 {
    digest(server, [&command.program].into_iter().chain(&command.args).map(String::as_bytes))
}

fn digest<'a>(server: &Upstream, place: impl IntoIterator<Item = &'a [u8]>) -> u64 {
    let mut context = Context::new(&SHA256);
    let mut say = |part: &[u8]| {
        // with its length: what stands in a part cannot pass for the end of it
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    };
    say(server.name().as_bytes());
    say(server.config.transport.as_str().as_bytes());
    place.into_iter().for_each(say);
    let mut short = [0; 8];
    short.copy_from_slice(&context.finish().as_ref()[..8]);
    u64::from_be_bytes(short)
}
