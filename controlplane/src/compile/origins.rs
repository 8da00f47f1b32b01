//! Which words of the configuration a part of the snapshot came from.

use crate::language::{Fault, Path};

/// Remembers where parts of a snapshot came from, where that is asked for: it takes as long as all the rest, and hardly any
/// snapshot has a fault.
#[derive(Default)]
pub struct Origins(Option<Vec<Origin>>);

struct Origin {
    /// In the words of the contract.
    wire: String,
    /// In the words of the language.
    path: Path,
    is_key: bool,
    advice: Option<&'static str>,
}

impl Origins {
    /// Those that are asked for.
    pub(super) fn asked() -> Self {
        Self(Some(Vec::new()))
    }

    /// Does what only origins are for: of what there may be ten thousand.
    pub(super) fn note(&mut self, note: impl FnOnce(&mut Self)) {
        if self.0.is_some() {
            note(self);
        }
    }

    fn push(&mut self, origin: Origin) {
        if let Some(origins) = &mut self.0 {
            origins.push(origin);
        }
    }

    /// The part came from the value at a path.
    pub(super) fn value(&mut self, wire: impl Into<String>, path: Path) {
        self.push(Origin { wire: wire.into(), path, is_key: false, advice: None });
    }

    /// The part came from the key at the end of a path.
    pub(super) fn key(&mut self, wire: impl Into<String>, path: Path) {
        self.push(Origin { wire: wire.into(), path, is_key: true, advice: None });
    }

    /// The part came from the value at a path, and what to do about it is known.
    pub(super) fn advised(&mut self, wire: impl Into<String>, path: Path, advice: &'static str) {
        self.push(Origin { wire: wire.into(), path, is_key: false, advice: Some(advice) });
    }

    /// A fault of the snapshot in the words of the configuration; `None`: nobody wrote the part.
    #[must_use]
    pub fn say(&self, fault: sluice_snapshot::Fault) -> Option<Fault> {
        let (said, is_written) = self.translate(fault);
        is_written.then_some(said)
    }

    /// Says a fault of the snapshot in the words of the configuration, and whether somebody wrote the part.
    pub(super) fn translate(&self, fault: sluice_snapshot::Fault) -> (Fault, bool) {
        let covers = |origin: &&Origin| {
            fault.path.strip_prefix(&origin.wire).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        let Some(origin) = self.0.iter().flatten().filter(covers).max_by_key(|origin| origin.wire.len()) else {
            return (Fault::value(Path::default(), fault.to_string()), false);
        };
        // Positions in a list of texts are the same on both sides.
        let path = position(&fault.path[origin.wire.len()..]).map_or(origin.path.clone(), |at| origin.path.index(at));
        let translated = if origin.is_key { Fault::key(path, fault.reason) } else { Fault::value(path, fault.reason) };
        match origin.advice {
            Some(advice) => (translated.advise(advice), true),
            None => (translated, true),
        }
    }
}

fn position(rest: &str) -> Option<usize> {
    rest.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}
