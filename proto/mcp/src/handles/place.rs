//! The few places of a message that hold handles, and in replies URIs: which containers lead to them, by which keys.

use super::HandleKind;
use crate::Method;

/// A container whose members matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Outside of everything: messages follow each other.
    Top,
    /// An array of messages.
    Batch,
    Message,
    Result,
    Params,
    /// An object with a `taskId`.
    Task,
    /// An array of those.
    Tasks,
    Meta,
    /// The filter of a subscription.
    Filter,
    /// An array of task ids.
    Ids,
    /// An array of content items: text, images, links, embedded resources.
    Items,
    /// One of those.
    Item,
    /// An array of resource contents.
    Resources,
    /// An object with a `uri`.
    Resource,
    /// An array of a prompt's messages.
    Messages,
    /// One of those; its `content` is an item or an array of them.
    PromptMessage,
    /// What MCP Apps say in `_meta`.
    Ui,
    Error,
}

/// A string value that matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Site {
    RequestState,
    Cursor,
    Task,
    /// `taskId` directly in `params`.
    NotifiedTask,
    /// A member of `params.notifications.taskIds`.
    ListenedTask,
    /// The URI of a resource.
    Link,
    /// The URI of a resource if it begins with `ui://`.
    Ui,
    /// Not a handle: the message's method.
    Method,
}

impl Site {
    pub(super) fn kind(self) -> HandleKind {
        match self {
            Site::RequestState => HandleKind::RequestState,
            Site::Cursor => HandleKind::Cursor,
            Site::Link | Site::Ui => HandleKind::Uri,
            _ => HandleKind::Task,
        }
    }

    /// Whether it depends on the method if this is a handle.
    pub(super) fn tentative(self) -> bool {
        matches!(self, Site::NotifiedTask | Site::ListenedTask)
    }

    pub(super) fn counts_in(self, method: Method) -> bool {
        match self {
            Site::NotifiedTask => {
                matches!(method, Method::NotificationTasksStatus | Method::NotificationTasks)
            }
            Site::ListenedTask => method == Method::NotificationSubscriptionsAcknowledged,
            _ => true,
        }
    }
}

/// What the value at hand is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    Nothing,
    Enter(Place),
    String(Site),
}

/// The longest key that matters, with every character spelled as a `\u` escape.
pub(super) const LONGEST_KEY: usize = RELATED_TASK.len() * 6;
const RELATED_TASK: &[u8] = b"io.modelcontextprotocol/related-task";

impl Place {
    /// Whether its members follow each other without keys.
    pub(super) fn is_array(self) -> bool {
        use Place::{Batch, Ids, Items, Messages, Resources, Tasks};
        matches!(self, Batch | Tasks | Ids | Items | Resources | Messages)
    }

    /// What a decoded key says of the value that follows it. Without `params`, only responses matter.
    pub(super) fn meaning(self, key: &[u8], params: bool) -> Target {
        match (self, key) {
            (Place::Message, b"result") => Target::Enter(Place::Result),
            (Place::Message, b"params") if params => Target::Enter(Place::Params),
            (Place::Message, b"method") if params => Target::String(Site::Method),
            (Place::Result, b"requestState") => Target::String(Site::RequestState),
            (Place::Result, b"nextCursor") => Target::String(Site::Cursor),
            (Place::Result | Place::Task, b"taskId") => Target::String(Site::Task),
            (Place::Result, b"task") => Target::Enter(Place::Task),
            (Place::Result, b"tasks") => Target::Enter(Place::Tasks),
            (Place::Result | Place::Params, b"_meta") => Target::Enter(Place::Meta),
            (Place::Meta, RELATED_TASK) => Target::Enter(Place::Task),
            (Place::Params, b"taskId") => Target::String(Site::NotifiedTask),
            (Place::Params, b"notifications") => Target::Enter(Place::Filter),
            (Place::Filter, b"taskIds") => Target::Enter(Place::Ids),
            _ => Target::Nothing,
        }
    }

    /// What a decoded key says that means nothing for handles, where URIs matter, too.
    pub(super) fn link(self, key: &[u8]) -> Target {
        match (self, key) {
            (Place::Result | Place::PromptMessage, b"content") => Target::Enter(Place::Items),
            (Place::Result, b"contents") => Target::Enter(Place::Resources),
            (Place::Message, b"error") => Target::Enter(Place::Error),
            (Place::Error, b"data") => Target::Enter(Place::Resource),
            (Place::Result, b"messages") => Target::Enter(Place::Messages),
            (Place::Item, b"resource") => Target::Enter(Place::Resource),
            (Place::Item | Place::Resource, b"uri") => Target::String(Site::Link),
            (Place::Meta, b"ui") => Target::Enter(Place::Ui),
            (Place::Meta, b"ui/resourceUri") | (Place::Ui, b"resourceUri") => Target::String(Site::Ui),
            _ => Target::Nothing,
        }
    }

    /// What a value without a key, which begins with this byte, is here.
    pub(super) fn member(self, first: u8) -> Target {
        match (self, first) {
            (Place::Top, b'[') => Target::Enter(Place::Batch),
            (Place::Top | Place::Batch, b'{') => Target::Enter(Place::Message),
            (Place::Tasks, b'{') => Target::Enter(Place::Task),
            (Place::Items, b'{') => Target::Enter(Place::Item),
            (Place::Resources, b'{') => Target::Enter(Place::Resource),
            (Place::Messages, b'{') => Target::Enter(Place::PromptMessage),
            (Place::Ids, b'"') => Target::String(Site::ListenedTask),
            _ => Target::Nothing,
        }
    }
}
