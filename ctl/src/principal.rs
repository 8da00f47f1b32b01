//! How people name who asks, as policies do.

/// What principals begin with, and how they go on.
const PRINCIPALS: [(&str, &str); 5] =
    [("client", ":NAME"), ("jwt", ":ISSUER:SUBJECT"), ("certificate", ":NAME"), ("local", ""), ("anonymous", "")];

/// Whether somebody can be called so; whether there is one is another question.
pub(crate) fn principal(text: &str) -> Result<String, String> {
    let is_so = |(kind, form): &(&str, &str)| match form.matches(':').count() {
        0 => text == *kind,
        parts => text
            .strip_prefix(kind)
            .and_then(|rest| rest.strip_prefix(':'))
            .is_some_and(|rest| rest.splitn(parts, ':').filter(|part| !part.is_empty()).count() == parts),
    };
    if PRINCIPALS.iter().any(is_so) {
        return Ok(text.to_owned());
    }
    let forms = PRINCIPALS.map(|(kind, form)| format!("`{kind}{form}`"));
    let kind = text.split(':').next().unwrap_or(text);
    let near = PRINCIPALS.iter().find(|(known, _)| strsim::damerau_levenshtein(known, kind) <= 2);
    Err(match near {
        Some((known, form)) => format!("did you mean `{known}{form}`?"),
        None => format!("write one of {}", forms.join(", ")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_misspelt_is_asked_about() {
        for fine in ["local", "anonymous", "client:alice", "certificate:spiffe://a/b", "jwt:corp:ann", "jwt:corp:a:b"] {
            assert_eq!(principal(fine), Ok(fine.to_owned()));
        }
        for (wrong, told) in [
            ("clinet:alice", "did you mean `client:NAME`?"),
            ("client", "did you mean `client:NAME`?"),
            ("client:", "did you mean `client:NAME`?"),
            ("jwt:ann", "did you mean `jwt:ISSUER:SUBJECT`?"),
            ("lokal", "did you mean `local`?"),
            ("local:me", "did you mean `local`?"),
        ] {
            assert_eq!(principal(wrong), Err(told.to_owned()), "{wrong}");
        }
        assert!(principal("alice").unwrap_err().contains("`client:NAME`, `jwt:ISSUER:SUBJECT`"));
    }
}
