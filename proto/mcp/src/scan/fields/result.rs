//! `result`, its `_meta`, and the tasks there.

use super::{fill, meta_key, other, read_task, vacant};
use crate::{
    ResultFields, Span,
    scan::{
        cursor::{Cursor, Step},
        seen::Seen,
    },
};

pub(super) fn read_result(cursor: &mut Cursor<'_>, r: &mut ResultFields) -> Step<Span> {
    let mut seen = Seen::default();
    let mut task = None;
    cursor.members(|cursor, key| {
        let field = match &*key.text {
            b"protocolVersion" => &mut r.protocol_version,
            b"capabilities" => &mut r.capabilities,
            b"serverInfo" => &mut r.server_info,
            b"supportedVersions" => &mut r.supported_versions,
            b"nextCursor" => &mut r.next_cursor,
            b"requestState" => &mut r.request_state,
            b"resultType" => &mut r.result_type,
            b"taskId" => &mut r.task_id,
            b"tasks" => &mut r.tasks,
            b"inputRequests" => &mut r.input_requests,
            b"task" => return read_task(cursor, key.at, &mut task, &mut r.task_task_id),
            b"_meta" => {
                vacant(key.at, &r.meta)?;
                r.meta = Some(match cursor.token() {
                    Some(b'{') => read_result_meta(cursor, r)?,
                    _ => cursor.value()?,
                });
                return Ok(());
            }
            _ => return other(cursor, &mut seen, key),
        };
        fill(cursor, key.at, field)
    })
}

fn read_result_meta(cursor: &mut Cursor<'_>, r: &mut ResultFields) -> Step<Span> {
    let mut seen = Seen::default();
    let mut related = None;
    cursor.members(|cursor, key| {
        let field = match &*key.text {
            meta_key::SERVER_INFO => &mut r.meta_server_info,
            meta_key::SUBSCRIPTION_ID => &mut r.meta_subscription_id,
            meta_key::RELATED_TASK => {
                return read_task(cursor, key.at, &mut related, &mut r.meta_related_task);
            }
            _ => return other(cursor, &mut seen, key),
        };
        fill(cursor, key.at, field)
    })
}
