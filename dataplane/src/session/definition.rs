//! What a server's definition is called by in records: the number it has in a process means nothing to another.

use aws_lc_rs::digest;
use sluice_snapshot::model::{Server, Transport};

/// The first bytes of a digest of who a server is.
pub(crate) type Definition = [u8; 8];

/// Who a server is: its key, and where it is or what is started. Two processes that agree in this mean the same server; in
/// one process that sees more of it change, its sessions end as they always do.
pub(crate) fn of(server: &Server) -> Definition {
    let mut context = digest::Context::new(&digest::SHA256);
    let mut say = |part: &[u8]| {
        // with its length: what stands in a part cannot pass for the end of it
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    };
    say(server.name.as_bytes());
    say(server.transport.as_str().as_bytes());
    match &server.transport {
        Transport::Http(endpoint) | Transport::Sse(endpoint) | Transport::WebSocket(endpoint) => {
            say(&[endpoint.tls.into()]);
            say(endpoint.authority.as_bytes());
            say(endpoint.path.as_bytes());
            say(endpoint.socket.as_ref().map_or(b"", |path| path.as_os_str().as_encoded_bytes()));
        }
        Transport::Stdio(command) => {
            say(command.program.as_bytes());
            command.args.iter().for_each(|arg| say(arg.as_bytes()));
        }
    }
    let mut short = [0; 8];
    short.copy_from_slice(&context.finish().as_ref()[..8]);
    short
}
