//! What `sluice run` says of its configuration, in its log.

use sluice_controlplane::language::{Fault, Source};

/// How bad it is.
#[derive(Clone, Copy)]
pub(super) enum Weight {
    Warning,
    Error,
}

/// One line for each thing said about a configuration, with its place.
pub(super) fn faults(source: &Source, faults: &[Fault], weight: Weight) {
    for fault in faults {
        let (line, column) = source.position(fault);
        let (file, path, advice) = (source.name(), source.as_written(&fault.path), fault.advice.as_deref());
        match weight {
            Weight::Warning => tracing::warn!(file, line, column, %path, advice, "{}", fault.message),
            Weight::Error => tracing::error!(file, line, column, %path, advice, "{}", fault.message),
        }
    }
}
