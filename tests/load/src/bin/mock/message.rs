//! A client's message, as far as the mock looks at it; nothing is decoded that is not asked for.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

/// One message. Names with escapes, which no client writes, are refused.
#[derive(Deserialize)]
pub(crate) struct Message<'b> {
    /// The raw id; `None` for notifications.
    #[serde(borrow, default)]
    pub id: Option<&'b RawValue>,
    #[serde(default)]
    pub method: &'b str,
    #[serde(borrow, default)]
    pub params: Params<'b>,
}

#[derive(Deserialize, Default)]
pub(crate) struct Params<'b> {
    pub name: Option<&'b str>,
    pub cursor: Option<&'b str>,
    #[serde(rename = "protocolVersion")]
    pub version: Option<&'b str>,
    #[serde(borrow, default)]
    pub arguments: Arguments<'b>,
    #[serde(borrow, rename = "_meta", default)]
    pub meta: Meta<'b>,
}

#[derive(Deserialize, Default)]
pub(crate) struct Arguments<'b> {
    /// The raw text, quotes included.
    #[serde(borrow)]
    pub text: Option<&'b RawValue>,
    /// How long the answer's text is to be.
    pub bytes: Option<usize>,
}

#[derive(Deserialize, Default)]
pub(crate) struct Meta<'b> {
    #[serde(rename = "io.modelcontextprotocol/protocolVersion")]
    pub version: Option<&'b str>,
    #[serde(rename = "io.modelcontextprotocol/clientCapabilities")]
    pub capabilities: Option<IgnoredAny>,
}

impl<'b> Message<'b> {
    /// Reads a body; `None` for what is no message.
    pub(crate) fn read(body: &'b [u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }
}
