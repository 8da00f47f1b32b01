//! Objects as `get` shows them: a line each, or together as the configuration file they could have come from.

use indexmap::IndexMap;
use serde::Serialize;
use serde_json::Value;
use sluice_contract::v1::Object;
use sluice_controlplane::language::Kind;

use crate::output::{self, Failure, Field, Tone};

/// Characters of a line that says what an object says; `-o yaml` says it all.
const SAYS: usize = 100;
/// Words that say most about an object, and are said first.
const TELLING: [&str; 2] = ["url", "command"];

/// A line per object.
pub(super) fn table(objects: &[Object]) -> String {
    let row = |object: &Object| {
        [
            Field::from(object.kind.clone()),
            Field::from(object.name.clone()),
            Field::new(object.revision.to_string(), Tone::Quiet),
            Field::from(says(object)),
        ]
    };
    output::table(["KIND", "NAME", "REVISION", "SAYS"], objects.iter().map(row))
}

/// A configuration file: its maps, each in the order of its objects, and its singletons.
#[derive(Debug, Default, Serialize)]
pub(super) struct File(IndexMap<String, Part>);

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Part {
    Map(IndexMap<String, Value>),
    Single(Value),
}

/// All of them in the words of a configuration file.
pub(super) fn file(objects: &[Object]) -> Result<File, Failure> {
    let mut file = File::default();
    for object in objects {
        let spec: Value = serde_json::from_str(&object.spec_json)
            .map_err(|error| Failure::other(format_args!("{}/{} is no JSON: {error}", object.kind, object.name)))?;
        let kind = Kind::named(&object.kind);
        let key = kind.map_or_else(|| object.kind.clone(), |kind| kind.map().to_owned());
        if kind.is_some_and(Kind::is_single) {
            file.0.insert(key, Part::Single(spec));
        } else if let Part::Map(map) = file.0.entry(key).or_insert_with(|| Part::Map(IndexMap::new())) {
            map.insert(object.name.clone(), spec);
        }
    }
    Ok(file)
}

/// There is no such object.
pub(super) fn nowhere(kind: Option<Kind>, name: Option<&str>) -> Failure {
    let kind = kind.map_or("object", Kind::as_str);
    Failure::other(format_args!("no {kind} is called `{}`; `sluice get {kind}` lists them", name.unwrap_or_default()))
}

/// The most telling words of an object, on one line.
fn says(object: &Object) -> String {
    let Ok(Value::Object(spec)) = serde_json::from_str(&object.spec_json) else { return object.spec_json.clone() };
    let mut words: Vec<_> = spec.iter().collect();
    words.sort_by_key(|(key, _)| !TELLING.contains(&key.as_str()));
    let text = words.into_iter().map(|(key, value)| format!("{key}: {}", flat(value))).collect::<Vec<_>>().join(", ");
    output::cut(text, SAYS)
}

fn flat(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(flat).collect::<Vec<_>>().join(", ")),
        Value::Object(map) => {
            let entries = map.iter().map(|(key, value)| format!("{key}: {}", flat(value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(kind: &str, name: &str, spec: &str) -> Object {
        Object { kind: kind.to_owned(), name: name.to_owned(), spec_json: spec.to_owned(), revision: 3 }
    }

    #[test]
    fn objects_together_are_a_configuration_file() {
        let objects = [
            object("server", "z", r#"{"url":"http://a/mcp"}"#),
            object("server", "b", r#"{"command":"x","args":["1","2"]}"#),
            object("proxy", "proxy", r#"{"port":8000}"#),
            object("policy", "p", "{}"),
        ];
        let expected = serde_json::json!({
            "servers": {"z": {"url": "http://a/mcp"}, "b": {"command": "x", "args": ["1", "2"]}},
            "proxy": {"port": 8000},
            "policies": {"p": {}},
        });
        assert_eq!(serde_json::to_value(file(&objects).ok()).unwrap(), expected);
        assert!(
            matches!(&file(&objects).unwrap().0["servers"], Part::Map(map) if map.keys().eq(["z", "b"])),
            "order is meaning"
        );
        assert_eq!(says(&objects[1]), "command: x, args: [1, 2]");
    }
}
