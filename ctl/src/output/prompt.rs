//! Questions to whoever sits at the terminal.

use std::io::{self, IsTerminal, Read, Write};

use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};

use super::{Failure, visible};

/// Bytes of a value that is typed or piped in: what a secret may have.
const MOST: u64 = 64 << 10;

/// Whether somebody can be asked.
pub(crate) fn is_possible() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks whether to go on; only `y` and `yes` mean it.
pub(crate) fn confirm(question: &str) -> Result<bool, Failure> {
    ask(&format!("{question} [y/N] "))?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).map_err(|error| Failure::other(format_args!("stdin: {error}")))?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// A value that nobody may see: typed without echo on a terminal, else all of stdin without a newline at its end.
pub(crate) fn secret(what: &str) -> Result<Vec<u8>, Failure> {
    let mut value = Vec::new();
    let read = if io::stdin().is_terminal() {
        ask(&format!("{what}: "))?;
        if !type_unseen(&mut value).map_err(|error| Failure::other(format_args!("stdin: {error}")))? {
            return Err(Failure::declined());
        }
        Ok(())
    } else {
        io::stdin().lock().take(MOST + 1).read_to_end(&mut value).map(|_| ())
    };
    read.map_err(|error| Failure::other(format_args!("stdin: {error}")))?;
    if value.ends_with(b"\n") {
        value.pop();
        value.pop_if(|byte| *byte == b'\r');
    }
    if value.is_empty() {
        return Err(Failure::input(format_args!("{what} is empty; nothing was changed")));
    }
    if value.len() as u64 > MOST {
        return Err(Failure::input(format_args!("{what} is larger than {} KiB; nothing was changed", MOST >> 10)));
    }
    Ok(value)
}

fn ask(question: &str) -> Result<(), Failure> {
    let mut stderr = io::stderr().lock();
    stderr.write_all(visible(question).as_bytes()).and_then(|()| stderr.flush()).map_err(Failure::other)
}

/// Reads a line from a terminal that does not show it. Keys that mean something are read here, signals included, so
/// that no way out leaves the terminal mute. `false`: it was broken off.
fn type_unseen(value: &mut Vec<u8>) -> io::Result<bool> {
    let _mute = Mute::new()?;
    let mut stdin = io::stdin().lock();
    let mut key = [0];
    let ended = loop {
        if stdin.read(&mut key)? == 0 {
            break true;
        }
        match key[0] {
            b'\r' | b'\n' | END => break true,
            INTERRUPT => break false,
            // A character may have several bytes; all but its first begin with the bits 10.
            ERASE | BACKSPACE => while value.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {},
            KILL => value.clear(),
            byte => value.push(byte),
        }
    };
    let _ = writeln!(io::stderr());
    Ok(ended)
}

/// What the keys send: Ctrl-C, Ctrl-D, Ctrl-U, and the two that take one character back.
const INTERRUPT: u8 = 3;
const END: u8 = 4;
const KILL: u8 = 21;
const BACKSPACE: u8 = 8;
const ERASE: u8 = 127;

/// A terminal that shows nothing, until this is dropped.
struct Mute(Termios);

impl Mute {
    fn new() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut mute = before.clone();
        mute.local_modes -= LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG;
        mute.special_codes[SpecialCodeIndex::VMIN] = 1;
        mute.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(io::stdin(), OptionalActions::Flush, &mute)?;
        Ok(Self(before))
    }
}

impl Drop for Mute {
    fn drop(&mut self) {
        // The terminal may be gone; then there is nothing to give back.
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.0);
    }
}
