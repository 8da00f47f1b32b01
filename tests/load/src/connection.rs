//! A connection that never blocks: bytes that came and were not used yet, bytes that wait to go.

use std::io::{self, Read, Write};

/// First size of a read buffer. Ten thousand quiet connections must not take memory from what is measured.
const FIRST: usize = 4 << 10;

/// How much of what was to be written is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flushed {
    /// All.
    Whole,
    /// The rest waits for room.
    Part,
}

/// Buffers in front of a non-blocking socket.
#[derive(Debug)]
pub struct Connection<S> {
    socket: S,
    /// Zeros behind `end`.
    input: Vec<u8>,
    start: usize,
    end: usize,
    output: Vec<u8>,
    written: usize,
}

impl<S: Read + Write> Connection<S> {
    /// `socket` must not block.
    pub fn new(socket: S) -> Self {
        Self { socket, input: Vec::new(), start: 0, end: 0, output: Vec::new(), written: 0 }
    }

    /// What is below.
    pub fn socket(&self) -> &S {
        &self.socket
    }

    /// Reads what is there, all of it. `false`: the other side will send no more.
    ///
    /// # Errors
    /// As `read(2)`.
    pub fn fill(&mut self) -> io::Result<bool> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        loop {
            if self.end == self.input.len() {
                self.make_room();
            }
            let room = self.input.len() - self.end;
            match self.socket.read(&mut self.input[self.end..]) {
                Ok(0) => return Ok(false),
                Ok(count) => {
                    self.end += count;
                    // what comes later is told by epoll; asking again would be a system call for nothing
                    if count < room {
                        return Ok(true);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn make_room(&mut self) {
        if self.start > 0 {
            self.input.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.end == self.input.len() {
            self.input.resize((2 * self.input.len()).max(FIRST), 0);
        }
    }

    /// What came and was not used.
    pub fn input(&self) -> &[u8] {
        &self.input[self.start..self.end]
    }

    /// Where to write, beside what came: both at once.
    pub fn parts(&mut self) -> (&[u8], &mut Vec<u8>) {
        (&self.input[self.start..self.end], &mut self.output)
    }

    /// Drops the first bytes of the input.
    pub fn used(&mut self, bytes: usize) {
        self.start += bytes;
        debug_assert!(self.start <= self.end, "more was used than came");
    }

    /// Where to put what is to be sent with the next [`Self::flush`].
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// Writes what there is room for.
    ///
    /// # Errors
    /// As `write(2)`.
    pub fn flush(&mut self) -> io::Result<Flushed> {
        while self.written < self.output.len() {
            match self.socket.write(&self.output[self.written..]) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Flushed::Part),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.output.clear();
        self.written = 0;
        // what TLS holds back
        match self.socket.flush() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Flushed::Part),
            flushed => flushed.map(|()| Flushed::Whole),
        }
    }
}
