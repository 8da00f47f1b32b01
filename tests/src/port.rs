//! Free TCP ports. Between finding one and its use somebody else may take it; whoever starts a server tries again.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

/// Below the range that the kernel takes outgoing ports from, so that no client's connection sits on one.
const FIRST: u32 = 12_000;
const COUNT: u32 = 20_000;

/// A port that nobody listens on right now. Processes start at different places, so that tests side by side rarely meet.
#[must_use]
pub fn free() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id().wrapping_mul(2_654_435_761) >> 8;
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = u16::try_from(FIRST + start.wrapping_add(step) % COUNT).expect("the range fits");
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no free port");
}
