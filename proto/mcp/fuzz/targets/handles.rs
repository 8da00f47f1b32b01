//! However a reply is cut, the same handles and links are replaced, and a map that changes nothing changes no byte. The first byte
//! says how to cut.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use sluice_mcp::{HandleFilter, HandleKind, ScanLimits, handles, handles_and_links, scan};

type Map<'m> = &'m mut dyn FnMut(HandleKind, &str) -> String;

fn filter(mut filter: HandleFilter, body: &[u8], size: usize, map: Map<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    for chunk in body.chunks(size) {
        filter.feed(&Bytes::copy_from_slice(chunk), &mut out, map).expect("no limit");
    }
    filter.finish(&mut out).expect("no limit");
    out.concat()
}

fuzz_target!(|input: &[u8]| {
    let [how, body @ ..] = input else { return };
    let size = usize::from(*how) + 1;
    for new in [HandleFilter::new, HandleFilter::with_links] {
        let new = || new(usize::MAX);
        assert_eq!(filter(new(), body, size, &mut |_, handle| handle.to_owned()), body);
        let mut mark = |kind, handle: &str| format!("{kind:?} {handle}");
        assert_eq!(filter(new(), body, size, &mut mark), filter(new(), body, usize::MAX, &mut mark));
    }
    let mut listed = smallvec::SmallVec::new();
    handles(body, &mut listed);
    let mut linked = smallvec::SmallVec::new();
    handles_and_links(body, &mut linked);
    // In order, apart from each other, and all tokens of strings.
    assert!(linked.windows(2).all(|pair| pair[0].1.end <= pair[1].1.start));
    assert!(linked.iter().all(|(_, span)| span.of(body).starts_with(b"\"")));
    linked.retain(|(kind, _)| *kind != HandleKind::Uri);
    assert_eq!(linked, listed);
    let Ok(message) = scan(body, ScanLimits::default()) else { return };
    let is_text = |span: &sluice_mcp::Span| body[span.start as usize] == b'"';
    let r = message.r;
    for span in [r.request_state, r.next_cursor, r.task_id, r.task_task_id, r.meta_related_task].into_iter().flatten() {
        assert_eq!(is_text(&span), listed.iter().any(|(_, found)| *found == span));
    }
    if let Some(span) = message.p.meta_related_task.filter(is_text) {
        assert!(listed.iter().any(|(_, found)| *found == span));
    }
});
