//! Which plane each worker serves from. A push is judged once the last worker has adopted it.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// The generation of each worker's plane.
pub(crate) struct Adoptions {
    generations: Box<[AtomicU64]>,
    adopted: Notify,
}

impl Adoptions {
    /// For so many workers, none of which serves yet.
    pub(crate) fn new(workers: usize) -> Self {
        Self { generations: (0..workers).map(|_| AtomicU64::new(0)).collect(), adopted: Notify::new() }
    }

    /// A worker serves from a plane of this generation.
    pub(crate) fn note(&self, worker: usize, generation: u64) {
        self.generations[worker].store(generation, Ordering::Release);
        self.adopted.notify_waiters();
    }

    /// Waits until every worker serves from this generation, or from a later one.
    pub(crate) async fn reached(&self, generation: u64) {
        loop {
            let mut adopted = std::pin::pin!(self.adopted.notified());
            // from here on no note is missed
            adopted.as_mut().enable();
            if self.generations.iter().all(|worker| worker.load(Ordering::Acquire) >= generation) {
                return;
            }
            adopted.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn a_generation_is_reached_with_the_last_worker() {
        let adoptions = Arc::new(Adoptions::new(2));
        let waiting = Arc::clone(&adoptions);
        let mut reached = tokio::spawn(async move { waiting.reached(2).await });
        for (worker, generation) in [(0, 1), (1, 1), (0, 3)] {
            adoptions.note(worker, generation);
            tokio::task::yield_now().await;
            assert!(!reached.is_finished());
        }
        adoptions.note(1, 2);
        (&mut reached).await.unwrap();
    }
}
