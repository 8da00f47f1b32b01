//! The methods of every revision as one closed set, and what a gateway asks about them.

/// A method of the protocol, in any revision from 2024-11-05 to 2026-07-28, the tasks extension included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "each variant is its wire name, see the table below")]
pub enum Method {
    Initialize,
    Ping,
    ServerDiscover,
    ToolsList,
    ToolsCall,
    PromptsList,
    PromptsGet,
    ResourcesList,
    ResourcesTemplatesList,
    ResourcesRead,
    ResourcesSubscribe,
    ResourcesUnsubscribe,
    SubscriptionsListen,
    CompletionComplete,
    LoggingSetLevel,
    TasksGet,
    TasksResult,
    TasksCancel,
    TasksList,
    TasksUpdate,
    SamplingCreateMessage,
    ElicitationCreate,
    RootsList,
    NotificationInitialized,
    NotificationCancelled,
    NotificationProgress,
    NotificationMessage,
    NotificationToolsListChanged,
    NotificationPromptsListChanged,
    NotificationResourcesListChanged,
    NotificationResourcesUpdated,
    NotificationRootsListChanged,
    NotificationElicitationComplete,
    NotificationTasksStatus,
    NotificationTasks,
    NotificationSubscriptionsAcknowledged,
    /// A method this crate does not know, notification or not.
    Other,
}

/// The field of `params` that the `Mcp-Name` header mirrors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mirrored {
    /// `params.name`.
    Name,
    /// `params.uri`.
    Uri,
    /// `params.taskId`, by the tasks extension (SEP-2663, *Routing Headers*).
    TaskId,
}

macro_rules! names {
    ($($name:literal => $method:ident,)*) => {
        impl Method {
            /// Every known method, [`Method::Other`] last.
            pub const ALL: &'static [Method] = &[$(Method::$method,)* Method::Other];

            /// The method of this decoded name; [`Method::Other`] when it is none of ours.
            #[must_use]
            pub fn from_bytes(name: &[u8]) -> Method {
                match name {
                    $($name => Method::$method,)*
                    _ => Method::Other,
                }
            }

            /// The name on the wire, or `other`: a closed set, fit for a metric label.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Method::$method => const { utf8($name) },)*
                    Method::Other => "other",
                }
            }
        }
    };
}

const fn utf8(name: &'static [u8]) -> &'static str {
    match std::str::from_utf8(name) {
        Ok(name) => name,
        Err(_) => panic!("names are ASCII"),
    }
}

names! {
    b"initialize" => Initialize,
    b"ping" => Ping,
    b"server/discover" => ServerDiscover,
    b"tools/list" => ToolsList,
    b"tools/call" => ToolsCall,
    b"prompts/list" => PromptsList,
    b"prompts/get" => PromptsGet,
    b"resources/list" => ResourcesList,
    b"resources/templates/list" => ResourcesTemplatesList,
    b"resources/read" => ResourcesRead,
    b"resources/subscribe" => ResourcesSubscribe,
    b"resources/unsubscribe" => ResourcesUnsubscribe,
    b"subscriptions/listen" => SubscriptionsListen,
    b"completion/complete" => CompletionComplete,
    b"logging/setLevel" => LoggingSetLevel,
    b"tasks/get" => TasksGet,
    b"tasks/result" => TasksResult,
    b"tasks/cancel" => TasksCancel,
    b"tasks/list" => TasksList,
    b"tasks/update" => TasksUpdate,
    b"sampling/createMessage" => SamplingCreateMessage,
    b"elicitation/create" => ElicitationCreate,
    b"roots/list" => RootsList,
    b"notifications/initialized" => NotificationInitialized,
    b"notifications/cancelled" => NotificationCancelled,
    b"notifications/progress" => NotificationProgress,
    b"notifications/message" => NotificationMessage,
    b"notifications/tools/list_changed" => NotificationToolsListChanged,
    b"notifications/prompts/list_changed" => NotificationPromptsListChanged,
    b"notifications/resources/list_changed" => NotificationResourcesListChanged,
    b"notifications/resources/updated" => NotificationResourcesUpdated,
    b"notifications/roots/list_changed" => NotificationRootsListChanged,
    b"notifications/elicitation/complete" => NotificationElicitationComplete,
    b"notifications/tasks/status" => NotificationTasksStatus,
    b"notifications/tasks" => NotificationTasks,
    b"notifications/subscriptions/acknowledged" => NotificationSubscriptionsAcknowledged,
}

impl Method {
    /// Whether this is a known notification.
    #[must_use]
    pub fn is_notification(self) -> bool {
        self >= Method::NotificationInitialized && self != Method::Other
    }

    /// What `Mcp-Name` mirrors for this method (streamable HTTP, *Standard Request Headers*; tasks extension,
    /// *Routing Headers*).
    #[must_use]
    pub fn mirrored(self) -> Option<Mirrored> {
        match self {
            Method::ToolsCall | Method::PromptsGet => Some(Mirrored::Name),
            Method::ResourcesRead => Some(Mirrored::Uri),
            Method::TasksGet | Method::TasksUpdate | Method::TasksCancel => Some(Mirrored::TaskId),
            _ => None,
        }
    }

    /// Whether this is a paginated list of a server's offerings: tools, prompts, resources, resource templates.
    #[must_use]
    pub fn is_list(self) -> bool {
        use Method::{PromptsList, ResourcesList, ResourcesTemplatesList, ToolsList};
        matches!(self, ToolsList | PromptsList | ResourcesList | ResourcesTemplatesList)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_leads_back_to_its_method() {
        for &method in Method::ALL {
            assert_eq!(Method::from_bytes(method.as_str().as_bytes()), method);
            assert_eq!(method.is_notification(), method.as_str().starts_with("notifications/"));
        }
    }
}
