//! One server on stdin and stdout: a message per line.

use std::io::{self, Read, Write};

use crate::server::Servers;

/// Bytes read at once: what a pipe holds.
const READ: usize = 64 << 10;

/// Serves until stdin ends. All lines that came together are answered with one write.
pub(crate) fn serve(mut servers: Servers) -> io::Result<()> {
    let (mut stdin, mut stdout) = (io::stdin().lock(), io::stdout().lock());
    let mut input = Vec::new();
    let mut chunk = vec![0; READ];
    let mut out = Vec::new();
    loop {
        let count = stdin.read(&mut chunk)?;
        if count == 0 {
            return Ok(());
        }
        input.extend_from_slice(&chunk[..count]);
        let mut at = 0;
        while let Some(length) = memchr::memchr(b'\n', &input[at..]) {
            servers.answer_line(&input[at..at + length], &mut out);
            at += length + 1;
        }
        input.drain(..at);
        stdout.write_all(&out)?;
        stdout.flush()?;
        out.clear();
    }
}
