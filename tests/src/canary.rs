//! Looking for secrets where they must not be: in any form in which a value may lie about.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};

use crate::upstream::{Answer, Modern};

/// Values that are to be seen nowhere.
#[derive(Clone, Copy)]
pub struct Canaries<'c>(pub &'c [&'c str]);

impl Canaries<'_> {
    /// Those that are in a text, with the place where that was found.
    #[must_use]
    pub fn sightings(self, place: &str, text: &[u8]) -> Vec<String> {
        let seen = |form: &String| memchr::memmem::find(text, form.as_bytes()).is_some();
        let found = self.0.iter().filter(|canary| forms(canary).iter().any(seen));
        found.map(|canary| format!("{canary} in {place}")).collect()
    }

    /// Those that are in the files of a folder, at any depth, but for some files that are not looked at.
    #[must_use]
    pub fn sightings_in_files(self, folder: &Path, but: &[PathBuf]) -> Vec<String> {
        let files = files(folder).into_iter().filter(|file| !but.contains(file));
        // a file that is gone meanwhile tells nothing
        let look =
            |file: PathBuf| self.sightings(&file.display().to_string(), &std::fs::read(&file).unwrap_or_default());
        files.flat_map(look).collect()
    }
}

/// A server whose errors repeat what it was shown, as careless ones do.
#[must_use]
pub fn careless() -> Modern {
    Modern::scripted(|received| {
        let shown = format!("{:?} {}", received.headers, String::from_utf8_lossy(&received.body));
        let arguments = &received.message()["params"]["arguments"];
        match arguments["how"].as_str()? {
            "401" => Some(Answer::new(401, "text/plain", shown)),
            "500" => Some(Answer::new(500, "text/plain", shown)),
            "garbage" => Some(Answer::json(shown)),
            "broken" => Some(Answer::broken("application/json", "{\"jsonrpc\"")),
            _ => None,
        }
    })
}

/// The ways in which a value may lie about: as it is, in hexadecimal, percent-encoded, in base64 from wherever it begins.
#[must_use]
pub fn forms(canary: &str) -> Vec<String> {
    let mut forms = vec![canary.to_owned()];
    forms.push(canary.bytes().map(|b| format!("{b:02x}")).collect());
    forms.push(canary.bytes().map(|b| format!("{b:02X}")).collect());
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    let percent = |b: u8| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") };
    forms.push(canary.bytes().map(percent).collect());
    for before in 0..3 {
        // what of the encoding depends on the canary alone, wherever it begins
        let bytes = [&vec![0; before][..], canary.as_bytes()].concat();
        let whole = bytes.len() / 3 * 3;
        for engine in [&BASE64_STANDARD_NO_PAD, &BASE64_URL_SAFE_NO_PAD] {
            forms.push(engine.encode(&bytes[..whole])[(before * 8).div_ceil(6)..].to_owned());
        }
    }
    forms
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}
