//! What the images of `deploy/docker/Dockerfile` run.

use std::collections::HashMap;

/// An image.
#[derive(Default)]
pub(crate) struct Image {
    /// The program and its first arguments.
    pub(crate) entrypoint: Vec<String>,
    /// Variables it has.
    pub(crate) env: Vec<(String, String)>,
}

/// The images of a Dockerfile, by the names of its stages.
pub(crate) fn images(text: &str) -> HashMap<String, Image> {
    let mut images = HashMap::new();
    let mut stage = String::new();
    for line in text.lines() {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let image: &mut Image = images.entry(stage.clone()).or_default();
        match word {
            "FROM" => stage = rest.split(" AS ").nth(1).unwrap().to_owned(),
            "ENTRYPOINT" => image.entrypoint = serde_json::from_str(rest).unwrap(),
            "ENV" => image.env.push(rest.split_once('=').map(|(name, value)| (name.into(), value.into())).unwrap()),
            _ => {}
        }
    }
    images
}
