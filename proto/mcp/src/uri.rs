//! Resource URIs of many servers on one door: `file:///a` of the server `fs` is `fs+file:///a`, and that leads back. Edits of
//! text, not of meaning: nothing is parsed, resolved or normalised.
mod readings;
mod template;

pub use readings::readings;
pub use template::template_matches;

/// The scheme of MCP Apps. Hosts look for it, so it stays in front.
const UI: &str = "ui://";

/// The token that stands for a server in its exposed URIs: its key in lower case (schemes ignore case, and clients write
/// them in lower case), every character that no scheme may hold replaced by `-`, an `x` in front where it does not begin
/// with a letter. If that is `taken`, then with `-2`, `-3` … behind it.
///
/// The outcome matches `[a-z][a-z0-9-]*`. Comes back only once `taken` has said no.
#[must_use]
pub fn uri_token(server: &str, taken: &dyn Fn(&str) -> bool) -> String {
    let mut token: String =
        server.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    if !token.starts_with(|c: char| c.is_ascii_alphabetic()) {
        token.insert(0, 'x');
    }
    if !taken(&token) {
        return token;
    }
    let stem = token.clone();
    let mut number = 2u64;
    while taken(&token) {
        token = format!("{stem}-{number}");
        number += 1;
    }
    token
}

/// The URI, or URI template (RFC 6570), under which a server's resource is seen on the merged door; `token` comes from
/// [`uri_token`].
///
/// | of the server | on the door |
/// |---|---|
/// | `file:///a` | `token+file:///a` |
/// | `ui://rest` | `ui://token/rest` |
/// | without a scheme: `/a`, `{scheme}://a` | `token+:/a`, `token+:{scheme}://a` |
#[must_use]
pub fn expose_uri(token: &str, uri: &str) -> String {
    if let Some(rest) = uri.strip_prefix(UI) {
        return format!("{UI}{token}/{rest}");
    }
    let colon = if scheme(uri).is_some() { "" } else { ":" };
    format!("{token}+{colon}{uri}")
}

/// The token, in lower case, and the server's own URI. `None` for what neither [`expose_uri`] nor the expansion of an
/// exposed template makes.
///
/// `split_uri(expose_uri(t, u))` is `(t, u)` for every text `u`. If a client has put the scheme of the exposed URI in
/// lower case meanwhile, as many URI libraries do, the server's scheme comes back in lower case; it means the same.
///
/// Not the other way round: `fs+:{scheme}://a` may expand to `fs+:file://a`, which leads to `file://a` as `fs+file://a`
/// does. Whatever is decided about a resource is decided about what comes back from here.
#[must_use]
pub fn split_uri(exposed: &str) -> Option<(String, String)> {
    if let Some((head, rest)) = exposed.split_at_checked(UI.len())
        && head.eq_ignore_ascii_case(UI)
    {
        let (token, rest) = rest.split_once('/')?;
        return is_token(token).then(|| (token.to_ascii_lowercase(), format!("{UI}{rest}")));
    }
    let (token, uri) = exposed.split_once('+')?;
    let uri = match uri.strip_prefix(':') {
        Some(without_scheme) => without_scheme,
        None if scheme(uri).is_some() => uri,
        None => return None,
    };
    is_token(token).then(|| (token.to_ascii_lowercase(), uri.to_owned()))
}

/// Whether a URI is one of MCP Apps.
pub(crate) fn is_ui(uri: &str) -> bool {
    uri.starts_with(UI)
}

/// The scheme of a URI, without its colon (RFC 3986, section 3.1).
fn scheme(uri: &str) -> Option<&str> {
    let (scheme, _) = uri.split_once(':')?;
    let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    (scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.chars().all(valid)).then_some(scheme)
}

fn is_token(token: &str) -> bool {
    token.starts_with(|c: char| c.is_ascii_alphabetic()) && token.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    const URIS: &[(&str, &str)] = &[
        ("file:///a", "fs+file:///a"),
        ("git+https://h/x?y#z", "fs+git+https://h/x?y#z"),
        ("file:///{+path}{?q*}", "fs+file:///{+path}{?q*}"),
        ("ui://app/index.html", "ui://fs/app/index.html"),
        ("ui://", "ui://fs/"),
        ("UI://app", "fs+UI://app"),
        ("ui:app", "fs+ui:app"),
        ("urn:isbn:1", "fs+urn:isbn:1"),
        ("", "fs+:"),
        ("/a/b", "fs+:/a/b"),
        ("//host/a", "fs+://host/a"),
        (":x", "fs+::x"),
        ("a+b", "fs+:a+b"),
        ("1a:b", "fs+:1a:b"),
        ("{scheme}://x", "fs+:{scheme}://x"),
        ("ключ:значение", "fs+:ключ:значение"),
    ];

    #[test]
    fn every_uri_leads_back() {
        for &(uri, exposed) in URIS {
            assert_eq!(expose_uri("fs", uri), exposed);
            assert_eq!(split_uri(exposed), Some(("fs".into(), uri.into())), "{exposed}");
        }
    }

    #[test]
    fn what_is_not_ours_is_not_split() {
        for uri in
            ["file:///a", "fs+file", "fs+", "+file:///a", "1+file:///a", "f.s+file:///a", "ui://fs", "ui:///x", ""]
        {
            assert_eq!(split_uri(uri), None, "{uri}");
        }
    }

    #[test]
    fn the_scheme_may_come_back_in_lower_case() {
        assert_eq!(split_uri("FS+FILE:///A"), Some(("fs".into(), "FILE:///A".into())));
        assert_eq!(split_uri("UI://Fs/A"), Some(("fs".into(), "ui://A".into())));
    }

    #[test]
    fn tokens_fit_a_scheme_and_are_unique() {
        assert_eq!(uri_token("My-Files", &|_| false), "my-files");
        assert_eq!(uri_token("7zip", &|_| false), "x7zip");
        assert_eq!(uri_token("-", &|_| false), "x-");
        assert_eq!(uri_token("", &|_| false), "x");
        assert_eq!(uri_token("é.b", &|_| false), "x--b");
        assert_eq!(uri_token("a", &|token| ["a", "a-2"].contains(&token)), "a-3");
    }
}
