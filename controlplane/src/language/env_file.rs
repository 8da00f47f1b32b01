//! Files of environment variables: `NAME=value`, one a line. Values are taken as they are, without expansion; quotes
//! around one are taken off, and `#` begins a comment at the start of a line or after white space.

/// Longest file read, 1 MiB: far above what fits into the environment of a process.
pub(crate) const MAX: u64 = 1 << 20;

/// A line that is not of that form, from 1.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadLine(pub(crate) usize);

/// Reads the text of such a file.
pub(crate) fn parse(text: &str) -> Result<Vec<(String, String)>, BadLine> {
    let mut variables = Vec::new();
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line);
        let (name, value) = line.split_once('=').ok_or(BadLine(index + 1))?;
        let name = name.trim();
        if name.is_empty() || name.contains([' ', '\t', '\0']) {
            return Err(BadLine(index + 1));
        }
        variables.push((name.to_owned(), value_of(value.trim()).ok_or(BadLine(index + 1))?));
    }
    Ok(variables)
}

fn value_of(written: &str) -> Option<String> {
    let Some(quote) = written.chars().next().filter(|c| matches!(c, '"' | '\'')) else {
        let comment =
            written.char_indices().find(|(at, c)| *c == '#' && (*at == 0 || written[..*at].ends_with([' ', '\t'])));
        return Some(comment.map_or(written, |(at, _)| written[..at].trim_end()).to_owned());
    };
    let mut value = String::new();
    let mut rest = written[1..].chars();
    loop {
        match rest.next()? {
            c if c == quote => break,
            '\\' if quote == '"' => match rest.next()? {
                'n' => value.push('\n'),
                'r' => value.push('\r'),
                't' => value.push('\t'),
                c @ ('"' | '\\' | '$') => value.push(c),
                c => value.extend(['\\', c]),
            },
            c => value.push(c),
        }
    }
    let rest = rest.as_str().trim_start();
    (rest.is_empty() || rest.starts_with('#')).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_what_is_written() {
        let text = "\u{feff}# comment\n\nA=1\n export B = two words # comment\nC=\"q\\\"\\n # x\" # y\nD='a\\n'\nE=\nF=a#b\r\n\
                    G=${A}\nH==\nI=#\n";
        let expected = [
            ("A", "1"),
            ("B", "two words"),
            ("C", "q\"\n # x"),
            ("D", "a\\n"),
            ("E", ""),
            ("F", "a#b"),
            ("G", "${A}"),
            ("H", "="),
            ("I", ""),
        ];
        let read = parse(text).unwrap();
        assert_eq!(read.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn what_is_no_variable_is_told_by_its_line() {
        for (text, line) in [("A=1\nB\n", 2), ("=1", 1), ("A B=1", 1), ("\n\nA=\"x", 3), ("A='x' y", 1)] {
            assert_eq!(parse(text), Err(BadLine(line)), "{text}");
        }
    }
}
