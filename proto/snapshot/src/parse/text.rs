//! The kinds of text that occur in several parts of a snapshot.

use super::Faults;

/// Longest name of a gateway or client: they are shown in logs and tables.
const MAX_LABEL: usize = 64;

/// A name people read: 1 to 64 characters, none of them invisible.
pub(super) fn label(value: &str, path: &str, faults: &mut Faults) -> Option<String> {
    if value.trim().is_empty() {
        return faults.note(path, "is empty");
    }
    if value.chars().count() > MAX_LABEL {
        return faults.note(path, format!("is longer than {MAX_LABEL} characters"));
    }
    if value.chars().any(char::is_control) {
        return faults.note(path, "contains a control character");
    }
    Some(value.to_owned())
}

/// Text handed to the operating system, which ends strings at a NUL.
pub(super) fn without_nul(value: &str, path: impl Into<String>, faults: &mut Faults) -> Option<String> {
    if value.contains('\0') {
        return faults.note(path, "contains a NUL character");
    }
    Some(value.to_owned())
}

/// A path that must be said.
pub(super) fn file(value: &str, path: impl Into<String>, faults: &mut Faults) -> Option<std::path::PathBuf> {
    let path = path.into();
    if value.is_empty() {
        return faults.note(path, "is empty; give the path of a file");
    }
    without_nul(value, path, faults).map(Into::into)
}

/// A DNS name or address literal without port, folded to lower case; an IPv6 address gets its brackets.
pub(super) fn host(value: &str) -> Result<String, &'static str> {
    let bare = value.strip_prefix('[').and_then(|v| v.strip_suffix(']')).unwrap_or(value);
    if let Ok(address) = bare.parse::<std::net::Ipv6Addr>() {
        return Ok(format!("[{address}]"));
    }
    if value.is_empty() {
        return Err("is empty");
    }
    if value.contains("://") || value.contains('/') {
        return Err("is not a host name; leave out the scheme and the path");
    }
    if value.contains(':') {
        return Err("has a port; host names are compared without it, so leave it out");
    }
    if value == "*" || value.contains('*') {
        return Err("has a `*`; name each host");
    }
    if !value.is_ascii() {
        return Err("is not ASCII; write international names in their `xn--` form");
    }
    let well_formed = |label: &str| {
        !label.is_empty() && label.len() <= 63 && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    };
    if value.len() > 253 || !value.strip_suffix('.').unwrap_or(value).split('.').all(well_formed) {
        return Err("is not a host name");
    }
    Ok(value.to_ascii_lowercase())
}
