//! Values that may be credentials, as nodes are told of them.

use sluice_contract::v1;
use sluice_contract::v1::sensitive::Source;

use super::{Node, Notes};
use crate::language::{Path, Sensitive};
use crate::secrets::{SecretValue, Secrets};

/// What to do about a secret that is not there.
const NO_SECRET: &str = "`sluice secret set NAME` gives a secret its value; where there is no control plane to keep it, write \
                         `{env: NAME}` or `{file: PATH}`";

/// A value, or where the node finds it; `wire` is its place in the contract.
pub(super) fn compile(
    sensitive: &Sensitive,
    path: &Path,
    wire: String,
    node: &Node,
    notes: &mut Notes,
) -> v1::Sensitive {
    let source = match sensitive {
        Sensitive::Value(value) => {
            notes.origins.value(wire, path.clone());
            Source::Value(value.expose().to_owned())
        }
        Sensitive::Secret(name) => {
            notes.origins.advised(wire, path.clone(), NO_SECRET);
            notes.referred.insert(name.clone());
            Source::Secret(name.clone())
        }
        Sensitive::Environment(name) => {
            notes.origins.value(wire, path.clone());
            Source::Environment(name.clone())
        }
        Sensitive::File(file) => {
            notes.origins.value(wire, path.clone());
            Source::File(node.folder.join(file).to_string_lossy().into_owned())
        }
    };
    v1::Sensitive { source: Some(source) }
}

/// A value in place.
pub(super) fn said(value: impl Into<String>) -> v1::Sensitive {
    v1::Sensitive { source: Some(Source::Value(value.into())) }
}

/// The secrets that servers of this node refer to, as far as there are any.
pub(super) fn referred(secrets: &Secrets, notes: &Notes) -> Vec<v1::Secret> {
    let found = notes.referred.iter().filter_map(|name| secrets.get_key_value(name));
    let secret = |(name, secret): (&String, &SecretValue)| v1::Secret {
        name: name.clone(),
        version: secret.version,
        chunk: secret.chunk.to_wire(),
        value: secret.value.to_vec(),
    };
    found.map(secret).collect()
}
