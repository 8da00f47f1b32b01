//! Answers to calls: the text that was sent, and who it was sent to. Wrong ones, where that is asked for.

use crate::fault::{Fault, Faults};
use crate::message::Arguments;
use crate::reply::Reply;
use crate::server::After;

/// Fills texts up.
const FILL: [u8; 4096] = [b'x'; 4096];
const OPEN: &[u8] = br#""content":[{"type":"text","text":""#;
const CLOSE: &[u8] = br#""}],"isError":false"#;

/// All calls of the process.
pub(crate) struct Calls {
    count: u64,
    faults: Faults,
    /// Memory for a text.
    text: Vec<u8>,
}

impl Calls {
    pub(crate) fn new(fault: Option<Fault>) -> Self {
        Self { count: 0, faults: Faults::new(fault), text: Vec::new() }
    }

    /// How many came so far.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Answers the call of a tool that there is. `before`: the result's first members.
    pub(crate) fn answer(
        &mut self,
        server: usize,
        name: &str,
        id: &str,
        arguments: &Arguments<'_>,
        before: &str,
        reply: &mut Reply<'_>,
    ) -> After {
        self.count += 1;
        self.text.clear();
        if name != "echo" {
            self.text.extend_from_slice(format!("s{server} {name} ").as_bytes());
        }
        write_text(arguments, &mut self.text);
        let begin = reply.out.len();
        let (mut id, mut is_cut) = (id, false);
        match self.faults.next() {
            None => {}
            Some(Fault::WrongId) => id = "7",
            Some(Fault::WrongText) => self.text.iter_mut().last().into_iter().for_each(|last| *last ^= 1),
            Some(Fault::Cut) => is_cut = true,
            Some(Fault::Silence) => return After::Next,
            Some(Fault::Error) => {
                reply.error("200 OK", Some(id), -32603, "Internal error");
                return After::Next;
            }
            Some(Fault::BadGateway) => {
                reply.empty("502 Bad Gateway");
                return After::Next;
            }
        }
        reply.result(id, None, &[before.as_bytes(), OPEN, &self.text, CLOSE]);
        if is_cut {
            reply.out.truncate((begin + reply.out.len()) / 2);
            return After::End;
        }
        After::Next
    }
}

/// The argument's text, cut or filled up as asked for.
fn write_text(arguments: &Arguments<'_>, out: &mut Vec<u8>) {
    let text = arguments.text.map_or("", |raw| raw.get().trim_matches('"')).as_bytes();
    let length = arguments.bytes.unwrap_or(text.len());
    out.extend_from_slice(&text[..length.min(text.len())]);
    let mut missing = length.saturating_sub(text.len());
    while missing > 0 {
        let count = missing.min(FILL.len());
        out.extend_from_slice(&FILL[..count]);
        missing -= count;
    }
}
