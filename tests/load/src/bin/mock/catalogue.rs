//! The tools a server offers, in pages that are written once.

use serde_json::json;

const DESCRIPTION: &str =
    "Finds the orders of a customer between two days, newest first, and says for each its number, state and sum.";

/// The tools of one server. All servers of the process have the same.
pub(crate) struct Catalogue {
    count: usize,
    /// The members of each page's result, without braces.
    pages: Vec<String>,
}

impl Catalogue {
    /// So many tools, in pages of `page`.
    pub(crate) fn new(count: usize, page: usize) -> Self {
        let all: Vec<usize> = (0..count).collect();
        let last = count.div_ceil(page).saturating_sub(1);
        let write = |(at, numbers): (usize, &[usize])| {
            let tools = numbers.iter().map(|number| tool(*number)).collect::<Vec<_>>().join(",");
            let next = if at < last { format!(r#","nextCursor":"{}""#, at + 1) } else { String::new() };
            format!(r#""tools":[{tools}]{next}"#)
        };
        let mut pages: Vec<String> = all.chunks(page).enumerate().map(write).collect();
        if pages.is_empty() {
            pages.push(r#""tools":[]"#.to_owned());
        }
        Self { count, pages }
    }

    /// The page a cursor names, or the first; `None` for a cursor that was never given out.
    pub(crate) fn page(&self, cursor: Option<&str>) -> Option<&str> {
        let at = cursor.map_or(Some(0), |cursor| cursor.parse().ok());
        self.pages.get(at?).map(String::as_str)
    }

    /// Whether there is a tool of that name.
    pub(crate) fn has(&self, name: &str) -> bool {
        let number = name.strip_prefix("tool_").and_then(|number| number.parse::<usize>().ok());
        number.is_some_and(|number| number < self.count)
    }
}

/// A tool as a server of ordinary size describes its own: some 470 bytes.
fn tool(number: usize) -> String {
    json!({
        "name": format!("tool_{number}"),
        "title": format!("Search orders {number}"),
        "description": DESCRIPTION,
        "inputSchema": {
            "type": "object",
            "properties": {
                "text": { "type": "string", "description": "Name or number of the customer" },
                "bytes": { "type": "integer", "description": "Length of the answer's text" },
                "limit": { "type": "integer", "minimum": 1, "maximum": 100, "default": 20 },
            },
            "required": ["text"],
        },
        "annotations": { "readOnlyHint": true },
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other_to_the_last_tool() {
        let tools = Catalogue::new(501, 500);
        let (first, second) = (tools.page(None).unwrap(), tools.page(Some("1")).unwrap());
        assert!(first.ends_with(r#""nextCursor":"1""#) && !first.contains("\"tool_500\""));
        assert!(second.contains("\"tool_500\"") && !second.contains("nextCursor"));
        assert_eq!(tools.page(Some("2")), None);
        assert!(tools.has("tool_500") && !tools.has("tool_501"));
    }

    #[test]
    fn a_full_last_page_has_no_next() {
        assert!(!Catalogue::new(500, 500).page(None).unwrap().contains("nextCursor"));
        assert_eq!(Catalogue::new(0, 500).page(None), Some(r#""tools":[]"#));
    }

    #[test]
    fn a_tool_is_as_large_as_promised() {
        assert!((460..490).contains(&tool(7).len()), "{}", tool(7).len());
    }
}
