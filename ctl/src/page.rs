//! Which part of a long list is shown, newest first.

use sluice_controlplane::service::MAX_ROWS;

use crate::output::Failure;

/// How much of it, and from where.
#[derive(Debug, clap::Args)]
pub(crate) struct Page {
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,

    /// Only those before this one
    #[arg(long, value_name = "NUMBER", default_value_t = 0, hide_default_value = true)]
    pub(crate) before: u64,
}

impl Page {
    /// All of it, in as many answers as that takes: a control plane lists at most [`MAX_ROWS`] at a time. `next` asks for at most so
    /// many before a number.
    pub(crate) fn all<T>(
        &self,
        number: impl Fn(&T) -> u64,
        mut next: impl FnMut(u32, u64) -> Result<Vec<T>, Failure>,
    ) -> Result<Vec<T>, Failure> {
        let (mut all, mut before, mut left) = (Vec::new(), self.before, self.limit);
        loop {
            let asked = left.min(MAX_ROWS);
            let rows = next(asked, before)?;
            let got = u32::try_from(rows.len()).unwrap_or(u32::MAX);
            before = rows.last().map_or(0, &number);
            all.extend(rows);
            left = left.saturating_sub(got);
            // the first one has nothing before it
            if left == 0 || got < asked || before <= 1 {
                return Ok(all);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_takes_several_answers() {
        let all = |limit, before, there: u64| {
            let mut asked = Vec::new();
            let rows = Page { limit, before }.all(
                |number: &u64| *number,
                |limit, before| {
                    asked.push((limit, before));
                    let newest = if before == 0 { there } else { (before - 1).min(there) };
                    Ok((1..=newest).rev().take(limit as usize).collect())
                },
            );
            (rows.ok().unwrap().len(), asked)
        };
        assert_eq!(all(20, 0, 3), (3, vec![(20, 0)]));
        assert_eq!(all(2_500, 0, 9_999), (2_500, vec![(1_000, 0), (1_000, 9_000), (500, 8_000)]));
        assert_eq!(all(5_000, 1_501, 9_999), (1_500, vec![(1_000, 1_501), (1_000, 501)]));
        assert_eq!(all(5_000, 0, 1_000), (1_000, vec![(1_000, 0)]), "1 is the first");
    }
}
