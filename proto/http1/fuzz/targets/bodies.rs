//! However a chunked body is cut, it is the same as for a reader that has all of it before it begins, and as simple as can be.
//! The first byte says how to cut.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use sluice_http1::{BadBody, Body, Chunked, Framing};

/// Data and what is behind the body.
fn read(wire: &[u8], size: usize) -> Result<(Vec<u8>, Vec<u8>), BadBody> {
    let mut pieces = wire.chunks(size).map(Bytes::copy_from_slice);
    let mut body = Body::new(Framing::Chunked, pieces.next().unwrap_or_default())?;
    let mut data = Vec::new();
    loop {
        match body.data() {
            Ok(Some(some)) => {
                assert!(!some.is_empty());
                data.extend(some);
                continue;
            }
            Ok(None) if body.is_end() => break,
            Ok(None) => {}
            Err(error) => {
                assert!(
                    body.is_broken() && body.feed(Bytes::from_static(b"0\r\n\r\n")).is_err() && body.data().is_err()
                );
                return Err(error);
            }
        }
        match pieces.next() {
            Some(piece) => body.feed(piece)?,
            None => body.close()?,
        }
    }
    let mut rest = body.rest().to_vec();
    pieces.for_each(|piece| rest.extend(piece));
    Ok((data, rest))
}

/// The same of all bytes at once, by the grammar of RFC 9112 section 7.1; `None` where it is not followed, or not to the end.
fn plain(wire: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let line = |wire: &[u8]| {
        let end = wire.iter().position(|byte| matches!(byte, b'\r' | b'\n'))?;
        let rest = wire[end..].strip_prefix(b"\r\n")?;
        Some((wire[..end].to_vec(), rest.to_vec()))
    };
    let (mut data, mut wire) = (Vec::new(), wire.to_vec());
    loop {
        let (size, rest) = line(&wire)?;
        let size = String::from_utf8_lossy(&size).split(';').next()?.trim_end_matches([' ', '\t']).to_owned();
        if size.is_empty() || !size.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let size = usize::from_str_radix(&size, 16).ok()?;
        wire = rest;
        if size == 0 {
            break;
        }
        data.extend_from_slice(wire.get(..size)?);
        wire = wire[size..].strip_prefix(b"\r\n")?.to_vec();
    }
    loop {
        let (trailer, rest) = line(&wire)?;
        wire = rest;
        if trailer.is_empty() {
            return Some((data, wire));
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let [how, wire @ ..] = input else { return };
    // beyond it a body may be refused that is well formed
    if wire.len() > Chunked::MOST_IDLE as usize {
        return;
    }
    let whole = read(wire, usize::MAX);
    assert_eq!(whole, read(wire, usize::from(*how) + 1));
    assert_eq!(whole.ok(), plain(wire));
});
