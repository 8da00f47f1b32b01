//! What is said on stdin, a line each.

use std::str::FromStr;
use std::time::Duration;

/// How requests follow each other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Load {
    pub until: Until,
    /// Requests per second; `None`: each connection asks again when it was answered.
    pub rate: Option<f64>,
}

/// When no more requests begin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Until {
    Passed(Duration),
    Sent(u64),
}

/// A line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Command {
    Run(Load),
    /// Are all streams still open?
    Streams,
}

impl FromStr for Command {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let seconds = |word: &str| Duration::try_from_secs_f64(word.parse().ok()?).ok();
        let words: Vec<&str> = line.split_whitespace().collect();
        let command = match words[..] {
            ["streams"] => Some(Self::Streams),
            ["run", time] => seconds(time).map(|time| Self::Run(Load { until: Until::Passed(time), rate: None })),
            ["requests", count] => {
                count.parse().ok().map(|count| Self::Run(Load { until: Until::Sent(count), rate: None }))
            }
            ["rate", rate, time] => seconds(time)
                .zip(rate.parse().ok().filter(|rate| *rate > 0.0))
                .map(|(time, rate)| Self::Run(Load { until: Until::Passed(time), rate: Some(rate) })),
            _ => None,
        };
        command.ok_or_else(|| format!("cannot do {line:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_say_when_to_end() {
        let until = Until::Passed(Duration::from_millis(1500));
        assert_eq!("run 1.5".parse(), Ok(Command::Run(Load { until, rate: None })));
        assert_eq!("rate 2000 1.5".parse(), Ok(Command::Run(Load { until, rate: Some(2000.0) })));
        assert_eq!("requests 7".parse(), Ok(Command::Run(Load { until: Until::Sent(7), rate: None })));
        assert!("run".parse::<Command>().is_err() && "rate 0 1".parse::<Command>().is_err());
    }
}
