//! Where variables come from: the environment, then files of credentials that only their owner may read.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Name of a file of credentials: a JSON object of texts.
const CREDENTIALS: &str = "credentials.json";

/// The variables a configuration may use.
pub struct Variables {
    environment: Box<Environment>,
    files: Vec<CredentialFile>,
    places: Places,
}

/// Folders that files of clients call by names of their own.
#[derive(Default)]
struct Places {
    home: Option<PathBuf>,
    workspace: Option<PathBuf>,
}

/// Looks a name up.
type Environment = dyn Fn(&str) -> Option<String>;

/// The value of a variable.
pub(super) struct Found {
    pub(super) value: String,
    /// It is from a file of credentials.
    pub(super) is_credential: bool,
}

/// One file of credentials, read once.
struct CredentialFile {
    path: PathBuf,
    content: Result<HashMap<String, String>, String>,
}

impl Variables {
    /// Those of this process: its environment, `~/.config/sluice/credentials.json`, the file or folder that
    /// `MCP_CREDENTIALS_PATH` names, and `~/.config/mcp-proxy/credentials.json`, in this order.
    #[must_use]
    pub fn of_process() -> Self {
        Self::new(|name| std::env::var(name).ok(), Self::usual_files())
    }

    /// The files [`Self::of_process`] looks into, whether they are there or not.
    pub fn usual_files() -> impl Iterator<Item = PathBuf> {
        let config = std::env::var_os("XDG_CONFIG_HOME")
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
            .or_else(|| std::env::home_dir().map(|home| home.join(".config")));
        let own = config.as_ref().map(|folder| folder.join("sluice").join(CREDENTIALS));
        let named = std::env::var_os("MCP_CREDENTIALS_PATH").filter(|value| !value.is_empty()).map(PathBuf::from);
        let other = config.as_ref().map(|folder| folder.join("mcp-proxy").join(CREDENTIALS));
        own.into_iter().chain(named).chain(other).map(in_folder)
    }

    /// None at all.
    #[must_use]
    pub fn nowhere() -> Self {
        Self::new(|_| None, [])
    }

    /// Those given, and no others.
    #[must_use]
    pub fn of<const N: usize>(values: [(&str, &str); N]) -> Self {
        let values: HashMap<_, _> = values.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Self::new(move |name| values.get(name).cloned(), [])
    }

    /// An environment and files of credentials, the first that has a name winning. Files that do not exist are no
    /// fault.
    pub fn new(
        environment: impl Fn(&str) -> Option<String> + 'static,
        files: impl IntoIterator<Item = PathBuf>,
    ) -> Self {
        let files =
            files.into_iter().map(in_folder).map(|path| CredentialFile { content: read(&path), path }).collect();
        Self { environment: Box::new(environment), files, places: Places::default() }
    }

    /// These, for a file at that place: its folder, or the project around the folder of a client that it is in.
    #[must_use]
    pub fn beside(self, file: &Path) -> Self {
        let folder = file.parent();
        let is_client_s =
            folder.and_then(Path::file_name).is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        let workspace = if is_client_s { folder.and_then(Path::parent) } else { folder };
        let workspace = workspace.map(Path::to_owned);
        Self { places: Places { home: std::env::home_dir(), workspace }, ..self }
    }

    /// The home folder, where it is known.
    pub(super) fn home(&self) -> Option<&Path> {
        self.places.home.as_deref()
    }

    /// The project a file belongs to, where it is known.
    pub(super) fn workspace(&self) -> Option<&Path> {
        self.places.workspace.as_deref()
    }

    /// The value of a variable, or `None` where it is nowhere.
    ///
    /// # Errors
    ///
    /// A file that may hold it cannot be read, or can be read by others; the text says what to do.
    pub fn get(&self, name: &str) -> Result<Option<String>, String> {
        Ok(self.found(name)?.map(|found| found.value))
    }

    /// The same, and whether it is from a file of credentials.
    pub(super) fn found(&self, name: &str) -> Result<Option<Found>, String> {
        if let Some(value) = (self.environment)(name) {
            return Ok(Some(Found { value, is_credential: false }));
        }
        for file in &self.files {
            if let Some(value) = file.content.as_ref().map_err(Clone::clone)?.get(name) {
                return Ok(Some(Found { value: value.clone(), is_credential: true }));
            }
        }
        Ok(None)
    }

    /// The file to name in advice.
    pub(super) fn file_to_write(&self) -> String {
        self.files.first().map_or_else(|| CREDENTIALS.to_owned(), |file| file.path.display().to_string())
    }
}

/// The file itself, or the one of the usual name in a folder.
fn in_folder(path: PathBuf) -> PathBuf {
    if path.is_dir() { path.join(CREDENTIALS) } else { path }
}

fn read(path: &Path) -> Result<HashMap<String, String>, String> {
    let shown = path.display();
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(HashMap::new()),
        Err(error) => return Err(format!("{shown} cannot be read: {error}")),
    };
    if metadata.mode() & 0o077 != 0 {
        let mode = metadata.mode() & 0o777;
        return Err(format!("{shown} has mode {mode:04o}, so that others may read it; run `chmod 600 {shown}`"));
    }
    let text = fs::read_to_string(path).map_err(|error| format!("{shown} cannot be read: {error}"))?;
    // The parser's message may quote a value, so only the place is told.
    serde_json::from_str(&text).map_err(|error| {
        format!("{shown} is not a JSON object of texts (line {}, column {})", error.line(), error.column())
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn file(folder: &Path, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn the_environment_comes_before_the_files_and_the_first_file_before_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let first = file(folder.path(), "first.json", r#"{"A": "file", "B": "first"}"#, 0o600);
        file(folder.path(), CREDENTIALS, r#"{"B": "second", "C": "folder"}"#, 0o400);
        let missing = folder.path().join("missing.json");
        let environment = |name: &str| (name == "A").then(|| "environment".to_owned());
        let variables = Variables::new(environment, [missing, first, folder.path().to_owned()]);
        let get = |name| variables.get(name).unwrap();
        assert_eq!(get("A").as_deref(), Some("environment"));
        assert_eq!(get("B").as_deref(), Some("first"));
        assert_eq!(get("C").as_deref(), Some("folder"));
        assert_eq!(get("D"), None);
    }

    #[test]
    fn a_file_that_others_may_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = file(folder.path(), "open.json", r#"{"A": "s3cret"}"#, 0o644);
        let refused = Variables::new(|_| None, [path]).get("A").unwrap_err();
        assert!(refused.contains("mode 0644") && refused.contains("chmod 600"), "{refused}");
    }

    #[test]
    fn a_broken_file_is_refused_without_quoting_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = file(folder.path(), "broken.json", "{\"A\":\n \"s3cret\", \"B\": 123456}", 0o600);
        let refused = Variables::new(|_| None, [path]).get("A").unwrap_err();
        assert!(refused.contains("line 2") && !refused.contains("s3cret") && !refused.contains("123456"), "{refused}");
    }
}
