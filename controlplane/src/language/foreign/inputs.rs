//! Values that VS Code asks its user for: `inputs`, referred to as `${input:ID}`. Nobody can be asked here, so that they
//! are looked up as variables.

use crate::language::tree::{Content, Node};

/// The inputs a file declares.
#[derive(Default)]
pub(in crate::language) struct Inputs(Vec<Input>);

/// One of them.
pub(in crate::language) struct Input {
    id: String,
    /// What the user would be asked.
    pub(in crate::language) description: Option<String>,
    /// What the user would be offered.
    pub(in crate::language) default: Option<String>,
}

impl Inputs {
    /// Those of a list; what is not one of them is left out, for only references to it are mistakes.
    pub(super) fn read(node: &Node) -> Self {
        let Content::List(items) = &node.content else { return Self::default() };
        let text = |item: &Node, key: &str| item.get(key).and_then(Node::text).map(str::to_owned);
        let input = |item: &Node| {
            let (description, default) = (text(item, "description"), text(item, "default"));
            Some(Input { id: text(item, "id")?, description, default })
        };
        Self(items.iter().filter_map(input).collect())
    }

    /// The input of that id.
    pub(in crate::language) fn get(&self, id: &str) -> Option<&Input> {
        self.0.iter().find(|input| input.id == id)
    }
}

/// The name an environment variable for an input would have: `API_KEY` for `api-key`.
pub(in crate::language) fn variable(id: &str) -> String {
    let name: String =
        id.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect();
    if name.starts_with(|c: char| c.is_ascii_digit()) { format!("_{name}") } else { name }
}
