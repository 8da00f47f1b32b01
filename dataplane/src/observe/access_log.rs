//! The access log: one JSON line per request on stderr. The path fills a record and hands it to a writer thread; when
//! that is behind, lines are lost and counted, and traffic goes on.

use std::borrow::Cow;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Instant;

use serde::Serialize as _;
use serde_json::Serializer;
use serde_json::ser::Formatter;

use super::metrics::Metrics;
use crate::limit;

/// What is told of one request. Names are cut at [`NAME_BYTES`]; bodies, keys and session ids have no place here.
#[derive(serde::Serialize)]
#[serde(tag = "log", rename = "access")]
pub(crate) struct Line {
    pub at_ms: u64,
    /// Of the configuration that served it.
    pub revision: u64,
    pub request: RequestName,
    pub principal: Arc<str>,
    pub server: Arc<str>,
    pub method: Cow<'static, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub status: u16,
    pub outcome: &'static str,
    pub micros: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// Where the rule of a policy stands that denied it: `policies.readers.deny[0]`; `policies`: none allows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<Arc<str>>,
}

/// What a request is called, written as `BOOT-NUMBER` in hexadecimal digits. Formatted by the writer, not by the path.
#[derive(Clone, Copy)]
pub(crate) struct RequestName {
    /// Distinguishes this process.
    pub boot: u32,
    /// The worker, and its count.
    pub number: u64,
}

impl std::fmt::Display for RequestName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:08x}-{:x}", self.boot, self.number)
    }
}

impl serde::Serialize for RequestName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Longest name of a tool, prompt or resource in a line.
pub(crate) const NAME_BYTES: usize = 256;

/// What goes to the writer.
enum Entry {
    Line(Line),
    /// Everything before is to be written now.
    Flush(SyncSender<()>),
}

/// The log's sending end.
#[derive(Clone)]
pub(crate) struct AccessLog {
    lines: SyncSender<Entry>,
    metrics: Arc<Metrics>,
}

impl AccessLog {
    /// Starts the writer thread; it ends when every sending end is gone.
    pub(crate) fn start(metrics: Arc<Metrics>) -> std::io::Result<Self> {
        let (lines, queue) = sync_channel(limit::LOG_QUEUE);
        std::thread::Builder::new().name("access-log".into()).spawn(move || write(&queue))?;
        Ok(Self { lines, metrics })
    }

    pub(crate) fn record(&self, line: Line) {
        if self.lines.try_send(Entry::Line(line)).is_err() {
            self.metrics.log_lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits, for a bounded time, until what was recorded so far is written.
    pub(crate) fn flush(&self) {
        let (done, wait) = sync_channel(1);
        if self.lines.try_send(Entry::Flush(done)).is_ok() {
            let _ = wait.recv_timeout(limit::LOG_FLUSH);
        }
    }
}

fn write(queue: &Receiver<Entry>) {
    let mut buffer = Vec::with_capacity(64 << 10);
    let mut written: Option<Instant> = None;
    while let Ok(first) = queue.recv() {
        // waking this thread costs the path more than filling the record: a lone line goes out at once, many go together
        if written.is_some_and(|at| at.elapsed() < limit::LOG_PAUSE) && matches!(first, Entry::Line(_)) {
            std::thread::sleep(limit::LOG_PAUSE);
        }
        let mut next = Some(first);
        while let Some(entry) = next {
            match entry {
                Entry::Line(line) if line.serialize(&mut Serializer::with_formatter(&mut buffer, Plain)).is_ok() => {
                    buffer.push(b'\n');
                }
                Entry::Line(_) => {}
                Entry::Flush(done) => {
                    put(&mut buffer);
                    let _ = done.send(());
                }
            }
            if buffer.len() >= 60 << 10 {
                put(&mut buffer);
            }
            next = queue.try_recv().ok();
        }
        put(&mut buffer);
        written = Some(Instant::now());
    }
}

fn put(buffer: &mut Vec<u8>) {
    let _ = std::io::stderr().lock().write_all(buffer);
    buffer.clear();
}

/// Compact JSON in which no character of a client's can end a line, hide text or turn it around in a log viewer.
struct Plain;

impl Formatter for Plain {
    fn write_string_fragment<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> std::io::Result<()> {
        if fragment.is_ascii() && memchr::memchr(0x7f, fragment.as_bytes()).is_none() {
            return writer.write_all(fragment.as_bytes());
        }
        let mut rest = fragment;
        while let Some((at, odd)) = rest.char_indices().find(|(_, c)| is_odd(*c)) {
            writer.write_all(&rest.as_bytes()[..at])?;
            write!(writer, "\\u{:04x}", u32::from(odd))?;
            rest = &rest[at + odd.len_utf8()..];
        }
        writer.write_all(rest.as_bytes())
    }
}

/// C1 controls, line and paragraph separators, direction marks and overrides.
fn is_odd(c: char) -> bool {
    matches!(c, '\u{7f}'..='\u{9f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}
