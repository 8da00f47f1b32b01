//! The events of a call as they lie in a store, while the node that kept them is away for good and their client has not come yet.

use std::sync::Arc;

use bytes::Bytes;

use super::{Client, Kept, Phase, Ring};
use crate::budget::Budget;

/// No reconnection time.
const NO_RETRY: u64 = u64::MAX;

impl Ring {
    /// What a client may come back for, of a call; `None` where that is nothing.
    pub(crate) fn to_spill(&self) -> Option<Vec<u8>> {
        let inner = self.lock();
        let is_over = matches!(inner.phase, Phase::Over { early: false });
        let is_done = is_over && inner.taken == inner.last;
        if self.is_standing || inner.phase == Phase::Lost || is_done {
            return None;
        }
        let mut out = vec![u8::from(is_over)];
        out.extend_from_slice(&inner.last.to_be_bytes());
        for event in &inner.events {
            out.extend_from_slice(&event.number.to_be_bytes());
            out.extend_from_slice(&event.retry.unwrap_or(NO_RETRY).to_be_bytes());
            let texts = [event.id.as_deref().map(str::as_bytes), event.event.as_deref(), Some(&event.data[..])];
            for text in texts {
                let length = text.map_or(u32::MAX, |text| u32::try_from(text.len()).unwrap_or(0));
                out.extend_from_slice(&length.to_be_bytes());
                out.extend_from_slice(text.unwrap_or_default());
            }
        }
        Some(out)
    }

    /// A ring of what was spilled; `None` for what was not so written.
    pub(crate) fn of_spilled(stream: u64, text: &[u8], budget: Budget) -> Option<Arc<Self>> {
        let (is_over, rest) = text.split_first()?;
        let (last, mut rest) = rest.split_first_chunk()?;
        let ring = Self::new(stream, false, budget);
        {
            let mut inner = ring.lock();
            inner.client = Client::Away;
            while !rest.is_empty() {
                let (event, left) = event(rest)?;
                inner.push(event);
                rest = left;
            }
            inner.last = u64::from_be_bytes(*last);
            if inner.phase == Phase::Running {
                inner.phase = Phase::Over { early: *is_over == 0 };
            }
        }
        Some(Arc::new(ring))
    }
}

fn event(text: &[u8]) -> Option<(Kept, &[u8])> {
    let (number, rest) = text.split_first_chunk()?;
    let (retry, mut rest) = rest.split_first_chunk()?;
    let mut field = || {
        let (length, left) = rest.split_first_chunk()?;
        let length = u32::from_be_bytes(*length);
        let (text, left) = if length == u32::MAX { (None, left) } else { text_of(left, length)? };
        rest = left;
        Some(text)
    };
    let (id, event, data) = (field()?, field()?, field()?);
    let retry = Some(u64::from_be_bytes(*retry)).filter(|retry| *retry != NO_RETRY);
    let id = id.map(|id| String::from_utf8(id.to_vec())).transpose().ok()?;
    let kept = Kept {
        number: u64::from_be_bytes(*number),
        id,
        event: event.map(Bytes::copy_from_slice),
        data: Bytes::copy_from_slice(data?),
        retry,
        at: None,
    };
    Some((kept, rest))
}

fn text_of(text: &[u8], length: u32) -> Option<(Option<&[u8]>, &[u8])> {
    let (text, left) = text.split_at_checked(usize::try_from(length).ok()?)?;
    Some((Some(text), left))
}
