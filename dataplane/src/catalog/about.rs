//! What a server says of itself.

use serde_json::Value;
use sluice_mcp::decode_string;
use sluice_mcp::path::member;

/// What a server said of itself when it was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct About {
    /// Its `capabilities`, an object.
    pub capabilities: Value,
    pub instructions: Option<String>,
    /// It was said to those only who asked (`cacheScope`).
    pub private: bool,
    /// It was said to a modern client: whether the server takes `initialize` as well, it does not say.
    pub modern: bool,
}

impl About {
    /// From the raw result of `server/discover`.
    pub(crate) fn discovered(result: &[u8]) -> Self {
        let scope = member(result, "cacheScope").ok().flatten().map(|scope| scope.of(result));
        let private = scope.is_some_and(|scope| decode_string(scope) != "public");
        Self { private, modern: true, ..Self::of(result) }
    }

    /// From the raw result of `initialize`, which knows no such scope.
    pub(crate) fn of(result: &[u8]) -> Self {
        let mut value: Value = serde_json::from_slice(result).unwrap_or_default();
        let instructions = value["instructions"].as_str().filter(|text| !text.trim().is_empty()).map(str::to_owned);
        let capabilities = value.get_mut("capabilities").filter(|c| c.is_object()).map(Value::take);
        let capabilities = capabilities.unwrap_or_else(|| Value::Object(Default::default()));
        Self { capabilities, instructions, private: false, modern: false }
    }
}
