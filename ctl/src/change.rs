//! Changes of the configuration as people and programs see them: what a change did, would do, or once did.

use serde_json::{Value, json};
use sluice_contract::v1::{Change, ChangeKind, FieldChange};

use crate::output::{self, Paint, Stream, Tone, visible};

/// Longest value shown, in characters. A longer one is cut: `-o json` has it whole.
const LONGEST: usize = 60;

/// Characters of the longest word for what became of an object.
const WORD: usize = "changed".len();

/// A line per changed object, and one per field where there are several, painted for where they are written.
pub(crate) fn lines(changes: &[Change], stream: Stream) -> String {
    let paint = Paint::on(stream);
    let widest = changes.iter().map(|change| title(change).chars().count()).max().unwrap_or_default();
    let mut lines = Vec::new();
    for change in changes {
        let (tone, word) = word(change.change());
        let gap = " ".repeat(WORD - word.len());
        let head = format!("{:widest$}  {}{gap}", title(change), paint.text(tone, word));
        let margin = " ".repeat(widest + 2 + WORD);
        let mut fields = change.fields.iter().map(|change| field(change, paint));
        // What is new or gone altogether is told by its name.
        let first = if change.change() == ChangeKind::Changed { fields.next() } else { None };
        lines.push(format!("{head}  {}", first.unwrap_or_default()).trim_end().to_owned());
        if change.change() == ChangeKind::Changed {
            lines.extend(fields.map(|field| format!("{margin}  {field}")));
        }
    }
    lines.join("\n")
}

/// A few words about changes, for a cell of a table.
pub(crate) fn summary(changes: &[Change]) -> String {
    let told: Vec<String> =
        changes.iter().take(3).map(|change| format!("{}{}", sign(change.change()), title(change))).collect();
    match changes.len().saturating_sub(told.len()) {
        0 => told.join(" "),
        more => format!("{} and {more} more", told.join(" ")),
    }
}

/// Changes for programs.
pub(crate) fn values(changes: &[Change]) -> Value {
    let field = |field: &FieldChange| json!({"path": field.path, "before": parsed(field.before.as_deref()), "after": parsed(field.after.as_deref())});
    let change = |change: &Change| {
        json!({
            "change": word(change.change()).1,
            "kind": change.kind,
            "name": change.name,
            "fields": change.fields.iter().map(field).collect::<Vec<_>>(),
        })
    };
    Value::Array(changes.iter().map(change).collect())
}

/// `server/weather`; `proxy` for the only one of its kind.
pub(crate) fn title(change: &Change) -> String {
    let (kind, name) = (visible(&change.kind), visible(&change.name));
    if kind == name { kind.into_owned() } else { format!("{kind}/{name}") }
}

fn field(field: &FieldChange, paint: Paint) -> String {
    let value = |json: &Option<String>| json.as_deref().map(shown);
    let path = visible(&field.path);
    match (value(&field.before), value(&field.after)) {
        (Some(before), Some(after)) if before == after => {
            format!("{path} {}", paint.text(Tone::Quiet, "(another value)"))
        }
        (Some(before), Some(after)) => format!("{path} {} → {after}", paint.text(Tone::Quiet, &before)),
        (None, Some(after)) => format!("{} {}", paint.text(Tone::Good, &format!("+{path}")), after),
        (Some(before), None) => {
            format!("{} {}", paint.text(Tone::Bad, &format!("-{path}")), paint.text(Tone::Quiet, &before))
        }
        (None, None) => path.into_owned(),
    }
}

/// JSON as people read it: texts that look like texts have no quotes.
fn shown(json: &str) -> String {
    let text = match serde_json::from_str(json) {
        Ok(Value::String(text)) if !text.is_empty() && !text.contains(char::is_whitespace) => text,
        _ => json.to_owned(),
    };
    visible(&output::cut(text, LONGEST)).into_owned()
}

fn parsed(json: Option<&str>) -> Value {
    json.map_or(Value::Null, |json| serde_json::from_str(json).unwrap_or_else(|_| Value::String(json.to_owned())))
}

fn word(change: ChangeKind) -> (Tone, &'static str) {
    match change {
        ChangeKind::Added => (Tone::Good, "added"),
        ChangeKind::Changed => (Tone::Notice, "changed"),
        ChangeKind::Removed => (Tone::Bad, "removed"),
        ChangeKind::Unspecified => (Tone::Plain, "other"),
    }
}

fn sign(change: ChangeKind) -> &'static str {
    match change {
        ChangeKind::Added => "+",
        ChangeKind::Removed => "-",
        ChangeKind::Changed | ChangeKind::Unspecified => "~",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(path: &str, before: Option<&str>, after: Option<&str>) -> FieldChange {
        FieldChange { path: path.to_owned(), before: before.map(str::to_owned), after: after.map(str::to_owned) }
    }

    fn change(kind: ChangeKind, name: &str, fields: Vec<FieldChange>) -> Change {
        Change { change: kind.into(), kind: "server".to_owned(), name: name.to_owned(), fields }
    }

    #[test]
    fn each_object_has_a_line_and_each_further_field_one_more() {
        let fields = vec![
            field("timeout", Some("30"), Some("60")),
            field("auth.token", Some("\"***\""), Some("\"***\"")),
            field("args[0]", None, Some("\"a b\"")),
            field("cwd", Some("\"/tmp\""), None),
        ];
        let changes = [
            change(ChangeKind::Changed, "weather", fields),
            change(ChangeKind::Added, "a", vec![field("url", None, Some("\"http://a\""))]),
            Change { kind: "proxy".into(), name: "proxy".into(), ..change(ChangeKind::Removed, "", vec![]) },
        ];
        let expected = "server/weather  changed  timeout 30 → 60\n\
                        \x20                        auth.token (another value)\n\
                        \x20                        +args[0] \"a b\"\n\
                        \x20                        -cwd /tmp\n\
                        server/a        added\n\
                        proxy           removed";
        assert_eq!(lines(&changes, Stream::Stdout), expected);
        assert_eq!(summary(&changes), "~server/weather +server/a -proxy");
        assert_eq!(values(&changes)[0]["fields"][0]["after"], 60);
    }

    #[test]
    fn long_values_are_cut() {
        let long = format!("\"{}\"", "ä".repeat(500));
        let changes = [change(ChangeKind::Changed, "a", vec![field("url", None, Some(&long))])];
        let text = lines(&changes, Stream::Stdout);
        assert!(text.chars().count() < 100 && text.ends_with('…'), "{text}");
    }
}
