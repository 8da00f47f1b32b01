//! Latencies, counted in buckets that grow with them: each is 1/128 wide of what it holds.

const SUB: u32 = 7;
const BUCKETS: usize = (64 - SUB as usize + 1) << SUB;

/// Counts of nanoseconds.
pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Self { counts: vec![0; BUCKETS], total: 0 }
    }

    pub(crate) fn record(&mut self, nanos: u64) {
        self.counts[bucket(nanos)] += 1;
        self.total += 1;
    }

    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// The time within which this share of all were, to 1 %: the middle of its bucket.
    pub(crate) fn quantile(&self, share: f64) -> u64 {
        let wanted = ((self.total as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return middle(bucket);
            }
        }
        0
    }
}

/// The first 256 are exact; from there on each doubling has 128.
fn bucket(nanos: u64) -> usize {
    let shift = (64 - SUB - 1).saturating_sub(nanos.leading_zeros());
    ((shift as usize) << SUB) + (nanos >> shift) as usize
}

fn middle(bucket: usize) -> u64 {
    let shift = (bucket >> SUB).saturating_sub(1);
    let kept = (bucket - (shift << SUB)) as u64;
    (kept << shift) + ((1 << shift) >> 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_what_is_near_its_middle() {
        for nanos in (0..2000).chain([65_535, 65_536, 1 << 40, (1 << 40) + 12_345, u64::MAX / 3, u64::MAX]) {
            let seen = middle(bucket(nanos));
            assert!(seen.abs_diff(nanos) <= nanos / 128, "{nanos} is seen as {seen}");
        }
        assert!((1..100_000_u64).all(|nanos| bucket(nanos) - bucket(nanos - 1) <= 1));
    }

    #[test]
    fn quantiles_are_of_all() {
        let mut histogram = Histogram::new();
        (1..=1000).for_each(|micros| histogram.record(micros * 1000));
        let near = |share, micros: u64| histogram.quantile(share).abs_diff(micros * 1000) <= 10 * micros;
        assert!(near(0.5, 500) && near(0.99, 990) && near(0.999, 999) && near(1.0, 1000));
        assert_eq!((histogram.total(), Histogram::new().quantile(0.5)), (1000, 0));
    }
}
