//! What a program counts, as its admin port tells it.

use crate::Call;

/// The sum of a metric's values, over all series that have these labels.
pub async fn value(admin: u16, name: &str, labels: &[&str]) -> f64 {
    let text = Call::get("/metrics").bare().send(admin).await.text();
    text.lines()
        .filter(|line| line.split(['{', ' ']).next() == Some(name) && labels.iter().all(|label| line.contains(label)))
        .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
        .sum()
}
