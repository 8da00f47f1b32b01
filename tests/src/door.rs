//! `sluice run --stdio` as a client uses it that starts its servers itself.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::Value;

use crate::gateway::Start;
use crate::program::Log;
use crate::wait;

/// The process with its pipes.
pub struct Door {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    log: Log,
    /// The folder must outlive the process.
    _start: Start,
}

impl Door {
    /// Starts it.
    #[must_use]
    pub fn open(start: Start) -> Self {
        let start = start.arg("--stdio");
        let mut command = start.command();
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Log::of(&mut child);
        let (sender, lines) = channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self { input: child.stdin.take(), child, lines, log, _start: start }
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Writes a line of any content.
    pub fn write(&mut self, line: &str) {
        let input = self.input.as_mut().expect("the input is open");
        input.write_all(line.as_bytes()).and_then(|()| input.write_all(b"\n")).and_then(|()| input.flush()).unwrap();
    }

    /// Writes a message.
    pub fn send(&mut self, message: &Value) {
        self.write(&message.to_string());
    }

    /// The next line as it came.
    #[must_use]
    pub fn line(&self) -> String {
        self.lines.recv_timeout(wait::SOON).unwrap_or_else(|_| panic!("no line on stdout; stderr:\n{}", self.log()))
    }

    /// The next message.
    #[must_use]
    pub fn message(&self) -> Value {
        let line = self.line();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    /// The next message that answers the request of this id, and those before it.
    #[must_use]
    pub fn answer(&self, id: &Value) -> (Value, Vec<Value>) {
        let mut before = Vec::new();
        loop {
            let message = self.message();
            if message["id"] == *id && message.get("method").is_none() {
                return (message, before);
            }
            before.push(message);
        }
    }

    /// Whether no line comes for a while.
    #[must_use]
    pub fn silent(&self, pause: Duration) -> bool {
        self.lines.recv_timeout(pause).is_err()
    }

    /// Closes its input and waits for its end.
    pub async fn close(&mut self) -> ExitStatus {
        self.input = None;
        let child = &mut self.child;
        wait::until("the process ends with its input", || child.try_wait().unwrap()).await
    }

    /// Its stderr so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.text()
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
