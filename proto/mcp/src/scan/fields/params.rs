//! `params`, its `_meta`, and the related task there.

use super::{fill, meta_key, other, read_task, vacant};
use crate::{
    Params, Span,
    scan::{
        cursor::{Cursor, Step},
        seen::Seen,
    },
};

pub(super) fn read_params(cursor: &mut Cursor<'_>, p: &mut Params) -> Step<Span> {
    let mut seen = Seen::default();
    cursor.members(|cursor, key| {
        let field = match &*key.text {
            b"name" => &mut p.name,
            b"arguments" => &mut p.arguments,
            b"uri" => &mut p.uri,
            b"ref" => &mut p.ref_,
            b"cursor" => &mut p.cursor,
            b"taskId" => &mut p.task_id,
            b"requestState" => &mut p.request_state,
            b"inputResponses" => &mut p.input_responses,
            b"requestId" => &mut p.request_id,
            b"progressToken" => &mut p.progress_token,
            b"level" => &mut p.level,
            b"protocolVersion" => &mut p.protocol_version,
            b"capabilities" => &mut p.capabilities,
            b"clientInfo" => &mut p.client_info,
            b"notifications" => &mut p.notifications,
            b"_meta" => {
                vacant(key.at, &p.meta)?;
                p.meta = Some(match cursor.token() {
                    Some(b'{') => read_params_meta(cursor, p)?,
                    _ => cursor.value()?,
                });
                return Ok(());
            }
            _ => return other(cursor, &mut seen, key),
        };
        fill(cursor, key.at, field)
    })
}

fn read_params_meta(cursor: &mut Cursor<'_>, p: &mut Params) -> Step<Span> {
    let mut seen = Seen::default();
    let mut related = None;
    cursor.members(|cursor, key| {
        let field = match &*key.text {
            b"progressToken" => &mut p.meta_progress_token,
            meta_key::PROTOCOL_VERSION => &mut p.meta_protocol_version,
            meta_key::CLIENT_INFO => &mut p.meta_client_info,
            meta_key::CLIENT_CAPABILITIES => &mut p.meta_client_capabilities,
            meta_key::LOG_LEVEL => &mut p.meta_log_level,
            meta_key::SUBSCRIPTION_ID => &mut p.meta_subscription_id,
            meta_key::RELATED_TASK => {
                return read_task(cursor, key.at, &mut related, &mut p.meta_related_task);
            }
            _ => return other(cursor, &mut seen, key),
        };
        fill(cursor, key.at, field)
    })
}
