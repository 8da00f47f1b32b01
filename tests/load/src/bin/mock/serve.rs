//! HTTP/1.1 with kept connections, on one thread.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use sluice_load::chunked::{Chunked, Malformed};
use sluice_load::connection::{Connection, Flushed};
use sluice_load::readiness::{Interest, Readiness};

use crate::http::{Body, Head};
use crate::options::Options;
use crate::server::{After, Servers};

const LISTENER: u64 = u64::MAX - 1;

/// A client's connection.
struct Client {
    connection: Connection<TcpStream>,
    chunks: Chunked,
    after: After,
    /// Waits for room to write.
    is_full: bool,
}

/// An answer that waits. Clients ask one thing at a time on a connection, so that nothing overtakes it.
struct Delayed {
    due: Instant,
    client: usize,
    bytes: Vec<u8>,
}

struct Server {
    readiness: Readiness,
    listener: TcpListener,
    clients: Vec<Option<Client>>,
    free: Vec<usize>,
    servers: Servers,
    delay: Duration,
    delayed: VecDeque<Delayed>,
}

/// Serves until the process is ended. The address goes to stdout once connections are taken.
pub(crate) fn serve(options: &Options, servers: Servers) -> io::Result<()> {
    let listener = TcpListener::bind(options.listen)
        .map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {}: {error}", options.listen)))?;
    listener.set_nonblocking(true)?;
    let readiness = Readiness::new()?;
    readiness.add(&listener, LISTENER, Interest::Read)?;
    writeln!(io::stdout(), "{}", listener.local_addr()?)?;
    let (clients, free, delayed) = (Vec::new(), Vec::new(), VecDeque::new());
    Server { readiness, listener, clients, free, servers, delay: options.delay, delayed }.run()
}

impl Server {
    fn run(mut self) -> io::Result<()> {
        let mut ready = Vec::new();
        loop {
            self.readiness.wait(&mut ready)?;
            for token in &ready {
                match *token {
                    LISTENER => self.accept()?,
                    Readiness::TIMER => self.send_due()?,
                    client => self.go_on(client as usize),
                }
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let socket = match self.listener.accept() {
                Ok((socket, _)) => socket,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => continue,
                Err(error) => return Err(error),
            };
            socket.set_nonblocking(true)?;
            // small answers must not wait for the client's acknowledgement
            socket.set_nodelay(true)?;
            let client = self.free.pop().unwrap_or_else(|| {
                self.clients.push(None);
                self.clients.len() - 1
            });
            self.readiness.add(&socket, client as u64, Interest::Read)?;
            let connection = Connection::new(socket);
            let chunks = Chunked::default();
            self.clients[client] = Some(Client { connection, chunks, after: After::Next, is_full: false });
        }
    }

    /// Reads, answers and writes what can be. A client that breaks off is its own business.
    fn go_on(&mut self, number: usize) {
        let Some(client) = &mut self.clients[number] else { return };
        let is_open = client.connection.fill().unwrap_or(false);
        if self.delay.is_zero() {
            let done = client.answer(&mut self.servers).is_ok() && client.flush(&self.readiness, number);
            if !done || !is_open {
                self.drop(number);
            }
            return;
        }
        let done = client.answer(&mut self.servers).is_ok();
        let bytes = std::mem::take(client.connection.output());
        if !done || !is_open {
            return self.drop(number);
        }
        if !bytes.is_empty() {
            self.delayed.push_back(Delayed { due: Instant::now() + self.delay, client: number, bytes });
            if self.delayed.len() == 1 && self.readiness.wake_in(self.delay).is_err() {
                self.drop(number);
            }
        }
    }

    /// Sends what has waited long enough.
    fn send_due(&mut self) -> io::Result<()> {
        let now = Instant::now();
        while self.delayed.front().is_some_and(|delayed| delayed.due <= now) {
            let Some(delayed) = self.delayed.pop_front() else { break };
            let Some(client) = &mut self.clients[delayed.client] else { continue };
            client.connection.output().extend_from_slice(&delayed.bytes);
            if !client.flush(&self.readiness, delayed.client) {
                self.drop(delayed.client);
            }
        }
        match self.delayed.front() {
            Some(next) => self.readiness.wake_in(next.due.saturating_duration_since(Instant::now())),
            None => Ok(()),
        }
    }

    fn drop(&mut self, number: usize) {
        if self.clients[number].take().is_some() {
            self.delayed.retain(|delayed| delayed.client != number);
            self.free.push(number);
        }
    }
}

impl Client {
    /// Answers every request that came whole.
    fn answer(&mut self, servers: &mut Servers) -> Result<(), Malformed> {
        while self.after == After::Next {
            let (wire, out) = self.connection.parts();
            if wire.is_empty() {
                break;
            }
            let Some(head) = Head::read(wire)? else { break };
            let Some(body) = head.body(wire, &mut self.chunks)? else { break };
            let (body, end) = match body {
                Body::Plain(range) => (&wire[range.clone()], range.end),
                Body::Chunks { end } => (self.chunks.body(), end),
            };
            self.after = servers.answer(&head, body, out);
            self.connection.used(end);
        }
        Ok(())
    }

    /// Writes what there is room for, and asks to be told of more. `false`: that was the end.
    fn flush(&mut self, readiness: &Readiness, number: usize) -> bool {
        let Ok(flushed) = self.connection.flush() else { return false };
        let is_full = flushed == Flushed::Part;
        if is_full != self.is_full {
            self.is_full = is_full;
            let interest = if is_full { Interest::ReadWrite } else { Interest::Read };
            if readiness.change(self.connection.socket(), number as u64, interest).is_err() {
                return false;
            }
        }
        is_full || self.after != After::End
    }
}
