//! Whether a URI may come from a template (RFC 6570): good enough to find the server, no full reversal of expansion.

use super::scheme;

/// Whether a URI may be an expansion of a template.
///
/// Literal parts must fit, the scheme without regard to case. An expression may be empty, and stands for anything but
/// `/` otherwise; behind `+`, `#`, `/`, `?` and `&` also for `/`. What an operator puts in front (`#`, `.`, `/`, `;`, `?`,
/// `&`) must be there unless the expression is empty. Names, modifiers and the number of variables do not matter. A brace
/// that is not closed is literal.
///
/// It says yes rather too often than too seldom: `{id}` also fits `1?x` and `..%2Fb`, which the server may understand in
/// its own way.
///
/// Takes at most as many steps as the product of both lengths, whatever the template.
#[must_use]
pub fn template_matches(template: &str, uri: &str) -> bool {
    let (mut template, mut uri) = (template, uri);
    if let Some(wanted) = scheme(template) {
        match scheme(uri) {
            Some(found) if found.eq_ignore_ascii_case(wanted) => {
                (template, uri) = (&template[wanted.len()..], &uri[found.len()..]);
            }
            _ => return false,
        }
    }
    let uri = uri.as_bytes();
    // The places in the URI that the template can have come to.
    let mut reached = vec![false; uri.len() + 1];
    reached[0] = true;
    for part in parts(template) {
        let any = match part {
            Part::Literal(text) => pass(&mut reached, uri, text.as_bytes()),
            Part::Expression(expression) => spread(&mut reached, uri, expression),
        };
        if !any {
            return false;
        }
    }
    reached[uri.len()]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part<'a> {
    Literal(&'a str),
    Expression(Expression),
}

/// What the operator of an expression says about its expansion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Expression {
    /// What comes first, unless nothing comes at all.
    first: Option<u8>,
    slashes: bool,
}

impl Expression {
    fn new(inside: &str) -> Self {
        let (first, slashes) = match inside.as_bytes().first() {
            Some(b'+') => (None, true),
            Some(&operator @ (b'#' | b'/' | b'?' | b'&')) => (Some(operator), true),
            Some(&operator @ (b'.' | b';')) => (Some(operator), false),
            _ => (None, false),
        };
        Self { first, slashes }
    }
}

fn parts(template: &str) -> impl Iterator<Item = Part<'_>> {
    let mut rest = template;
    // Braces that open behind the last one that closes are literal.
    let mut closed = template.rfind('}').map_or(0, |last| last + 1);
    std::iter::from_fn(move || {
        let before = rest.len();
        let part = match rest.strip_prefix('{').filter(|_| closed > 0).and_then(|inside| inside.split_once('}')) {
            Some((inside, behind)) => {
                rest = behind;
                Part::Expression(Expression::new(inside))
            }
            None => {
                let brace = rest[..closed].char_indices().skip(1).find(|&(_, c)| c == '{');
                let (literal, behind) = rest.split_at(brace.map_or(rest.len(), |(at, _)| at));
                rest = behind;
                Part::Literal(literal)
            }
        };
        closed = closed.saturating_sub(before - rest.len());
        (before > 0).then_some(part)
    })
}

/// Goes over a literal text from each place; whether any place is left.
fn pass(reached: &mut [bool], uri: &[u8], text: &[u8]) -> bool {
    let mut any = false;
    for start in (0..reached.len()).rev() {
        let fits = std::mem::take(&mut reached[start]) && uri[start..].starts_with(text);
        if fits {
            reached[start + text.len()] = true;
            any = true;
        }
    }
    any
}

/// Goes over an expansion of any length from each place.
fn spread(reached: &mut [bool], uri: &[u8], Expression { first, slashes }: Expression) -> bool {
    let mut any = false;
    // Within an expansion that began at some place before.
    let mut open = false;
    for (at, place) in reached.iter_mut().enumerate() {
        let from_here = *place;
        *place |= open;
        any |= *place;
        let Some(&byte) = uri.get(at) else { break };
        let begins = from_here && first.is_none_or(|first| first == byte);
        open = (open || begins) && (slashes || byte != b'/');
    }
    any
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_must_fit_and_expressions_stop_at_slashes() {
        for (template, uri) in [
            ("file:///a", "file:///a"),
            ("file:///a", "FILE:///a"),
            ("file:///{path}", "file:///a.b-c"),
            ("file:///{path}", "file:///"),
            ("file:///{+path}", "file:///a/b/c"),
            ("repo://{owner}/{name}/x", "repo://o/n/x"),
            ("a://{x}{y}", "a://b"),
            ("a://{x}-{y}", "a://b-c-d"),
            ("a://{+x}/b/{y}", "a://1/b/2/b/3"),
            ("{+uri}", "file:///a/b"),
            ("{scheme}://a", "file://a"),
            ("a://é{x}ü", "a://éüü"),
            ("a://{", "a://{"),
            ("a://}{x}", "a://}b"),
            ("", ""),
        ] {
            assert!(template_matches(template, uri), "{template} {uri}");
        }
        for (template, uri) in [
            ("file:///a", "file:///b"),
            ("file:///a", "file:///ab"),
            ("file:///a", "files:///a"),
            ("file:///A", "file:///a"),
            ("file:///{path}", "file:///a/b"),
            ("file:///{path}/x", "file:///a/b/x"),
            ("a://{x}-{y}", "a://bc"),
            ("a://{x", "a://b"),
            ("{scheme}://a", "fi/le://a"),
            ("", "a"),
            ("a:b", ""),
        ] {
            assert!(!template_matches(template, uri), "{template} {uri}");
        }
    }

    #[test]
    fn operators_put_their_character_in_front() {
        for (template, fits, fits_not) in [
            ("a:b{?q*}", &["a:b", "a:b?q=1&r=2", "a:b?q=/x/"][..], &["a:bq=1", "a:b&q=1", "a:b/"][..]),
            ("a:b?x=1{&q}", &["a:b?x=1", "a:b?x=1&q=2"], &["a:b?x=12", "a:b"]),
            ("a:b{#f}", &["a:b", "a:b#", "a:b#c/d"], &["a:bc"]),
            ("a:b{/p*}", &["a:b", "a:b/c", "a:b/c/d"], &["a:bc"]),
            ("a:b{.e}", &["a:b", "a:b.c.d"], &["a:bc", "a:b.c/d"]),
            ("a:b{;m}", &["a:b", "a:b;m=1;n=2"], &["a:bm", "a:b;m/n"]),
            ("a:{x}{?q}", &["a:", "a:b", "a:b?c", "a:?c/d"], &["a:b/c"]),
            ("a:{x:3}{=y}", &["a:bcd"], &["a:b/d"]),
        ] {
            for uri in fits {
                assert!(template_matches(template, uri), "{template} {uri}");
            }
            for uri in fits_not {
                assert!(!template_matches(template, uri), "{template} {uri}");
            }
        }
    }

    #[test]
    fn no_template_takes_long() {
        let template = format!("a:{}b", "{+x}a".repeat(1000));
        assert!(!template_matches(&template, &format!("a:{}", "a".repeat(3000))));
    }
}
