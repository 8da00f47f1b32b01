//! What holds for any text.

use proptest::prelude::*;

use super::{Variables, load};

proptest! {
    /// Whatever is written: no panic, and every fault can be shown.
    #[test]
    fn any_text_is_read_or_refused_with_a_place(text in "(?s).{0,200}") {
        if let Err(rejected) = load("x", text, &Variables::of([])) {
            prop_assert!(!rejected.faults.is_empty());
            prop_assert!(rejected.to_string().starts_with("error: "));
        }
    }

    /// The same for text that is nearly right, where more of the way is walked.
    #[test]
    fn any_nearly_right_text_is_read_or_refused_with_a_place(
        words in prop::collection::vec(
            prop::sample::select(vec!["servers", "proxy", "a", "url", "env", "auth", "type", "tools", "edit", "forced", "allow", "endpoints", "disabled", "mcpServers", "inputs", "${A}", "${", "}", "{", "[", "]",
                ": ", ",", "\n", "  ", "- ", "\"", "'", "1", "é", "\t", "&a ", "*a", "<<", "#", "~", "|", ">", "true"]),
            0..40,
        ),
    ) {
        if let Err(rejected) = load("x", words.concat(), &Variables::of([("A", "1")])) {
            prop_assert!(rejected.to_string().starts_with("error: "));
        }
    }
}
