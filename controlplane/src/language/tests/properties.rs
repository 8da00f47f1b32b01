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

    /// The same for files of clients, whatever stands where their words are.
    #[test]
    fn any_client_s_file_is_read_or_refused_with_a_place(
        shape in prop::sample::select(vec!["mcpServers", "mcp.servers", "context_servers", "servers", "inputs"]),
        members in prop::collection::vec(
            (
                prop::sample::select(vec!["command", "args", "env", "envFile", "url", "serverUrl", "type", "timeout", "tools",
                    "disabledTools", "includeTools", "disabled", "enabled", "requestOptions", "bearer_token_env_var", "x"]),
                prop::sample::select(vec!["1", "0", "1e9", "null", "true", "\"\"", "\"x\"", "\"${env:A}\"", "\"${input:a}\"",
                    "\"${workspaceFolder}\"", "\"${x:y}\"", "[]", "[1, \"a\"]", "{}", "{\"path\": \"x\", \"headers\": {}}",
                    "{\"A\": null}", "\"sse\"", "\"http\"", "// c\n1"]),
            ),
            0..6,
        ),
        end in prop::sample::select(vec!["}}}", ",},},}", "}}} x", "}", "},\"b\": []}}"]),
    ) {
        let members: Vec<_> = members.iter().map(|(key, value)| format!("\"{key}\": {value}")).collect();
        let text = format!("{{\"{shape}\": {{\"a\": {{{}{end}", members.join(","));
        let variables = Variables::of([("A", "1")]);
        let _ = super::found(&text, &variables);
        if let Err(rejected) = load("x", text, &variables) {
            prop_assert!(rejected.to_string().starts_with("error: "));
        }
    }
}
