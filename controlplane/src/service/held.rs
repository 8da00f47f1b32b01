//! An object as the store holds it and as it is: between the two are the masks and the seal.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};

use super::ServiceError;
use crate::hex;
use crate::language::{Kind, Object, Secrets, Spec};
use crate::secrets::{Ring, Sealed};
use crate::store::StoreError;
use crate::store::objects::StoredObject;

/// An object with the row it came from or goes to.
#[derive(Clone)]
pub(super) struct Held {
    /// Whole, secrets included.
    pub(super) object: Object,
    /// What may be shown of it, and what is stored.
    pub(super) row: StoredObject,
}

impl Held {
    /// What is to be stored of an object from a revision on.
    pub(super) fn new(object: Object, since: u64, position: i64, ring: &Ring) -> Self {
        let mut shown = object.spec.clone();
        let secrets = shown.conceal(object.kind);
        let context = context(object.kind.as_str(), &object.name);
        let digests: BTreeMap<&str, String> = secrets
            .iter()
            .map(|(place, value)| (place, hex::encode(&ring.digest(&format!("{context} {place}"), value.as_bytes()))))
            .collect();
        let row = StoredObject {
            kind: object.kind.as_str().to_owned(),
            name: object.name.clone(),
            since,
            position,
            spec: shown.canonical(),
            sealed: (!secrets.is_empty()).then(|| ring.seal(&context, &secrets.encode()).encode()),
            digests: serde_json::to_string(&digests).expect("texts by texts are JSON"),
        };
        Self { object, row }
    }

    /// Opens what is stored.
    pub(super) fn open(row: StoredObject, ring: &Ring) -> Result<Self, ServiceError> {
        let (kind, mut spec) = read(&row)?;
        spec.reveal(&secrets(&row, ring)?);
        Ok(Self { object: Object { kind, name: row.name.clone(), spec }, row })
    }

    /// Says the same, secrets included.
    pub(super) fn equals(&self, other: &Self) -> bool {
        self.row.spec == other.row.spec && self.row.digests == other.row.digests
    }

    /// Whether what is secret in another state of it is sealed in this one: because of where it came from, or because the language calls it
    /// so, which it may not have done when this one was stored.
    pub(super) fn hides(&self, object: &Object) -> bool {
        // nobody has said it again
        if self.object.spec.is_shared_by(&object.spec) {
            return true;
        }
        let (secrets, sealed) = (object.spec.clone().conceal(object.kind), self.sealed());
        secrets.iter().all(|(place, _)| sealed.contains_key(place))
    }

    /// The places of what is sealed, with digests.
    pub(super) fn sealed(&self) -> BTreeMap<String, String> {
        serde_json::from_str(&self.row.digests).unwrap_or_default()
    }

    /// By which the audit log knows what it says: SHA-256, in hexadecimal, of what is shown and the digests of what is not.
    pub(super) fn digest(&self) -> String {
        let text = format!("{}\n{}", self.row.spec, self.row.digests);
        hex::encode(digest(&SHA256, text.as_bytes()).as_ref())
    }

    /// Its secrets.
    pub(super) fn secrets(&self, ring: &Ring) -> Result<Secrets, ServiceError> {
        secrets(&self.row, ring)
    }
}

/// What of a row may be shown.
pub(super) fn read(row: &StoredObject) -> Result<(Kind, Spec), ServiceError> {
    let broken = |what: String| StoreError::Broken(format!("{}/{}: {what}", row.kind, row.name));
    let kind = Kind::named(&row.kind).ok_or_else(|| broken("is of no known kind".to_owned()))?;
    Ok((kind, Spec::stored(&row.spec).map_err(broken)?))
}

fn secrets(row: &StoredObject, ring: &Ring) -> Result<Secrets, ServiceError> {
    let Some(sealed) = &row.sealed else { return Ok(Secrets::default()) };
    let context = context(&row.kind, &row.name);
    let broken = || StoreError::Broken(context.clone());
    let sealed = Sealed::decode(sealed).map_err(|_| broken())?;
    Ok(Secrets::decode(&ring.open(&context, &sealed)?).map_err(|_| broken())?)
}

/// What the secrets of an object are sealed for. It has no revision, so that what is sealed stays good for a rollback.
pub(super) fn context(kind: &str, name: &str) -> String {
    format!("object {kind}/{name}")
}
