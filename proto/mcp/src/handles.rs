//! Handles: values a server minted and a client hands back (`requestState`, cursors, task ids, and, where many servers
//! share a door, resource URIs). Where they stand in a reply, and how to replace them while the reply streams past. This is
//! no validator: what is malformed passes.

mod filter;
mod link;
mod place;
mod walk;

use std::sync::LazyLock;

use memchr::memmem::Finder;
use smallvec::SmallVec;

use crate::{Kind, Message, Method, Span, scan::window::Window, text};
pub use filter::{HandleError, HandleFilter};
use place::Site;
use walk::{Hit, Walk};

/// What kind of handle a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HandleKind {
    /// `result.requestState` (multi round-trip requests).
    RequestState,
    /// `result.nextCursor` (pagination).
    Cursor,
    /// A task's id (tasks of 2025-11-25, and the tasks extension).
    Task,
    /// The URI of a resource; found only where links are asked for.
    Uri,
}

/// Lists the handles of one complete message: raw string tokens, in order.
///
/// In responses: `result.requestState`, `result.nextCursor`, `result.taskId`, `result.task.taskId`,
/// `result.tasks[].taskId`, and the related task of `result._meta`. In messages with a method: the related task of
/// `params._meta`; `params.taskId` of `notifications/tasks/status` and `notifications/tasks`;
/// `params.notifications.taskIds[]` of `notifications/subscriptions/acknowledged`.
pub fn handles(body: &[u8], out: &mut SmallVec<[(HandleKind, Span); 4]>) {
    if !may_hold(body) {
        return;
    }
    let first = out.len();
    let mut walk = Walk::new(true, false);
    let (mut at, mut begin) = (0, 0);
    let mut window = Window::new();
    let mut method = Method::Other;
    // Spans that count only if the method says so, with the methods that do.
    let mut tentative: SmallVec<[(u32, Site); 4]> = SmallVec::new();
    while let Some(hit) = walk.next(body, &mut at, &mut window) {
        match hit {
            Hit::Begin => begin = at - 1,
            Hit::End(Site::Method) => {
                method = Method::from_bytes(text::decode_string(&body[begin..at]).as_bytes());
            }
            Hit::End(site) => {
                let span = Span::new(begin, at);
                if site.tentative() {
                    tentative.push((span.start, site));
                }
                out.push((site.kind(), span));
            }
        }
    }
    if !tentative.is_empty() {
        let refused = |start| tentative.iter().any(|&(s, site)| s == start && !site.counts_in(method));
        let mut place = 0;
        out.retain(|(_, span)| {
            place += 1;
            place <= first || !refused(span.start)
        });
    }
}

/// What [`handles`] finds in a response, from what the scan read of it; `None` where it must be searched: the tasks of a list
/// were not read one by one.
pub fn handles_read(body: &[u8], message: &Message) -> Option<SmallVec<[(HandleKind, Span); 4]>> {
    if message.kind != Kind::Response || message.r.tasks.is_some() {
        return None;
    }
    let r = &message.r;
    let read = [
        (HandleKind::RequestState, r.request_state),
        (HandleKind::Cursor, r.next_cursor),
        (HandleKind::Task, r.task_id),
        (HandleKind::Task, r.task_task_id),
        (HandleKind::Task, r.meta_related_task),
    ];
    let mut found: SmallVec<[(HandleKind, Span); 4]> = SmallVec::new();
    for (kind, span) in read {
        // what is no string was never handed out as a handle
        if let Some(span) = span.filter(|span| span.of(body).starts_with(b"\"")) {
            found.push((kind, span));
        }
    }
    found.sort_unstable_by_key(|(_, span)| span.start);
    Some(found)
}

/// Lists what [`handles`] lists, and the URIs of resources ([`HandleKind::Uri`]) in a complete message on its way to the
/// client: raw string tokens, in order.
///
/// At any depth of `result` and `params`, `structuredContent` included: `uri` of objects whose `type` is `resource_link`,
/// `resource.uri` of those whose `type` is `resource`, and what begins with `ui://` in `_meta.ui.resourceUri` and
/// `_meta["ui/resourceUri"]` (MCP Apps). Beside them `result.contents[].uri`, `params.uri` of
/// `notifications/resources/updated`, `error.data.uri` (which resource was not found), and `params.notifications.resourceSubscriptions[]` of
/// `notifications/subscriptions/acknowledged`. The items of `resources/list` are not among them: see [`crate::list_page`].
///
/// Where a key occurs twice in one object, the last one counts, as with most parsers. A message that mentions no URI costs
/// a search for the keys.
pub fn handles_and_links(body: &[u8], out: &mut SmallVec<[(HandleKind, Span); 4]>) {
    let first = out.len();
    handles(body, out);
    if link::may_hold(body) {
        link::find(body, &mut |span| out.push((HandleKind::Uri, span)));
        out[first..].sort_unstable_by_key(|(_, span)| span.start);
    }
}

/// Whether a handle's key can occur in the body at all: spelled out, or hidden behind an escape.
fn may_hold(body: &[u8]) -> bool {
    static MARKERS: LazyLock<[Finder<'static>; 4]> =
        LazyLock::new(|| ["taskId", "requestState", "nextCursor", "\\u"].map(Finder::new));
    MARKERS.iter().any(|marker| marker.find(body).is_some())
}

#[cfg(test)]
mod tests;
