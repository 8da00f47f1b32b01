//! What was asked for and refused since the start.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Operation;

/// Counters; they only rise.
pub struct Counters {
    /// In the order of [`Operation::ALL`].
    operations: Vec<AtomicU64>,
    denied: AtomicU64,
    unauthenticated: AtomicU64,
}

impl Default for Counters {
    fn default() -> Self {
        let operations = Operation::ALL.iter().map(|_| AtomicU64::new(0)).collect();
        Self { operations, denied: AtomicU64::new(0), unauthenticated: AtomicU64::new(0) }
    }
}

impl Counters {
    pub(super) fn allowed(&self, operation: Operation) {
        let place = Operation::ALL.iter().position(|known| *known == operation);
        if let Some(count) = place.and_then(|place| self.operations.get(place)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn denied(&self) {
        self.denied.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn unauthenticated(&self) {
        self.unauthenticated.fetch_add(1, Ordering::Relaxed);
    }

    /// In the text format of Prometheus.
    #[must_use]
    pub fn render(&self, revision: u64, is_writable: bool) -> String {
        let mut text = String::new();
        let mut family = |name: &str, kind: &str, help: &str, samples: Vec<(String, u64)>| {
            text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
            for (labels, value) in samples {
                text.push_str(&format!("{name}{labels} {value}\n"));
            }
        };
        let one = |count: &AtomicU64| vec![(String::new(), count.load(Ordering::Relaxed))];
        let version = (format!("{{version=\"{}\"}}", env!("CARGO_PKG_VERSION")), 1);
        family("sluice_controlplane_info", "gauge", "The version.", vec![version]);
        family("sluice_controlplane_revision", "gauge", "The newest revision.", vec![(String::new(), revision)]);
        let name = "sluice_controlplane_store_writable";
        let help = "1 where the database can be written; 0 with a disk that is full, say, or nearly.";
        family(name, "gauge", help, vec![(String::new(), is_writable.into())]);
        let operations = Operation::ALL.iter().zip(&self.operations).map(|(operation, count)| {
            (format!("{{operation=\"{}\"}}", operation.name()), count.load(Ordering::Relaxed))
        });
        let name = "sluice_controlplane_operations_total";
        family(name, "counter", "Operations that were allowed.", operations.collect());
        let name = "sluice_controlplane_denied_total";
        family(name, "counter", "Operations refused because of a role.", one(&self.denied));
        let name = "sluice_controlplane_unauthenticated_total";
        family(name, "counter", "Requests refused because nobody is known by their token.", one(&self.unauthenticated));
        text
    }
}
