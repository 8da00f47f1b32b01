//! The stdio door: MCP on the process's own stdin and stdout, one message per line, logs elsewhere. One client, one
//! session; the end of input ends the process and its children (2026-07-28 *stdio*).

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use sluice_mcp::{Message, ScanLimits, scan_into, without_newlines};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};

use super::outbox::{Piece, Waiting, outbox};
use super::pipe::Pipe;
use crate::auth::Principal;
use crate::drain::Phase;
use crate::exchange::call::{Refusal, Scope};
use crate::limit;
use crate::node::Worker;
use crate::reason::Reason;

/// After the end of input, calls in flight have this long to answer: a script that pipes its requests in gets its answers.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// Serves until stdin ends, then lets the node go.
pub(crate) async fn serve(worker: Rc<Worker>) {
    let (outbox, waiting) = outbox();
    let writer = tokio::task::spawn_local(write(waiting));
    let pipe = Pipe::new(&worker, Scope::Merged, Principal::local(), outbox);
    let drain = worker.node.drain.clone();
    let mut input = BufReader::new(tokio::io::stdin());
    loop {
        let limit = worker.plane().snapshot.limits.body_bytes;
        let mut line = Vec::new();
        let mut limited = (&mut input).take(limit as u64 + 1);
        let read = tokio::select! {
            () = drain.reached(Phase::Closing) => break,
            read = limited.read_until(b'\n', &mut line) => read,
        };
        if read.is_err() || line.is_empty() {
            break;
        }
        if line.len() > limit {
            pipe.refuse(&Refusal { reason: Reason::BodyTooLarge { limit }, id: id_in(&line) }).await;
            if skip_line(&mut input, &line).await.is_err() {
                break;
            }
            continue;
        }
        let line = Bytes::from(line);
        let line = line.slice_ref(line.trim_ascii());
        if line.is_empty() {
            continue;
        }
        for mail in pipe.accept(line).await {
            pipe.take(mail).await;
        }
    }
    // the node waits until the last answers are out
    let _open = drain.open();
    let told = drain.phase() >= Phase::Closing;
    let _ = tokio::time::timeout(if told { limit::DRAIN } else { LAST_ANSWERS }, pipe.answered()).await;
    // what is told of changes only is over with that, and gets its final result
    drain.enter(Phase::Closing);
    let _ = tokio::time::timeout(LAST_ANSWERS, pipe.finished()).await;
    pipe.close().await;
    // the session is ended with the node's others, which follows
    drop(pipe);
    let _ = tokio::time::timeout(LAST_ANSWERS, writer).await;
}

/// The id of a request of which this is the beginning, where it stands there. A response has the id of another's request.
fn id_in(start: &[u8]) -> Option<Bytes> {
    // it may be cut in the middle of a character
    let length = std::str::from_utf8(start).map_or_else(|error| error.valid_up_to(), str::len);
    let mut message = Message::default();
    let fault = scan_into(&start[..length], ScanLimits::default(), &mut message).err()?;
    // one at the very end may be cut as well
    let id = fault.id.filter(|id| message.method_span.is_some() && id.range().end < length)?;
    Some(Bytes::copy_from_slice(&start[id.range()]))
}

/// Reads over the rest of a line that is too long.
async fn skip_line<R: tokio::io::AsyncBufRead + Unpin>(input: &mut R, start: &[u8]) -> std::io::Result<()> {
    let mut piece = start.to_vec();
    while piece.last() != Some(&b'\n') {
        piece.clear();
        if (&mut *input).take(64 << 10).read_until(b'\n', &mut piece).await? == 0 {
            break;
        }
    }
    Ok(())
}

async fn write(mut waiting: Waiting) {
    let mut stdout = tokio::io::stdout();
    let mut buffer = Vec::new();
    while let Some(piece) = waiting.next().await {
        let mut next = Some(piece);
        while let Some(Piece::Message(message)) = next {
            buffer.extend_from_slice(&without_newlines(message));
            buffer.push(b'\n');
            next = if buffer.len() < 64 << 10 { waiting.try_next() } else { None };
        }
        if stdout.write_all(&buffer).await.is_err() || stdout.flush().await.is_err() {
            return;
        }
        buffer.clear();
    }
}
