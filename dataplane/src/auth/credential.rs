//! What a request presents to say who makes it.

use sluice_http1::Fields;

use crate::reason::Reason;

/// The credential in the header fields: `Authorization: Bearer KEY` (RFC 6750 section 2.1) or `X-API-Key: KEY`, once. A scheme
/// that is not ours is somebody else's business, and none.
///
/// # Errors
/// [`Reason::ManyCredentials`]: a request speaks for one.
pub(super) fn presented(headers: &Fields) -> Result<Option<&[u8]>, Reason> {
    let mut authorization = headers.all("authorization");
    let mut plain = headers.all("x-api-key");
    let given = match (authorization.next(), plain.next()) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => return Err(Reason::ManyCredentials),
        (Some(value), None) => value.split_at_checked(7).filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"bearer ")),
        (None, Some(value)) => Some((&b""[..], value)),
    };
    if authorization.next().is_some() || plain.next().is_some() {
        return Err(Reason::ManyCredentials);
    }
    Ok(given.map(|(_, value)| value.trim_ascii()).filter(|value| !value.is_empty()))
}

/// Whether it has the form of a JWT in compact serialisation: three parts, the first of which begins a JSON object.
pub(super) fn is_token(credential: &[u8]) -> bool {
    credential.starts_with(b"ey") && memchr::memchr_iter(b'.', credential).count() == 2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::default();
        pairs.iter().for_each(|(name, value)| fields.push(name.as_bytes(), value.as_bytes()).unwrap());
        fields
    }

    #[test]
    fn a_credential_is_given_once_in_one_place() {
        for pair in [("authorization", "Bearer k1"), ("authorization", "bEARER  k1"), ("x-api-key", "k1")] {
            assert_eq!(presented(&fields(&[pair])), Ok(Some(&b"k1"[..])), "{pair:?}");
        }
        for none in [&[][..], &[("authorization", "Basic k1")], &[("authorization", "Bearer ")], &[("x-api-key", "")]] {
            assert_eq!(presented(&fields(none)), Ok(None), "{none:?}");
        }
        for many in [
            [("authorization", "Bearer k1"), ("authorization", "Bearer k1")],
            [("authorization", "Bearer k1"), ("x-api-key", "k1")],
            [("authorization", "Basic k1"), ("x-api-key", "k1")],
        ] {
            assert_eq!(presented(&fields(&many)), Err(Reason::ManyCredentials), "{many:?}");
        }
    }
}
