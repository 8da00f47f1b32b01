//! The kinds of lists that servers offer.

use sluice_mcp::Method;
use sluice_snapshot::policy::Object;

use crate::limit;
use crate::reason::Reason;

/// The kinds of lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Tools,
    Prompts,
    Resources,
    Templates,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::Tools, Self::Prompts, Self::Resources, Self::Templates];

    /// The kind a list method asks for.
    pub(crate) fn of(method: Method) -> Option<Self> {
        Some(match method {
            Method::ToolsList => Self::Tools,
            Method::PromptsList => Self::Prompts,
            Method::ResourcesList => Self::Resources,
            Method::ResourcesTemplatesList => Self::Templates,
            _ => return None,
        })
    }

    /// The kinds that a notification says have changed.
    pub(crate) fn changed_by(method: Method) -> &'static [Self] {
        match method {
            Method::NotificationToolsListChanged => &[Self::Tools],
            Method::NotificationPromptsListChanged => &[Self::Prompts],
            Method::NotificationResourcesListChanged => &[Self::Resources, Self::Templates],
            _ => &[],
        }
    }

    pub(crate) fn method(self) -> Method {
        match self {
            Self::Tools => Method::ToolsList,
            Self::Prompts => Method::PromptsList,
            Self::Resources => Method::ResourcesList,
            Self::Templates => Method::ResourcesTemplatesList,
        }
    }

    /// The member of the result that holds the items.
    pub(crate) fn member(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Prompts => "prompts",
            Self::Resources => "resources",
            Self::Templates => "resourceTemplates",
        }
    }

    /// What policies call an item of this kind.
    pub(crate) fn object(self, name: &str) -> Object<'_> {
        match self {
            Self::Tools => Object::Tool(name),
            Self::Prompts => Object::Prompt(name),
            Self::Resources => Object::Resource(name),
            Self::Templates => Object::Template(name),
        }
    }

    /// That nothing of this kind has that name.
    pub(crate) fn unknown(self, name: &str) -> Reason {
        let name = name.chars().take(limit::SHOWN_NAME_CHARS).collect();
        match self {
            Self::Tools => Reason::UnknownTool(name),
            Self::Prompts => Reason::UnknownPrompt(name),
            Self::Resources | Self::Templates => Reason::UnknownResource { uri: name, legacy: false },
        }
    }

    /// The server capability without which there is no such list.
    pub(crate) fn capability(self) -> &'static str {
        match self {
            Self::Templates => "resources",
            kind => kind.member(),
        }
    }
}
