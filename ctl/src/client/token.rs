//! What is shown to be let in, and to whom.

use sluice_contract::FINGERPRINT_MARK;
use sluice_snapshot::chunk::Name;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::{Request, Status};

use crate::output::Failure;

/// A token, as a header.
#[derive(Clone)]
pub(crate) struct Token {
    header: MetadataValue<Ascii>,
    /// The authority it is for.
    authority: Option<Name>,
}

impl Token {
    /// Reads a token; `from` is where it is from, for people.
    pub(super) fn parse(text: &str, from: &str) -> Result<Self, Failure> {
        let bad = || Failure::input(format_args!("what is in {from} is no token"));
        let text = text.trim();
        if text.is_empty() || text.contains(char::is_whitespace) {
            return Err(bad());
        }
        let authority = match text.split_once(FINGERPRINT_MARK) {
            Some((_, fingerprint)) => Some(Name::from_hex(fingerprint).ok_or_else(bad)?),
            None => None,
        };
        let mut header: MetadataValue<Ascii> = format!("Bearer {text}").parse().map_err(|_| bad())?;
        header.set_sensitive(true);
        Ok(Self { header, authority })
    }

    /// The fingerprint of the authority it is for.
    pub(super) fn authority(&self) -> Option<Name> {
        self.authority
    }
}

impl Interceptor for Token {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.header.clone());
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_may_say_whom_it_is_for() {
        let name = Name::of(b"an authority");
        let read = |text: &str| Token::parse(text, "here").map(|token| token.authority()).ok();
        assert_eq!(read("sluice_person_abc\n"), Some(None));
        assert_eq!(read(&format!("sluice_person_abc.{name:?}\n")), Some(Some(name)));
        for bad in ["", "two words", "sluice_person_abc.", "sluice_person_abc.00"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
