//! One line of the access log: compact JSON in which no character of a client's can end a line, hide text or turn it around in
//! a log viewer. Written for every request: without a serialiser, and most texts in one piece.

use std::io::Write as _;

/// What is told of one request. Names are cut at [`NAME_BYTES`]; bodies, keys and session ids have no place here.
pub(crate) struct Line<'r> {
    pub at_ms: u64,
    /// Of the configuration that served it.
    pub revision: u64,
    pub request: RequestName,
    pub principal: &'r str,
    pub server: &'r str,
    pub method: &'r str,
    pub name: Option<&'r str>,
    pub status: u16,
    pub outcome: &'static str,
    pub micros: u64,
    pub cause: Option<&'r str>,
    /// Where the rule of a policy stands that denied it: `policies.readers.deny[0]`; `policies`: none allows it.
    pub rule: Option<&'r str>,
}

/// What a request is called, written as `BOOT-NUMBER` in hexadecimal digits.
#[derive(Clone, Copy)]
pub(crate) struct RequestName {
    /// Distinguishes this process.
    pub boot: u32,
    /// The worker, and its count.
    pub number: u64,
}

/// Longest name of a method, tool, prompt or resource in a line.
const NAME_BYTES: usize = 256;

impl Line<'_> {
    /// Writes the line, and its end.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(br#"{"log":"access","at_ms":"#);
        number(out, self.at_ms);
        out.extend_from_slice(br#","revision":"#);
        number(out, self.revision);
        out.extend_from_slice(br#","request":""#);
        self.request.write(out);
        out.extend_from_slice(br#"","principal":"#);
        text(out, self.principal);
        out.extend_from_slice(br#","server":"#);
        text(out, self.server);
        out.extend_from_slice(br#","method":"#);
        text(out, shortened(self.method));
        if let Some(name) = self.name {
            out.extend_from_slice(br#","name":"#);
            text(out, shortened(name));
        }
        out.extend_from_slice(br#","status":"#);
        number(out, self.status.into());
        out.extend_from_slice(br#","outcome":"#);
        text(out, self.outcome);
        out.extend_from_slice(br#","micros":"#);
        number(out, self.micros);
        if let Some(cause) = self.cause {
            out.extend_from_slice(br#","cause":"#);
            text(out, shortened(cause));
        }
        if let Some(rule) = self.rule {
            out.extend_from_slice(br#","rule":"#);
            text(out, rule);
        }
        out.extend_from_slice(b"}\n");
    }
}

impl std::fmt::Display for RequestName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:08x}-{:x}", self.boot, self.number)
    }
}

impl RequestName {
    fn write(self, out: &mut Vec<u8>) {
        hexadecimal(out, self.boot.into(), 8);
        out.push(b'-');
        hexadecimal(out, self.number, 1);
    }
}

/// With so many digits at least.
fn hexadecimal(out: &mut Vec<u8>, value: u64, least: u32) {
    let digits = (u64::BITS - value.leading_zeros()).div_ceil(4).max(least);
    out.extend((0..digits).rev().map(|place| b"0123456789abcdef"[(value >> (4 * place) & 0xf) as usize]));
}

fn number(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// A JSON string.
fn text(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    // all bytes without a way out in between: many at a time
    let is_plain = |byte: u8| (b' '..=b'~').contains(&byte) & (byte != b'"') & (byte != b'\\');
    if text.bytes().fold(true, |plain, byte| plain & is_plain(byte)) {
        out.extend_from_slice(text.as_bytes());
    } else {
        text.chars().for_each(|c| escaped(out, c));
    }
    out.push(b'"');
}

fn escaped(out: &mut Vec<u8>, c: char) {
    match c {
        '"' | '\\' => out.extend_from_slice(&[b'\\', c as u8]),
        // writing into a vector cannot fail
        c if c.is_control() || is_odd(c) => drop(write!(out, "\\u{:04x}", u32::from(c))),
        c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}

/// Line and paragraph separators, direction marks and overrides.
fn is_odd(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// A name as it may stand in a line.
pub(crate) fn shortened(name: &str) -> &str {
    let end = (0..=name.len().min(NAME_BYTES)).rev().find(|end| name.is_char_boundary(*end));
    &name[..end.unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line<'r>(name: &'r str, cause: Option<&'r str>) -> Line<'r> {
        Line {
            at_ms: 1_700_000_000_123,
            revision: 7,
            request: RequestName { boot: 0x1f, number: 0x0200_0000_0000_00a1 },
            principal: "alice",
            server: "demo",
            method: "tools/call",
            name: Some(name),
            status: 200,
            outcome: "ok",
            micros: 77,
            cause,
            rule: cause,
        }
    }

    fn written(line: &Line<'_>) -> String {
        let mut out = Vec::new();
        line.write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_line_is_json_in_a_fixed_order() {
        assert_eq!(
            written(&line("echo", None)),
            concat!(
                r#"{"log":"access","at_ms":1700000000123,"revision":7,"request":"0000001f-2000000000000a1","principal":"alice","server":"demo","#,
                r#""method":"tools/call","name":"echo","status":200,"outcome":"ok","micros":77}"#,
                "\n"
            )
        );
    }

    #[test]
    fn what_a_client_says_stays_within_its_string() {
        for name in ["", "a\"b\\c", "line\nend\r\t\0", "\u{7f}\u{85}\u{9f}", "\u{202e}\u{feff}\u{2028}", "é 🦀 plain"]
        {
            let text = written(&line(name, Some(name)));
            assert_eq!(text.matches('\n').count(), 1, "{text:?}");
            assert!(!text.trim_end().chars().any(|c| c.is_control() || is_odd(c)), "{text:?}");
            let read: serde_json::Value = serde_json::from_str(&text).unwrap();
            for part in ["name", "cause", "rule"] {
                assert_eq!(read[part].as_str(), Some(name));
            }
        }
    }

    #[test]
    fn names_are_cut_between_characters() {
        let read: serde_json::Value = serde_json::from_str(&written(&line(&"é🦀".repeat(100), None))).unwrap();
        let name = read["name"].as_str().unwrap();
        assert!(name.len() <= NAME_BYTES && name.len() > NAME_BYTES - 4 && "é🦀".repeat(100).starts_with(name));
        assert_eq!(written(&line("", None)).matches("\"name\":\"\"").count(), 1);
    }
}
