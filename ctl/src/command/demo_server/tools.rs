//! The tools that answer at once, without talking to the client.

use rmcp::{
    Json,
    handler::server::wrapper::Parameters,
    model::{CallToolResult, ContentBlock},
    schemars::{self, JsonSchema, Schema, transform::RecursiveTransform},
    tool, tool_router,
};
use serde::{Deserialize, Serialize};
use serde_json::Number;

use super::{connection::Connection, resources};

/// The arguments of `echo`.
#[derive(Deserialize, JsonSchema)]
struct Echo {
    /// What to send back
    text: String,
}

/// The arguments of `add`.
#[derive(Deserialize, JsonSchema)]
struct Add {
    /// The first number
    a: Number,
    /// The second number
    b: Number,
}

/// The result of `add`.
#[derive(Serialize, JsonSchema)]
struct Sum {
    /// a + b
    sum: Number,
}

/// The result of `bump`.
#[derive(Serialize, JsonSchema)]
#[schemars(transform = RecursiveTransform(without_format))]
struct Bumped {
    /// The counter after this call
    value: u64,
}

#[tool_router(router = plain_tools, vis = "pub(super)")]
impl Connection {
    #[tool(
        title = "Echo",
        description = "Sends your text back unchanged. The quickest way to see that a call arrives.",
        annotations(read_only_hint = true, open_world_hint = false)
    )]
    fn echo(&self, Parameters(Echo { text }): Parameters<Echo>) -> String {
        text
    }

    #[tool(
        title = "Add two numbers",
        description = "Adds two numbers. Returns structured content that matches the tool's output schema, and the same as text.",
        annotations(read_only_hint = true, open_world_hint = false)
    )]
    fn add(&self, Parameters(Add { a, b }): Parameters<Add>) -> Result<Json<Sum>, String> {
        let sum = sum(&a, &b).ok_or_else(|| format!("{a} + {b} is too large for a number"))?;
        Ok(Json(Sum { sum }))
    }

    #[tool(
        title = "Picture",
        description = "Returns a small PNG picture as image content, with a line of text beside it.",
        annotations(read_only_hint = true, open_world_hint = false)
    )]
    fn image(&self) -> CallToolResult {
        CallToolResult::success(vec![
            ContentBlock::text("A sluice: a gate, lifted, with water below."),
            ContentBlock::image(resources::logo(), "image/png"),
        ])
    }

    #[tool(
        title = "Bump the counter",
        description = "Adds one to the resource demo://counter and tells everyone subscribed to it.",
        annotations(
            read_only_hint = false,
            destructive_hint = false,
            idempotent_hint = false,
            open_world_hint = false
        )
    )]
    fn bump(&self) -> Json<Bumped> {
        let value = self.demo.counter.bump();
        Json(Bumped { value })
    }
}

/// Drops the widths of Rust's numbers from a schema: they mean nothing to a client, and validators warn of them.
pub(super) fn without_format(schema: &mut Schema) {
    schema.remove("format");
}

/// a + b: exact for integers that fit, otherwise as floating point; none if that is not finite.
fn sum(a: &Number, b: &Number) -> Option<Number> {
    let exact = a.as_i64().zip(b.as_i64()).and_then(|(a, b)| a.checked_add(b));
    match exact {
        Some(sum) => Some(sum.into()),
        None => Number::from_f64(a.as_f64()? + b.as_f64()?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Number {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn integers_add_exactly_and_fractions_as_floats() {
        assert_eq!(sum(&number("2"), &number("3")).unwrap().to_string(), "5");
        assert_eq!(sum(&number("0.5"), &number("1")).unwrap().to_string(), "1.5");
        let max = number(&i64::MAX.to_string());
        assert!(sum(&max, &number("1")).unwrap().is_f64());
        assert_eq!(sum(&number("1e308"), &number("1e308")), None);
    }
}
