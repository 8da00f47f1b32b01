//! What a URI may be to whoever reads it.

use smallvec::SmallVec;

/// The ways a server may read a URI, so that what hides one by a pattern is asked about each: as it is written; in its normal
/// form (RFC 3986 section 6.2.2: scheme and host in lower case, percent-encoded unreserved characters decoded, dot segments
/// removed); and as a careless one reads it, with everything decoded, backslashes for slashes, and no empty segments.
/// Forms that are the same are there once.
#[must_use]
pub fn readings(uri: &str) -> SmallVec<[String; 3]> {
    let mut all: SmallVec<[String; 3]> = SmallVec::new();
    let careless = decoded(uri, |_| true).replace('\\', "/");
    for form in [uri.to_owned(), normal(uri, decoded(uri, is_unreserved), false), normal(uri, careless, true)] {
        if !all.contains(&form) {
            all.push(form);
        }
    }
    all
}

/// The text with those percent-encoded bytes decoded that `which` names; what is then no UTF-8 is replaced.
fn decoded(text: &str, which: impl Fn(u8) -> bool) -> String {
    let digit = |byte: Option<&u8>| byte.and_then(|b| char::from(*b).to_digit(16));
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let encoded = match (byte, digit(bytes.get(at + 1)), digit(bytes.get(at + 2))) {
            (b'%', Some(high), Some(low)) => Some((high * 16 + low) as u8),
            _ => None,
        };
        match encoded.filter(|byte| which(*byte)) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Scheme and host in lower case, dot segments removed from the path; with `squeeze`, empty segments too.
fn normal(original: &str, text: String, squeeze: bool) -> String {
    // a colon that decoding brought does not end a scheme
    let Some(colon) = original.find(':').filter(|at| text.get(..*at) == original.get(..*at)) else { return text };
    let (scheme, rest) = text.split_at(colon);
    let rest = &rest[1..];
    let (authority, path) = match rest.strip_prefix("//") {
        Some(rest) => {
            let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
            (Some(rest[..end].to_ascii_lowercase()), &rest[end..])
        }
        None => (None, rest),
    };
    let end = path.find(['?', '#']).unwrap_or(path.len());
    let (path, tail) = path.split_at(end);
    let mut out = format!("{}:", scheme.to_ascii_lowercase());
    if let Some(authority) = authority {
        out.push_str("//");
        out.push_str(&authority);
    }
    out.push_str(&without_dots(path, squeeze));
    out.push_str(tail);
    out
}

/// RFC 3986 section 5.2.4.
fn without_dots(path: &str, squeeze: bool) -> String {
    let rooted = path.starts_with('/');
    let mut kept: Vec<&str> = Vec::new();
    let segments: Vec<&str> = path.strip_prefix('/').unwrap_or(path).split('/').collect();
    for (at, segment) in segments.iter().enumerate() {
        let last = at + 1 == segments.len();
        match *segment {
            "." | ".." => {
                if *segment == ".." {
                    kept.pop();
                }
                if last {
                    kept.push("");
                }
            }
            "" if squeeze && !last => {}
            segment => kept.push(segment),
        }
    }
    format!("{}{}", if rooted { "/" } else { "" }, kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_path_comes_to_the_same() {
        for uri in [
            "file:///secret/a",
            "FILE:///secret/a",
            "file:///%73ecret/a",
            "file:///open/../secret/a",
            "file:///./secret/a",
            "file:///open/%2e%2e/secret/a",
            "file:////secret/a",
            "file:///open/..%2Fsecret/a",
            "file:///secret%2Fa",
            "file:///secret\\a",
        ] {
            let readings = readings(uri);
            assert_eq!(readings[0], uri);
            assert!(readings.iter().any(|form| form == "file:///secret/a"), "{uri}: {readings:?}");
        }
    }

    #[test]
    fn what_has_one_reading_has_one() {
        for uri in ["file:///a/b.txt", "urn:isbn:1", "note", "x:", "https://example.com/a?b=/../c#d", ""] {
            assert_eq!(readings(uri).as_slice(), [uri.to_owned()]);
        }
    }

    #[test]
    fn anything_can_be_read() {
        for uri in ["%", "%4", "%zz", "a%3A/b", "a:%FF", "é:é", "a:..", "a:../..", "a://%2F/", ":"] {
            assert_eq!(readings(uri)[0], uri);
        }
    }
}
