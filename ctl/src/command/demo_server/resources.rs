//! The resources: their addresses, what they hold, and the completion of the one template.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rmcp::{
    ErrorData,
    model::{ArgumentInfo, Resource, ResourceContents, ResourceTemplate},
};
use serde_json::json;

use super::{
    counter::{self, Counter},
    notes,
};

const GREETING: &str = "demo://greeting";
const LOGO: &str = "demo://logo";
const NOTE: &str = "demo://note/";
const NOTE_TEMPLATE: &str = "demo://note/{name}";
const TEXT: &str = "text/plain";
const PNG: &str = "image/png";
const LOGO_BYTES: &[u8] = include_bytes!("logo.png");

/// A resource this server has.
enum Address<'a> {
    Greeting,
    Logo,
    Counter,
    Note(&'a str),
}

impl<'a> Address<'a> {
    fn parse(uri: &'a str) -> Result<Self, ErrorData> {
        match uri {
            GREETING => Ok(Self::Greeting),
            LOGO => Ok(Self::Logo),
            counter::URI => Ok(Self::Counter),
            _ => match uri.strip_prefix(NOTE) {
                Some(name) if !name.is_empty() && !name.contains('/') => Ok(Self::Note(name)),
                _ => {
                    let message = format!("no resource `{uri}`; resources/list names those there are");
                    Err(ErrorData::resource_not_found(message, Some(json!({ "uri": uri }))))
                }
            },
        }
    }
}

/// Fails with "not found" if there is no such resource.
pub(super) fn check(uri: &str) -> Result<(), ErrorData> {
    Address::parse(uri).map(drop)
}

/// The resources with a fixed address.
pub(super) fn list() -> Vec<Resource> {
    vec![
        Resource::new(GREETING, "greeting")
            .with_title("Greeting")
            .with_description("A line of text.")
            .with_mime_type(TEXT),
        Resource::new(LOGO, "logo")
            .with_title("Logo")
            .with_description("A small PNG picture, to see binary content arrive whole.")
            .with_mime_type(PNG)
            .with_size(LOGO_BYTES.len() as u64),
        Resource::new(counter::URI, "counter")
            .with_title("Counter")
            .with_description("A number that grows whenever someone calls the tool `bump`. Subscribe to hear of it.")
            .with_mime_type(TEXT),
    ]
}

/// The resources whose address is filled in by the client.
pub(super) fn templates() -> Vec<ResourceTemplate> {
    vec![
        ResourceTemplate::new(NOTE_TEMPLATE, "note")
            .with_title("Note")
            .with_description("A short text by name. Completion knows the names of the written ones.")
            .with_mime_type(TEXT),
    ]
}

/// What the resource at `uri` holds now.
pub(super) fn read(uri: &str, counter: &Counter) -> Result<ResourceContents, ErrorData> {
    let text = match Address::parse(uri)? {
        Address::Logo => return Ok(ResourceContents::blob(logo(), uri).with_mime_type(PNG)),
        Address::Greeting => "Hello from Sluice's demo server.".to_owned(),
        Address::Counter => counter.value().to_string(),
        Address::Note(name) => notes::text(name),
    };
    Ok(ResourceContents::text(text, uri).with_mime_type(TEXT))
}

/// The logo as base64.
pub(super) fn logo() -> String {
    STANDARD.encode(LOGO_BYTES)
}

/// Values for an argument of the template at `uri`.
pub(super) fn complete(uri: &str, argument: &ArgumentInfo) -> Vec<String> {
    match (uri, argument.name.as_str()) {
        (NOTE_TEMPLATE, "name") => notes::names(&argument.value),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listed_resource_can_be_read() {
        for resource in list() {
            let contents = read(&resource.uri, &Counter::default()).unwrap();
            let mime = match contents {
                ResourceContents::TextResourceContents { mime_type, .. }
                | ResourceContents::BlobResourceContents { mime_type, .. } => mime_type,
                _ => None,
            };
            assert_eq!(mime, resource.mime_type);
        }
    }

    #[test]
    fn an_address_outside_the_template_is_not_found() {
        for uri in ["demo://note/", "demo://note/a/b", "demo://nothing", "file:///etc/passwd"] {
            assert!(check(uri).is_err(), "{uri}");
        }
        assert!(check("demo://note/anything").is_ok());
    }
}
