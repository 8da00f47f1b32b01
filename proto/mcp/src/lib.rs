//! The Model Context Protocol itself, pure: bytes in, facts and edits out; no sockets, no clock.
//!
//! One message's life: [`scan()`] says what it is and where its parts lie, [`header::check`] compares it with the
//! headers that mirror it, [`splice()`] changes the few parts that must change, and everything else travels as it came.

pub mod canonical;
pub mod completion;
pub mod curate;
pub mod error;
pub mod handles;
pub mod header;
pub mod list;
pub mod message;
pub mod method;
pub mod names;
pub mod path;
pub mod scan;
pub mod span;
pub mod splice;
pub mod sse;
pub mod text;
pub mod trace;
pub mod uri;
pub mod version;

pub use canonical::canonical_digest_input;
pub use completion::{name_in_ref, uris_in_ref};
pub use curate::{ArgumentError, ItemEdit, edit_arguments, edit_item};
pub use error::{code, error_body, is_modern_error, is_modern_refusal};
pub use handles::{HandleError, HandleFilter, HandleKind, handles, handles_and_links, handles_read};
pub use header::{HeaderError, Mirror, ParamHeader, ParamKind};
pub use list::{ListError, ListItem, ListPage, list_page};
pub use message::{Kind, Message, Params, ResultFields};
pub use method::{Method, Mirrored};
pub use names::{EXPOSED_NAME_CHARS, exposed_name, split_server};
pub use scan::{Reason, ScanError, ScanLimits, batch, glance, glance_into, scan, scan_into};
pub use span::Span;
pub use splice::{Chunks, Edit, join, splice, without_newlines};
pub use sse::{Event, SseDecoder, SseError, encode_event};
pub use text::{decode_string, encode_string};
pub use trace::{MetaContext, TraceContext};
pub use uri::{expose_uri, readings, split_uri, template_matches, uri_token};
pub use version::{Era, Feature, Version, era_of, protocol_versions};
