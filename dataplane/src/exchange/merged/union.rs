//! What all servers are together: capabilities and instructions of the merged door.

use serde_json::{Map, Value, json};

use super::asker::Asker;
use crate::plane::Plane;

/// The capabilities of a door behind which these servers are. Capabilities cannot grow later: what a server that is not
/// known yet may turn out to have is declared.
pub(super) fn capabilities(plane: &Plane, asker: &Asker) -> Value {
    let mut all = Map::new();
    let mut unknown = false;
    for upstream in plane.servers() {
        match asker.about(upstream) {
            Some(about) => merge(&mut all, &about.capabilities),
            None => unknown = true,
        }
    }
    for kind in ["tools", "prompts", "resources"] {
        let declared = all.entry(kind).or_insert_with(|| json!({}));
        if let Some(declared) = declared.as_object_mut() {
            // servers come and go
            declared.insert("listChanged".to_owned(), true.into());
        }
    }
    if unknown {
        all["resources"]["subscribe"] = true.into();
        all.entry("logging").or_insert_with(|| json!({}));
        all.entry("completions").or_insert_with(|| json!({}));
    }
    all.into()
}

/// Whether any of it is for this client only.
pub(super) fn is_private(plane: &Plane, asker: &Asker) -> bool {
    plane.servers().any(|upstream| asker.about(upstream).is_some_and(|about| about.private))
}

/// Adds what one server can: objects are joined, a flag is up if any is.
fn merge(all: &mut Map<String, Value>, one: &Value) {
    for (name, value) in one.as_object().into_iter().flatten() {
        match (all.get_mut(name), value) {
            (Some(Value::Object(known)), Value::Object(_)) => merge(known, value),
            (Some(known @ Value::Bool(false)), value) => *known = value.clone(),
            (Some(_), _) => {}
            (None, value) => drop(all.insert(name.clone(), value.clone())),
        }
    }
}

/// The servers' instructions, each under its server's name; `None` when none has any.
pub(super) fn instructions(plane: &Plane, asker: &Asker) -> Option<String> {
    let each = plane.servers().filter_map(|upstream| {
        let about = asker.about(upstream)?;
        Some(format!("# {}\n\n{}", upstream.name(), about.instructions.as_deref()?.trim()))
    });
    let joined = each.collect::<Vec<_>>().join("\n\n");
    (!joined.is_empty()).then_some(joined)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_joined_and_flags_are_up_if_any_is() {
        let mut all = Map::new();
        merge(&mut all, &json!({"tools": {"listChanged": false}, "extensions": {"a": {}}, "logging": {}}));
        merge(&mut all, &json!({"tools": {"listChanged": true}, "extensions": {"b": {"x": 1}}, "completions": {}}));
        let expected = json!({
            "tools": {"listChanged": true}, "extensions": {"a": {}, "b": {"x": 1}}, "logging": {}, "completions": {}
        });
        assert_eq!(Value::from(all), expected);
    }
}
