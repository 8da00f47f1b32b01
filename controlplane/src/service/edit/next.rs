//! What the objects are to be, by what somebody applies to what there is.

use std::collections::HashSet;

use super::super::ServiceError;
use super::super::held::Held;
use super::{RawObject, within};
use crate::language::{Fault, Kind, MASK, Object};
use crate::secrets::Ring;

/// By these it is decided where the secrets of an object go, and to which program. A secret that stays behind its mask goes only
/// where it went before: else whoever may edit an address, and not read a secret, could have it sent to them. A program does
/// with its secrets what its environment says, be it by `PATH`, `LD_PRELOAD` or an address of its own.
const SERVER: [&[&str]; 11] = [
    &["url"],
    &["endpoints"],
    &["socket"],
    &["transport"],
    &["command"],
    &["args"],
    &["env"],
    &["env_file"],
    &["cwd"],
    &["auth", "token_url"],
    &["auth", "issuer"],
];
const CREDENTIAL: [&[&str]; 2] = [&["token_url"], &["issuer"]];

type Next = Result<(Vec<Object>, Vec<Fault>), Vec<Fault>>;

/// The objects with those that are named, and warnings; or what is wrong with the latter.
pub(super) fn applied(current: &[Held], named: Vec<RawObject>, prune: bool, ring: &Ring) -> Result<Next, ServiceError> {
    let mut faults = Vec::new();
    let mut warnings = Vec::new();
    let mut objects: Vec<Object> = Vec::with_capacity(named.len());
    let mut seen: HashSet<(Kind, String)> = HashSet::new();
    for raw in named {
        let mut object = match Object::parse(&raw.kind, &raw.name, &raw.json) {
            Ok(object) => object,
            Err(fault) => {
                faults.push(fault);
                continue;
            }
        };
        for place in object.spec.hide(&raw.secrets) {
            let shown = place.escape_debug();
            faults.push(Fault::value(object.path(), format!("has no text at `{shown}`, which is said to be secret")));
        }
        if !seen.insert((object.kind, object.name.clone())) {
            faults.push(Fault::key(object.path(), "is there twice").advise("leave out one of them"));
            continue;
        }
        let old = current.iter().find(|held| held.object.kind == object.kind && held.object.name == object.name);
        faults.extend(keep_secrets(&mut object, old, ring)?);
        warnings.extend(unexpanded(&object));
        objects.push(object);
    }
    if !faults.is_empty() {
        return Ok(Err(faults));
    }
    if prune {
        return Ok(Ok((objects, warnings)));
    }
    let mut next: Vec<Object> = current.iter().map(|held| held.object.clone()).collect();
    for object in objects {
        match next.iter_mut().find(|old| old.kind == object.kind && old.name == object.name) {
            Some(old) => *old = object,
            None => next.push(object),
        }
    }
    Ok(Ok((next, warnings)))
}

/// Puts secrets where somebody who was shown masks left them as they were.
fn keep_secrets(object: &mut Object, old: Option<&Held>, ring: &Ring) -> Result<Vec<Fault>, ServiceError> {
    let secrets = match old {
        Some(old) => old.secrets(ring)?,
        None => crate::language::Secrets::default(),
    };
    let before = object.spec.clone();
    let path = object.path();
    let fault = |inside, advice: &str| {
        Fault::value(within(&path, &inside), format!("`{MASK}` stands for a secret that is not shown")).advise(advice)
    };
    let without = object.spec.keep(object.kind, &secrets);
    let mut faults: Vec<Fault> =
        without.into_iter().map(|inside| fault(inside, "there is none here yet: give its value")).collect();
    let was_kept = !before.equals(&object.spec);
    let destinations: &[&[&str]] = match object.kind {
        Kind::Server => &SERVER,
        Kind::Credential => &CREDENTIAL,
        _ => &[],
    };
    let moved =
        old.and_then(|old| destinations.iter().find(|keys| old.object.spec.member(keys) != object.spec.member(keys)));
    if let (true, Some(keys)) = (was_kept, moved) {
        let inside = keys.iter().fold(path.clone(), |path, key| path.key(key));
        let fault = Fault::value(inside, "is another than before, and secrets would go there unseen");
        faults.push(fault.advise(format!("give the secrets themselves instead of `{MASK}`")));
    }
    Ok(faults)
}

/// Variables belong to whoever writes: the environment of the control plane is nobody's business.
fn unexpanded(object: &Object) -> Vec<Fault> {
    let warning = |inside: crate::language::Path| {
        let warning = Fault::value(within(&object.path(), &inside), "has a `${…}` that stays as it is");
        warning.advise("`sluice apply -f FILE` expands variables where it runs")
    };
    object.spec.variables().into_iter().map(warning).collect()
}
