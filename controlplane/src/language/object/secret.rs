//! The secrets of an object, apart from what may be shown of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use zeroize::{Zeroize, Zeroizing};

use super::super::path::Path;
use super::super::tree::{Content, Node, Scalar};
use super::spec::each_leaf;
use super::{Kind, Spec, json, words};

/// What is shown in place of a secret.
pub const MASK: &str = "***";

/// Secrets, as JSON by their places in an object.
#[derive(Default)]
pub struct Secrets(BTreeMap<String, Zeroizing<String>>);

impl Secrets {
    /// There are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each with its place.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(place, value)| (place.as_str(), value.as_str()))
    }

    /// All as bytes, to be sealed.
    #[must_use]
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let plain: BTreeMap<&str, &str> = self.iter().collect();
        Zeroizing::new(serde_json::to_vec(&plain).expect("texts by texts are JSON"))
    }

    /// What [`encode`](Self::encode) made.
    ///
    /// # Errors
    ///
    /// It is something else.
    pub fn decode(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let plain: BTreeMap<String, String> = serde_json::from_slice(bytes)?;
        Ok(Self(plain.into_iter().map(|(place, value)| (place, Zeroizing::new(value))).collect()))
    }
}

impl Spec {
    /// Takes the secrets out and leaves masks in their places.
    pub fn conceal(&mut self, kind: Kind) -> Secrets {
        let mut secrets = Secrets::default();
        words::visit(kind, Arc::make_mut(&mut self.0), &mut |path, meaning, leaf| {
            if meaning.secret && matches!(leaf.content, Content::Scalar(_)) {
                secrets.0.insert(path.to_string(), Zeroizing::new(json::canonical(leaf)));
                if let Content::Scalar(scalar) = &mut leaf.content {
                    scalar.text.zeroize();
                }
                leaf.content = mask();
            }
        });
        secrets
    }

    /// Puts secrets back in their places.
    pub fn reveal(&mut self, secrets: &Secrets) {
        if secrets.is_empty() {
            return;
        }
        each_leaf_mut(Arc::make_mut(&mut self.0), &Path::default(), &mut |path, leaf| {
            // Else nothing was hidden here, and paths need not be written out to be looked up.
            if leaf.text() != Some(MASK) {
                return;
            }
            if let Some(value) = secrets.0.get(&path.to_string()).and_then(|value| json::parse(value).ok()) {
                *leaf = value;
                leaf.make_secret();
            }
        });
    }

    /// Makes secret what stands at these places, whatever the language says of them. The places where no text stands are returned.
    #[must_use]
    pub fn hide<'p>(&mut self, places: &'p [String]) -> Vec<&'p str> {
        let mut left: BTreeSet<&str> = places.iter().map(String::as_str).collect();
        if !left.is_empty() {
            each_leaf_mut(Arc::make_mut(&mut self.0), &Path::default(), &mut |path, leaf| {
                if left.remove(path.to_string().as_str()) {
                    leaf.make_secret();
                }
            });
        }
        left.into_iter().collect()
    }

    /// The places of what is secret because of where it came from, in the order of their text.
    #[must_use]
    pub fn hidden(&self) -> Vec<String> {
        let mut hidden = Vec::new();
        each_leaf(&self.0, &Path::default(), &mut |path, leaf| {
            if leaf.is_secret() {
                hidden.push(path.to_string());
            }
        });
        hidden.sort();
        hidden
    }

    /// Puts secrets in the places where somebody who was shown masks left them as they were; what was secret and is given again, as
    /// it was, stays so. Places that have a mask and no secret are returned: wherever it stands, a mask is no text.
    #[must_use]
    pub fn keep(&mut self, kind: Kind, secrets: &Secrets) -> Vec<Path> {
        let mut without = Vec::new();
        words::visit(kind, Arc::make_mut(&mut self.0), &mut |path, _, leaf| {
            if leaf.text() != Some(MASK) {
                if !secrets.is_empty()
                    && secrets.0.get(&path.to_string()).is_some_and(|value| **value == json::canonical(leaf))
                {
                    leaf.make_secret();
                }
                return;
            }
            match secrets.0.get(&path.to_string()).and_then(|value| json::parse(value).ok()) {
                Some(value) => {
                    *leaf = value;
                    leaf.make_secret();
                }
                None => without.push(path.clone()),
            }
        });
        without
    }
}

fn mask() -> Content {
    Content::Scalar(Scalar { text: MASK.to_owned(), expanded: false, secret: false, plain: false })
}

fn each_leaf_mut(node: &mut Node, path: &Path, each: &mut impl FnMut(&Path, &mut Node)) {
    match &mut node.content {
        Content::Map(entries) if !entries.is_empty() => {
            entries.iter_mut().for_each(|entry| each_leaf_mut(&mut entry.value, &path.key(&entry.key), each));
        }
        Content::List(items) if !items.is_empty() => {
            items.iter_mut().enumerate().for_each(|(index, item)| each_leaf_mut(item, &path.index(index), each));
        }
        _ => each(path, node),
    }
}
