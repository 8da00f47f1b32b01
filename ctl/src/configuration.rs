//! A configuration file, read for `run` and `validate` alike.

use std::path::Path;

use sluice_controlplane::language::{Fault, Source};
use sluice_controlplane::source::{self, Document};

use crate::output::Failure;

/// Reads a file; `-` is stdin.
pub(crate) fn read(path: &Path) -> Result<Document, Failure> {
    source::read(path).map_err(|unreadable| Failure::Input(unreadable.reason.to_string()))
}

/// Faults of a configuration, shown at their places in it.
pub(crate) fn refused(source: &Source, mut faults: Vec<Fault>) -> Failure {
    faults.sort_by_key(|fault| source.position(fault));
    Failure::Input(source.show("error", &faults).to_string())
}
