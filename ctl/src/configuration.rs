//! A configuration file, read for `run` and `validate` alike.

use std::io::Read;
use std::path::{Path, PathBuf};

use sluice_controlplane::language::{self, Config, Fault, Source, Variables};

use crate::output::Failure;

/// A configuration and where it came from.
pub(crate) struct Configuration {
    pub(crate) config: Config,
    pub(crate) source: Source,
    /// The folder of the file: relative paths in it start here.
    pub(crate) folder: PathBuf,
}

/// Reads a file; `-` is stdin.
pub(crate) fn read(path: &Path) -> Result<Configuration, Failure> {
    let is_stdin = path.as_os_str() == "-";
    let name = if is_stdin { "stdin".to_owned() } else { path.display().to_string() };
    let bytes = if is_stdin {
        let mut bytes = Vec::new();
        std::io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        std::fs::read(path)
    };
    let bytes = bytes.map_err(|error| Failure::input(format_args!("{name} cannot be read: {error}")))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
        Failure::input(format_args!("{name}:{line}: is not UTF-8 text"))
    })?;
    let (config, source) = language::load(&name, text, &Variables::of_process())
        .map_err(|rejected| Failure::Input(rejected.to_string()))?;
    let folder = std::path::absolute(path).ok().and_then(|path| path.parent().map(Path::to_owned)).unwrap_or_default();
    Ok(Configuration { config, source, folder })
}

impl Configuration {
    /// Faults of this configuration, shown at their places in it.
    pub(crate) fn refused(&self, mut faults: Vec<Fault>) -> Failure {
        faults.sort_by_key(|fault| self.source.position(fault));
        Failure::Input(self.source.show("error", &faults).to_string())
    }
}
