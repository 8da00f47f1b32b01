//! Where a configuration comes from: a file, together with the files it names.

mod feed;
mod files;

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::language::{self, Config, Fault, Rejected, Secret, Source, Variables, env_file, mask};
pub use feed::{Feed, FeedError, News};
pub use files::Files;

/// A configuration that was read, and what is known of where it came from.
pub struct Document {
    /// What it says.
    pub config: Config,
    /// Its text, to show what is said about it.
    pub source: Source,
    /// Accepted, but perhaps not what was meant.
    pub warnings: Vec<Fault>,
    /// The folder of the file: relative paths in it start here.
    pub folder: PathBuf,
    /// The file and the others that were read with it, whether they are there or not.
    pub files: Files,
}

/// Why there is no configuration.
pub struct Unreadable {
    /// What is wrong.
    pub reason: Reason,
    /// As in [`Document`]: when one of them changes, it is worth another try.
    pub files: Files,
}

/// What is wrong with a file.
pub enum Reason {
    /// It cannot be read as a text.
    File(String),
    /// It is not a configuration.
    Rejected(Box<Rejected>),
}

impl fmt::Display for Reason {
    /// Lines for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(reason) => writeln!(f, "error: {reason}"),
            Self::Rejected(rejected) => rejected.fmt(f),
        }
    }
}

/// Reads a file; `-` is stdin.
///
/// # Errors
///
/// Every fault found, or why the file cannot be read.
pub fn read(path: &Path) -> Result<Document, Unreadable> {
    let is_stdin = path.as_os_str() == "-";
    let name = if is_stdin { "stdin".to_owned() } else { path.display().to_string() };
    let place = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut files = Files::default();
    Variables::usual_files().for_each(|file| files.add(file));
    if !is_stdin {
        files.add(&place);
    }
    let variables = Variables::of_process().beside(&place);
    let result = text(path, is_stdin, &name).map_err(Reason::File).and_then(|text| {
        let loaded = language::load(&name, text, &variables).map_err(Reason::Rejected)?;
        let folder = place.parent().map(Path::to_owned).unwrap_or_default();
        add_env_files(loaded, folder, &mut files)
    });
    match result {
        Ok(document) => Ok(Document { files, ..document }),
        Err(reason) => Err(Unreadable { reason, files }),
    }
}

fn text(path: &Path, is_stdin: bool, name: &str) -> Result<String, String> {
    let bytes = if is_stdin {
        let mut bytes = Vec::new();
        std::io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        std::fs::read(path)
    };
    let bytes = bytes.map_err(|error| format!("{name} cannot be read: {error}"))?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
        format!("{name}:{line}: is not UTF-8 text")
    })
}

/// Reads the files of environment variables that servers name.
fn add_env_files(loaded: language::Loaded, folder: PathBuf, files: &mut Files) -> Result<Document, Reason> {
    let language::Loaded { mut config, source, mut warnings } = loaded;
    let mut faults = Vec::new();
    for (name, server) in config.servers.iter_mut().filter(|(_, server)| server.takes_part()) {
        let Some(file) = server.env_file.as_ref().map(|file| folder.join(file)) else { continue };
        let path = language::Path::of(["servers", name, "env_file"]);
        files.add(&file);
        match variables(&file) {
            Ok((variables, is_private)) => {
                let secret = variables.iter().find(|(name, _)| mask::sounds_secret(name)).map(|(name, _)| name.clone());
                for (name, value) in variables {
                    server.env.entry(name).or_insert_with(|| Secret::new(value).into());
                }
                if let (Some(secret), false) = (secret, is_private) {
                    let message = format!("holds `{secret}`, and others on this machine can read the file");
                    let warning = Fault::value(path, message);
                    warnings.push(warning.advise(format!("run `chmod 600 {}`", file.display())));
                }
            }
            Err(reason) => faults.push(Fault::value(path, reason)),
        }
    }
    if faults.is_empty() {
        Ok(Document { config, source, warnings, folder, files: Files::default() })
    } else {
        Err(Reason::Rejected(Box::new(Rejected { source, faults })))
    }
}

/// What a file of variables holds, and whether its owner alone may read it.
fn variables(file: &Path) -> Result<(Vec<(String, String)>, bool), String> {
    let shown = file.display();
    let unreadable = |error: std::io::Error| format!("{shown} cannot be read: {error}");
    let opened = File::open(file).map_err(unreadable)?;
    let metadata = opened.metadata().map_err(unreadable)?;
    let mut text = String::new();
    opened.take(env_file::MAX + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > env_file::MAX {
        return Err(format!("{shown} is larger than {} bytes", env_file::MAX));
    }
    let variables = env_file::parse(&text)
        .map_err(|env_file::BadLine(line)| format!("{shown}:{line}: is not of the form `NAME=value`"))?;
    Ok((variables, metadata.mode() & 0o077 == 0))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn written(folder: &Path, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn files_of_variables_are_read_beside_the_file_and_env_wins() {
        let folder = tempfile::tempdir().unwrap();
        let env = written(folder.path(), "a.env", "A=file\nB=file\n", 0o600);
        let text = "servers:\n  a: {command: x, env: {A: said}, env_file: a.env}\n  b: {command: x, env_file: no, disabled: true}\n";
        let path = written(folder.path(), "mcp.yaml", text, 0o644);
        let Ok(document) = read(&path) else { panic!("refused") };
        let variables: Vec<_> = document.config.servers["a"]
            .env
            .iter()
            .map(|(name, value)| (name.as_str(), value.value().unwrap().expose()))
            .collect();
        assert_eq!(variables, [("A", "said"), ("B", "file")]);
        assert!(document.warnings.is_empty());
        let files: Vec<_> = document.files.paths().collect();
        assert!(files.contains(&env.as_path()) && files.contains(&path.as_path()), "{files:?}");
        assert_eq!(document.folder, folder.path());
        written(folder.path(), "a.env", "A=1\n", 0o644);
        let Ok(document) = read(&path) else { panic!("refused") };
        assert_eq!(document.warnings, []);
        written(folder.path(), "a.env", "MY_TOKEN=1\n", 0o644);
        let Ok(document) = read(&path) else { panic!("refused") };
        assert!(document.warnings[0].message.starts_with("holds `MY_TOKEN`"), "{:?}", document.warnings);
    }

    #[test]
    fn a_file_of_variables_that_is_none_is_told_without_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let env = written(folder.path(), "a.env", "A=1\ns3cret\n", 0o600);
        let path = written(folder.path(), "mcp.yaml", "servers:\n  a: {command: x, env_file: a.env}\n", 0o600);
        let Err(refused) = read(&path) else { panic!("accepted") };
        let shown = refused.reason.to_string();
        assert!(shown.contains("a.env:2: is not of the form") && shown.contains("mcp.yaml:2:29"), "{shown}");
        assert!(!shown.contains("s3cret") && refused.files.paths().any(|file| file == env), "{shown}");
        std::fs::remove_file(env).unwrap();
        let Err(refused) = read(&path) else { panic!("accepted") };
        assert!(refused.reason.to_string().contains("a.env cannot be read: No such file"), "{}", refused.reason);
    }
}
