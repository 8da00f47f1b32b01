//! The last lines of the log, for those who cannot read stderr of the process.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing_subscriber::fmt::MakeWriter;

/// Lines that are kept: what happened in the last minutes of a busy day, or the last weeks of a quiet one.
const LINES: usize = 1_000;
/// Bytes of all of them, however long they are.
const BYTES: usize = 1 << 20;

/// The last lines of the log. Clones are the same.
#[derive(Clone, Default)]
pub struct Recent(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    lines: VecDeque<String>,
    bytes: usize,
}

impl Recent {
    /// The last lines, newest first, at most so many.
    #[must_use]
    pub fn lines(&self, limit: usize) -> Vec<String> {
        self.kept().lines.iter().rev().take(limit).cloned().collect()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn add(&mut self, line: String) {
        self.bytes += line.len();
        self.lines.push_back(line);
        while self.lines.len() > LINES || self.bytes > BYTES {
            let Some(oldest) = self.lines.pop_front() else { return };
            self.bytes -= oldest.len();
        }
    }
}

impl<'w> MakeWriter<'w> for Recent {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}

impl Write for Recent {
    /// Each event is written whole, as one line.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.kept().add(String::from_utf8_lossy(line).trim_end().to_owned());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept_and_no_more_than_there_is_room_for() {
        let mut recent = Recent::default();
        for number in 0..LINES + 5 {
            recent.write_all(format!("line {number}\n").as_bytes()).unwrap();
        }
        let last = recent.lines(2);
        assert_eq!(last, [format!("line {}", LINES + 4), format!("line {}", LINES + 3)]);
        assert_eq!(recent.lines(usize::MAX).len(), LINES);
        recent.write_all("long ".repeat(BYTES / 6).as_bytes()).unwrap();
        recent.write_all("long ".repeat(BYTES / 6).as_bytes()).unwrap();
        assert_eq!(recent.lines(usize::MAX).len(), 1);
    }
}
