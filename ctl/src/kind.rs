//! The kinds of objects as they are typed: `server` or `servers`, both mean the same.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use sluice_controlplane::language::Kind;

/// Reads a kind; shells complete the singular.
pub(crate) fn parser() -> impl TypedValueParser<Value = Kind> {
    let words = Kind::ALL.map(|kind| PossibleValue::new(kind.as_str()).alias(kind.map()));
    PossibleValuesParser::new(words).map(|word| Kind::named(&word).expect("the parser lets no other word pass"))
}
