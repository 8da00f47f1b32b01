//! Drawing lots: quickly, and different on every worker. Nothing secret hangs on them.

use std::cell::Cell;

use crate::seal;

thread_local! {
    static STATE: Cell<u64> = Cell::new(u64::from_be_bytes(seal::random()));
}

/// A number below `bound`, all about equally often; 0 where there is none.
pub(in crate::upstream) fn draw(bound: u32) -> u32 {
    let state = STATE.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
    STATE.set(state);
    // the finaliser of SplitMix64: neighbouring states become unlike numbers
    let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    let drawn = (mixed ^ mixed >> 31) >> 32;
    // of 32 bits the upper part of the product: no division
    ((drawn * u64::from(bound)) >> 32) as u32
}
