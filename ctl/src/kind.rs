//! The kinds of objects as they are typed: `server` or `servers`, both mean the same.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use sluice_controlplane::language::Kind;

/// The words for kinds.
pub(crate) fn words() -> impl Iterator<Item = PossibleValue> {
    Kind::ALL.into_iter().map(|kind| PossibleValue::new(kind.as_str()).alias(kind.map()))
}

/// Reads a kind; shells complete the singular.
pub(crate) fn parser() -> impl TypedValueParser<Value = Kind> {
    PossibleValuesParser::new(words()).map(|word| Kind::named(&word).expect("the parser lets no other word pass"))
}
