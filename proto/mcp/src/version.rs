//! Revisions of the protocol, the two eras they fall into, and what each revision has. Nothing outside asks for dates.

use crate::{scan::cursor::Cursor, text};

/// How a conversation is held (specification, *Versioning*).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Era {
    /// 2024-11-05 … 2025-11-25: `initialize`, sessions, requests from server to client.
    Legacy,
    /// From 2026-07-28: stateless, every request carries its metadata.
    Modern,
}

/// A revision this crate knows. Ordered by date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version(u8);

const NAMES: [&str; 5] = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28"];

/// Revisions of the modern era, oldest first.
pub const MODERN: &[Version] = &[Version::V2026_07_28];
/// Revisions of the legacy era, oldest first.
pub const LEGACY: &[Version] =
    &[Version::V2024_11_05, Version::V2025_03_26, Version::V2025_06_18, Version::V2025_11_25];

impl Version {
    /// The first revision, with the HTTP+SSE transport.
    pub const V2024_11_05: Version = Version(0);
    /// Streamable HTTP, batches.
    pub const V2025_03_26: Version = Version(1);
    /// The version header, elicitation, structured content.
    pub const V2025_06_18: Version = Version(2);
    /// Tasks, URL elicitation.
    pub const V2025_11_25: Version = Version(3);
    /// The first modern revision.
    pub const V2026_07_28: Version = Version(4);

    /// The known revision of this decoded text; `None` for any other.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Version> {
        NAMES.iter().position(|name| name.as_bytes() == text).map(|at| Version(at as u8))
    }

    /// The date that names the revision.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        NAMES[usize::from(self.0)]
    }

    /// The era of the revision.
    #[must_use]
    pub fn era(self) -> Era {
        if self >= Version::V2026_07_28 { Era::Modern } else { Era::Legacy }
    }

    /// Whether the revision has a feature.
    #[must_use]
    pub fn has(self, feature: Feature) -> bool {
        let (first, last) = feature.lifetime();
        first <= self && self <= last
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The era of any well-formed date, known or not; `None` if the text is not `YYYY-MM-DD`.
#[must_use]
pub fn era_of(text: &[u8]) -> Option<Era> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = *text else { return None };
    let digits = [y1, y2, y3, y4, m1, m2, d1, d2];
    let (month, day) = ([m1, m2], [d1, d2]);
    let well_formed =
        digits.iter().all(u8::is_ascii_digit) && (*b"01"..=*b"12").contains(&month) && (*b"01"..=*b"31").contains(&day);
    let modern = text >= Version::V2026_07_28.as_str().as_bytes();
    well_formed.then_some(if modern { Era::Modern } else { Era::Legacy })
}

/// The strings of a raw JSON array, decoded: `supportedVersions` of a discovery, `supported` of an error. Entries
/// that are not strings are left out; anything that is not an array gives nothing.
#[must_use]
pub fn protocol_versions(raw_array: &[u8]) -> Vec<String> {
    let mut cursor = Cursor::new(raw_array, 127);
    let mut versions = Vec::new();
    let _ = cursor.elements(|cursor| {
        let span = cursor.skip()?;
        if raw_array[span.start as usize] == b'"' {
            versions.push(text::decode_string(span.of(raw_array)).into_owned());
        }
        Ok(())
    });
    versions
}

/// What a revision may have. Ask [`Version::has`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Feature {
    /// The transport with a GET stream and a separate POST endpoint.
    HttpSse,
    /// Arrays of messages in one body.
    Batching,
    /// The `MCP-Protocol-Version` header after initialization.
    VersionHeader,
    /// The `initialize` handshake.
    Initialize,
    /// `Mcp-Session-Id`, and HTTP DELETE to end a session. Clients of 2024-11-05 over streamable HTTP use it, too.
    Sessions,
    /// Requests from server to client: sampling, roots, elicitation, ping.
    ServerRequests,
    /// A standalone stream opened with HTTP GET.
    GetStream,
    /// Event ids and `Last-Event-ID`.
    Resumption,
    /// An opening event without data that only carries an id, and servers that close streams to be polled.
    StreamPolling,
    /// `ping`.
    Ping,
    /// `logging/setLevel`.
    SetLevel,
    /// `resources/subscribe` and `resources/unsubscribe`.
    ResourceSubscribe,
    /// Error `-32002` for an unknown resource.
    LegacyNotFound,
    /// Elicitation, form mode.
    Elicitation,
    /// Elicitation by URL.
    UrlElicitation,
    /// Error `-32042` and `notifications/elicitation/complete`.
    UrlElicitationError,
    /// `structuredContent` and output schemas.
    StructuredContent,
    /// Resource links in tool results.
    ResourceLinks,
    /// Audio content.
    Audio,
    /// `message` in progress notifications.
    ProgressMessage,
    /// The `completions` capability.
    CompletionsCapability,
    /// Tasks in the core protocol: `tasks/result`, `tasks/list`, `params.task`.
    Tasks,
    /// Tasks as an extension: `tasks/update`, `resultType: task`.
    TasksExtension,
    /// Tools in sampling requests.
    SamplingTools,
    /// `input_required` results and their retries (multi round-trip requests).
    InputRequired,
    /// `subscriptions/listen`.
    Listen,
    /// `server/discover`.
    Discover,
    /// Version, capabilities, client and log level in each request's `_meta`.
    RequestMeta,
    /// `Mcp-Method`, `Mcp-Name`, `Mcp-Param-*`.
    MirroredHeaders,
    /// `resultType` in every result.
    ResultType,
    /// `ttlMs` and `cacheScope`.
    CacheHints,
    /// Any JSON value as `structuredContent`, any JSON Schema 2020-12 keyword in schemas.
    AnyStructuredContent,
    /// Extensions among the capabilities.
    Extensions,
}

impl Feature {
    /// First and last revision that have the feature.
    fn lifetime(self) -> (Version, Version) {
        use Feature as F;
        const A: Version = Version::V2024_11_05;
        const B: Version = Version::V2025_03_26;
        const C: Version = Version::V2025_06_18;
        const D: Version = Version::V2025_11_25;
        const E: Version = Version::V2026_07_28;
        match self {
            F::HttpSse => (A, A),
            F::Batching => (B, B),
            F::Initialize | F::Sessions | F::ServerRequests | F::GetStream | F::Resumption => (A, D),
            F::Ping | F::SetLevel | F::ResourceSubscribe | F::LegacyNotFound => (A, D),
            F::Audio | F::ProgressMessage | F::CompletionsCapability => (B, E),
            F::VersionHeader | F::Elicitation | F::StructuredContent | F::ResourceLinks => (C, E),
            F::StreamPolling | F::UrlElicitationError | F::Tasks => (D, D),
            F::UrlElicitation | F::SamplingTools => (D, E),
            F::TasksExtension | F::InputRequired | F::Listen | F::Discover | F::RequestMeta => (E, E),
            F::MirroredHeaders | F::ResultType | F::CacheHints => (E, E),
            F::AnyStructuredContent | F::Extensions => (E, E),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eras_meet_at_the_first_modern_revision() {
        assert!(LEGACY.iter().all(|v| v.era() == Era::Legacy) && MODERN.iter().all(|v| v.era() == Era::Modern));
        assert_eq!(LEGACY.len() + MODERN.len(), NAMES.len());
        assert_eq!(era_of(b"2026-07-27"), Some(Era::Legacy));
        assert_eq!(era_of(b"2026-07-28"), Some(Era::Modern));
        assert_eq!(era_of(b"2031-12-31"), Some(Era::Modern));
        for odd in ["", "2026-07-28 ", "2026-7-28", "draft", "2026-13-01", "2026-00-10", "2026-07-32", "2026-07-2x"] {
            assert_eq!(era_of(odd.as_bytes()), None, "{odd}");
        }
    }

    #[test]
    fn batches_belong_to_one_revision_only() {
        let having: Vec<_> = NAMES.iter().filter_map(|n| Version::parse(n.as_bytes())).collect();
        let batching: Vec<_> = having.iter().filter(|v| v.has(Feature::Batching)).collect();
        assert_eq!(batching, [&Version::V2025_03_26]);
        assert!(!Version::V2025_03_26.has(Feature::VersionHeader) && Version::V2026_07_28.has(Feature::VersionHeader));
    }

    #[test]
    fn supported_versions_are_decoded() {
        assert_eq!(protocol_versions(br#" ["2026-07-28", 7, "2025\u002d11-25"]"#), ["2026-07-28", "2025-11-25"]);
        assert!(protocol_versions(b"{}").is_empty() && protocol_versions(b"[\"x").is_empty());
    }
}
