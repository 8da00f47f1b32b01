//! Replaces handles in a reply that streams past, whatever its chunks.

use bytes::Bytes;

use super::{
    HandleKind,
    place::Site,
    walk::{Hit, Walk},
};
use crate::{scan::window::Window, text, uri};

/// Why a reply cannot be passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HandleError {
    /// A handle, or a URI, exceeds the limit; it would have to be held to be replaced.
    #[error("a handle or URI in the reply exceeds {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
}

/// Replaces `result.requestState`, `result.nextCursor`, `result.taskId`, `result.task.taskId`, `result.tasks[].taskId`
/// and the task id of `result._meta["io.modelcontextprotocol/related-task"]` in one JSON reply, in a batch of them, or in
/// several that follow each other. Only strings, and only at these places; all else passes as slices of the input.
///
/// One made by [`HandleFilter::with_links`] replaces URIs, too.
///
/// Holds back nothing but a handle or URI that has begun and not ended.
pub struct HandleFilter {
    limit: usize,
    walk: Walk,
    /// The beginning of a handle, from earlier chunks.
    held: Vec<u8>,
    broken: bool,
}

impl std::fmt::Debug for HandleFilter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HandleFilter").field("held", &self.held.len()).finish_non_exhaustive()
    }
}

impl HandleFilter {
    /// A filter at the start of a reply. No handle may be larger than `max_value_bytes` as it is spelled, quotes
    /// included.
    #[must_use]
    pub fn new(max_value_bytes: usize) -> Self {
        Self { limit: max_value_bytes, walk: Walk::new(false, false), held: Vec::new(), broken: false }
    }

    /// A filter at the start of a reply that replaces resource URIs as well ([`HandleKind::Uri`]): `uri` and `resource.uri`
    /// of `result.content` and of each `result.messages[].content`, item or array of items; `result.contents[].uri`; what
    /// begins with `ui://` in `result._meta.ui.resourceUri` and `result._meta["ui/resourceUri"]`. No URI may be larger than
    /// `max_value_bytes` either.
    ///
    /// It goes by place, not by `type`, which may come after the URI. What lies deeper, as in `structuredContent`, passes
    /// as it is; [`super::handles_and_links`] finds it in a complete message.
    #[must_use]
    pub fn with_links(max_value_bytes: usize) -> Self {
        Self { walk: Walk::new(false, true), ..Self::new(max_value_bytes) }
    }

    /// Takes the next chunk and appends what can go on to `out`. `map` gets each handle decoded and gives what stands
    /// there afterwards, not yet encoded.
    ///
    /// # Errors
    ///
    /// [`HandleError::TooLarge`], now and ever after.
    pub fn feed(
        &mut self,
        chunk: &Bytes,
        out: &mut Vec<Bytes>,
        map: &mut dyn FnMut(HandleKind, &str) -> String,
    ) -> Result<(), HandleError> {
        if self.broken {
            return self.give_up();
        }
        // What lies between `done` and `at` has been walked over and not given out.
        let (mut done, mut at) = (0, 0);
        let mut window = Window::new();
        while let Some(hit) = self.walk.next(chunk, &mut at, &mut window) {
            match hit {
                Hit::Begin => {
                    pass(chunk, done, at - 1, out);
                    done = at - 1;
                }
                Hit::End(site) => {
                    if self.held.len() + at - done > self.limit {
                        return self.give_up();
                    }
                    self.replace(chunk, done, at, site, out, map);
                    done = at;
                }
            }
        }
        if !self.walk.in_value() {
            pass(chunk, done, chunk.len(), out);
            return Ok(());
        }
        if self.held.len() + chunk.len() - done > self.limit {
            return self.give_up();
        }
        self.held.extend_from_slice(&chunk[done..]);
        Ok(())
    }

    /// Ends the reply. One that ends within a handle is broken off; what was held goes on as it came.
    ///
    /// # Errors
    ///
    /// [`HandleError::TooLarge`] again, if `feed` said so.
    pub fn finish(&mut self, out: &mut Vec<Bytes>) -> Result<(), HandleError> {
        if self.broken {
            return self.give_up();
        }
        if !self.held.is_empty() {
            out.push(Bytes::from(std::mem::take(&mut self.held)));
        }
        Ok(())
    }

    /// Gives out the replacement of a handle whose last bytes are `chunk[from..to]`.
    fn replace(
        &mut self,
        chunk: &Bytes,
        from: usize,
        to: usize,
        site: Site,
        out: &mut Vec<Bytes>,
        map: &mut dyn FnMut(HandleKind, &str) -> String,
    ) {
        let token = if self.held.is_empty() {
            chunk.slice(from..to)
        } else {
            self.held.extend_from_slice(&chunk[from..to]);
            Bytes::from(std::mem::take(&mut self.held))
        };
        let handle = text::decode_string(&token);
        if site == Site::Ui && !uri::is_ui(&handle) {
            out.push(token.clone());
            return;
        }
        let new = map(site.kind(), &handle);
        if new == *handle {
            out.push(token.clone());
        } else {
            out.push(Bytes::from(text::encode_string(&new)));
        }
    }

    fn give_up(&mut self) -> Result<(), HandleError> {
        self.broken = true;
        self.held = Vec::new();
        Err(HandleError::TooLarge { limit: self.limit })
    }
}

fn pass(chunk: &Bytes, from: usize, to: usize, out: &mut Vec<Bytes>) {
    if from < to {
        out.push(chunk.slice(from..to));
    }
}
