//! JSON with comments and trailing commas, as editors write it: both become spaces, so that everything else stays in its
//! place.

use std::borrow::Cow;

/// The text without comments and trailing commas, if it is such JSON; otherwise the text as it is. YAML's flow maps begin
/// in the same way, and there `//` may be part of a text: only a map whose first key is quoted is taken for JSON.
pub(super) fn plain(text: &str) -> Cow<'_, str> {
    let mut tokens = Tokens { text, at: 0 };
    let begins_map = tokens.next().is_some_and(|(at, _)| text[at..].starts_with('{'));
    if !(begins_map && tokens.next().is_some_and(|(at, _)| text[at..].starts_with(['"', '}']))) {
        return Cow::Borrowed(text);
    }
    let mut plain: Vec<u8> = text.bytes().map(|b| if matches!(b, b'\n' | b'\r') { b } else { b' ' }).collect();
    let mut comma = None;
    for (at, end) in (Tokens { text, at: 0 }) {
        if let (Some(comma), true) = (comma, text[at..].starts_with(['}', ']'])) {
            plain[comma] = b' ';
        }
        comma = text[at..].starts_with(',').then_some(at);
        plain[at..end].copy_from_slice(&text.as_bytes()[at..end]);
    }
    // Whole tokens were copied and the rest is ASCII, so that it is text again.
    String::from_utf8(plain).map_or(Cow::Borrowed(text), Cow::Owned)
}

/// The strings and the other characters of a text, as ranges of bytes, without white space and comments.
struct Tokens<'a> {
    text: &'a str,
    at: usize,
}

impl Tokens<'_> {
    fn skip(&mut self) {
        loop {
            let rest = &self.text[self.at..];
            let trimmed = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
            let after = if let Some(comment) = trimmed.strip_prefix("//") {
                comment.find('\n').map_or("", |end| &comment[end..])
            } else if let Some(comment) = trimmed.strip_prefix("/*") {
                comment.find("*/").map_or("", |end| &comment[end + 2..])
            } else {
                trimmed
            };
            self.at = self.text.len() - after.len();
            if after.len() == trimmed.len() {
                return;
            }
        }
    }
}

impl Iterator for Tokens<'_> {
    type Item = (usize, usize);

    fn next(&mut self) -> Option<(usize, usize)> {
        self.skip();
        let start = self.at;
        let mut chars = self.text[start..].char_indices();
        let (_, first) = chars.next()?;
        let mut escaped = first != '"';
        let mut end = first.len_utf8();
        if first == '"' {
            for (at, c) in chars {
                end = at + c.len_utf8();
                if c == '"' && !escaped {
                    break;
                }
                escaped = c == '\\' && !escaped;
            }
        }
        self.at = start + end;
        Some((start, self.at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_trailing_commas_become_spaces() {
        for (text, expected) in [
            ("{\"a\": 1, // b\n}", "{\"a\": 1      \n}"),
            ("{ /* x\n y */ \"a\": [1, 2,],}", "{     \n      \"a\": [1, 2 ] }"),
            (
                "// first\n{\"u\": \"http://h/*\", \"q\": \"\\\"//\"}",
                "        \n{\"u\": \"http://h/*\", \"q\": \"\\\"//\"}",
            ),
            ("\u{feff}{\"a\":\"é\"}", "   {\"a\":\"é\"}"),
            ("{ // nothing\n}", "{           \n}"),
            ("{\"a\": 1 /* open", "{\"a\": 1        "),
            ("{\"a\": \"open // ,}", "{\"a\": \"open // ,}"),
        ] {
            assert_eq!(plain(text), expected, "{text}");
            assert_eq!(plain(text).len(), text.len(), "everything stays in its place");
        }
    }

    #[test]
    fn what_is_not_json_stays_as_it_is() {
        for text in ["servers: {a: {url: http://a // b}}", "{a: http://h/x,}", "{servers: {}}", "", "// x\na: 1", "- 1"]
        {
            assert_eq!(plain(text), text);
        }
    }
}
