//! The long form of a test: what its title promises in full, for minutes instead of seconds.

/// Names the wish for the long form, whatever it says.
pub const VARIABLE: &str = "SLUICE_LONG";

/// The long form where it is wanted, else the short one.
pub fn form<T>(short: T, long: T) -> T {
    if std::env::var_os(VARIABLE).is_some() { long } else { short }
}
