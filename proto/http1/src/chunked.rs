//! Chunked bodies (RFC 9112 section 7.1), as they come. Extensions and trailers are passed over.

/// A decoder of one body.
#[derive(Debug, Default)]
pub struct Chunked {
    state: State,
    /// Of the current chunk, bytes that are still to come; while its size is read, the size so far.
    left: u64,
    /// Bytes that were no data, less what data is worth: sizes, extensions, trailers.
    idle: u32,
    /// White space stands behind a size before an extension only.
    strict: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the first digit of a size.
    #[default]
    Size,
    /// In a size.
    Digits,
    /// White space behind a size.
    Space,
    /// Between a size's semicolon and the end of its line.
    Extension,
    /// The line feed behind a size's carriage return.
    SizeEnd,
    Data,
    /// The line end behind a chunk's data.
    DataCr,
    DataLf,
    /// At the start of a trailer line.
    Trailer,
    /// Inside one.
    TrailerLine,
    /// The line feed behind its carriage return.
    TrailerLf,
    /// The last line feed.
    LastLf,
    Done,
}

/// What of the input is what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Bytes to pass over.
    pub skip: usize,
    /// Bytes of data behind them.
    pub data: usize,
    /// The body ends here.
    pub done: bool,
}

/// Not a chunked body, or one with more between its data than is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a chunked body")]
pub struct BadChunk;

impl Chunked {
    /// Bytes of sizes, extensions and trailers beyond the data: more than anybody needs.
    pub const MOST_IDLE: u32 = 16 << 10;
    /// How many of them a run of data may have: a size and two line ends.
    const FRAME: u32 = 16;

    /// A decoder of a request's body: what two readers could frame differently is refused. Servers that fill sizes up with spaces
    /// are about for decades, and of their answers nobody else reads the frames.
    #[must_use]
    pub fn strict() -> Self {
        Self { strict: true, ..Self::default() }
    }

    /// Looks at the next bytes: what comes first in them, up to the end of one run of data. Call again with what is behind it.
    ///
    /// # Errors
    /// [`BadChunk`].
    pub fn step(&mut self, input: &[u8]) -> Result<Step, BadChunk> {
        let mut skip = 0;
        while let Some(byte) = input.get(skip) {
            if self.state == State::Data {
                let data = usize::try_from(self.left).unwrap_or(usize::MAX).min(input.len() - skip);
                self.left -= data as u64;
                let worth = u32::try_from(data).unwrap_or(u32::MAX).saturating_add(Self::FRAME);
                self.idle = self.idle.saturating_sub(worth);
                if self.left == 0 {
                    self.state = State::DataCr;
                }
                return Ok(Step { skip, data, done: false });
            }
            if self.state == State::Done {
                break;
            }
            self.state = self.next(*byte)?;
            skip += 1;
            self.idle += 1;
            if self.idle > Self::MOST_IDLE {
                return Err(BadChunk);
            }
        }
        Ok(Step { skip, data: 0, done: self.state == State::Done })
    }

    /// Whether the body has ended.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    fn next(&mut self, byte: u8) -> Result<State, BadChunk> {
        Ok(match (self.state, byte) {
            (State::Size | State::Digits, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digit = (byte as char).to_digit(16).unwrap_or_default();
                self.left = self.left.checked_mul(16).and_then(|n| n.checked_add(digit.into())).ok_or(BadChunk)?;
                State::Digits
            }
            (State::Digits | State::Extension, b'\r') => State::SizeEnd,
            (State::Space, b'\r') if !self.strict => State::SizeEnd,
            (State::Digits | State::Space, b';') => State::Extension,
            (State::Digits | State::Space, b' ' | b'\t') => State::Space,
            (State::Extension, byte) if byte != b'\n' => State::Extension,
            (State::SizeEnd, b'\n') if self.left == 0 => State::Trailer,
            (State::SizeEnd, b'\n') => State::Data,
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size,
            (State::Trailer, b'\r') => State::LastLf,
            (State::Trailer | State::TrailerLine, byte) if !matches!(byte, b'\r' | b'\n') => State::TrailerLine,
            (State::TrailerLine, b'\r') => State::TrailerLf,
            (State::TrailerLf, b'\n') => State::Trailer,
            (State::LastLf, b'\n') => State::Done,
            _ => return Err(BadChunk),
        })
    }
}
