//! Times and spans as people read and write them. Programs get ISO 8601.

use std::time::Duration;

use jiff::Timestamp;

/// A time as programs read it: ISO 8601, UTC, whole seconds; `None` for 0, which is no time.
pub(crate) fn iso(ms: u64) -> Option<String> {
    let second = i64::try_from(ms / 1000).ok().filter(|_| ms != 0)?;
    Timestamp::from_second(second).ok().map(|time| time.to_string())
}

/// Now, in milliseconds since 1970.
pub(crate) fn now() -> u64 {
    u64::try_from(Timestamp::now().as_millisecond()).unwrap_or_default()
}

/// Time that goes by between saying when something ends and showing it.
const SLACK: Duration = Duration::from_secs(5);

/// A time as people read it: how far it is from now, and the time itself where that is far.
pub(crate) fn relative(ms: u64, now: u64) -> String {
    if ms == 0 {
        return String::new();
    }
    let span = Duration::from_millis(ms.abs_diff(now));
    // What was just made to end in ten minutes ends in ten, not in nine.
    let told = if ms > now { span + SLACK } else { span };
    match (rough(told), ms > now) {
        (None, _) => iso(ms).map(|time| time[..10].to_owned()).unwrap_or_default(),
        // The clocks of two machines differ a little.
        (Some(_), _) if span < Duration::from_secs(2) => "now".to_owned(),
        (Some(rough), true) => format!("in {rough}"),
        (Some(rough), false) => format!("{rough} ago"),
    }
}

/// A span in its largest unit; `None` where a date says more.
fn rough(span: Duration) -> Option<String> {
    let seconds = span.as_secs();
    Some(match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..172_800 => format!("{} h", seconds / 3600),
        172_800..5_184_000 => format!("{} days", seconds / 86_400),
        _ => return None,
    })
}

/// Reads a span such as `90d`, `12h`, `30m` or `45s`.
pub(crate) fn span(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no span of time; write it as in 90d, 12h, 30m or 45s");
    let unit = text.chars().last().filter(char::is_ascii_alphabetic).ok_or_else(wrong)?;
    let count: u64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    count.checked_mul(seconds).filter(|seconds| *seconds > 0).map(Duration::from_secs).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_by_their_distance() {
        let now = 1_800_000_000_000;
        let before = |seconds: u64| relative(now - seconds * 1000, now);
        assert_eq!(
            [before(0), before(5), before(200), before(7200), before(3 * 86_400), before(90 * 86_400)],
            ["now", "5 s ago", "3 min ago", "2 h ago", "3 days ago", "2026-10-17"]
        );
        assert_eq!(relative(now + 3_599_000, now), "in 1 h");
        assert_eq!(relative(0, now), "");
        assert_eq!(iso(now).as_deref(), Some("2027-01-15T08:00:00Z"));
        assert_eq!(iso(0), None);
    }

    #[test]
    fn spans_are_read_with_their_unit() {
        assert_eq!(span("90d"), Ok(Duration::from_secs(90 * 86_400)));
        assert_eq!(span("10m"), Ok(Duration::from_secs(600)));
        for wrong in ["", "10", "d", "-1d", "0s", "1 w", "1ä", "99999999999999999999d"] {
            assert!(span(wrong).is_err(), "{wrong}");
        }
    }
}
