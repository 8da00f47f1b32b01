//! Text from elsewhere, made fit for a terminal. Names, titles and messages come from clients and servers: what a terminal would
//! obey, or what turns the order of letters around, is shown rather than done.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::paint::Stream;

/// A piece of text for one line: line breaks are shown as well.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    escaped(text, |c| acts(c) || matches!(c, '\n' | '\t'))
}

/// Text in lines, without a colour in it.
pub(super) fn lines(text: &str) -> Cow<'_, str> {
    escaped(text, acts)
}

/// Text in lines for a stream, with the colours that were put into it where the stream has some.
pub(super) fn painted(text: &str, stream: Stream) -> Cow<'_, str> {
    if !stream.has_colours() {
        return lines(text);
    }
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\x1b') {
        let colour = colour(&rest[at..]);
        shown.push_str(&lines(&rest[..at]));
        shown.push_str(if colour == 0 { "\\x1b" } else { &rest[at..at + colour] });
        rest = &rest[at + colour.max(1)..];
    }
    shown.push_str(&lines(rest));
    Cow::Owned(shown)
}

/// JSON text that says the same without any such character; JSON itself asks for fewer of them to be escaped.
pub(super) fn json(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if acts(c) {
            let _ = write!(shown, "\\u{:04x}", u32::from(c));
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Whether a writer that escapes control characters leaves some that reorder letters.
pub(super) fn reorders(text: &str) -> bool {
    text.contains(turns)
}

/// The length of the code for a colour that a text begins with; 0: it begins with something else.
fn colour(text: &str) -> usize {
    let Some(codes) = text.strip_prefix("\x1b[") else { return 0 };
    let length = codes.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b';').count();
    if codes[length..].starts_with('m') { "\x1b[m".len() + length } else { 0 }
}

fn escaped(text: &str, is_hidden: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        let _ = match c {
            c if !is_hidden(c) => shown.write_char(c),
            '\n' => shown.write_str("\\n"),
            '\r' => shown.write_str("\\r"),
            '\t' => shown.write_str("\\t"),
            c if u32::from(c) < 0x100 => write!(shown, "\\x{:02x}", u32::from(c)),
            c => write!(shown, "\\u{{{:x}}}", u32::from(c)),
        };
    }
    Cow::Owned(shown)
}

/// A control character (C0, DEL, C1) other than those that lay text out, or one that changes what is seen of others.
fn acts(c: char) -> bool {
    (c.is_control() && !matches!(c, '\n' | '\t')) || turns(c)
}

/// Unicode's bidirectional controls (UAX #9), and its separators of lines and paragraphs.
fn turns(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_shown() {
        for (text, on_a_line, in_lines) in [
            ("plain ä 漢", "plain ä 漢", "plain ä 漢"),
            ("a\x1b]0;pwned\x07\x1b[2J", "a\\x1b]0;pwned\\x07\\x1b[2J", "a\\x1b]0;pwned\\x07\\x1b[2J"),
            ("a\nFAKE\tROW\r", "a\\nFAKE\\tROW\\r", "a\nFAKE\tROW\\r"),
            ("\u{7f}\u{9b}31m", "\\x7f\\x9b31m", "\\x7f\\x9b31m"),
            ("\u{202e}abc\u{2066}\u{2028}", "\\u{202e}abc\\u{2066}\\u{2028}", "\\u{202e}abc\\u{2066}\\u{2028}"),
        ] {
            assert_eq!((&*visible(text), &*lines(text)), (on_a_line, in_lines), "{text:?}");
        }
    }

    #[test]
    fn json_says_the_same_without_them() {
        let text = "\u{7f}\u{9b}\u{202e}\x1b\n";
        let written = json(&serde_json::to_string(text).unwrap());
        assert_eq!(written, r#""\u007f\u009b\u202e\u001b\n""#);
        assert_eq!(serde_json::from_str::<String>(&written).unwrap(), text);
    }

    #[test]
    fn only_colours_are_colours() {
        for (text, length) in [("\x1b[31mx", 5), ("\x1b[0m", 4), ("\x1b[38;5;2m", 9), ("\x1b[2J", 0), ("\x1b]0;m", 0)] {
            assert_eq!(colour(text), length, "{text:?}");
        }
    }
}
