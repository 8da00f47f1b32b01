//! The order of objects, kept as positions with gaps, so that one more object moves no other.

/// The gap behind the last one, and so what fits in between: twenty halvings.
const GAP: i64 = 1 << 20;

/// Positions for objects in their order. What has a position keeps it, as long as that is in order.
pub(super) fn positions(current: &[Option<i64>]) -> Vec<i64> {
    let mut positions = Vec::with_capacity(current.len());
    let mut last = 0;
    for (index, known) in current.iter().enumerate() {
        let position = match known {
            Some(position) if *position > last => *position,
            _ => between(last, current[index + 1..].iter().flatten().copied().find(|later| *later > last)),
        };
        positions.push(position);
        last = position;
    }
    positions
}

fn between(last: i64, next: Option<i64>) -> i64 {
    match next {
        None => last + GAP,
        Some(next) => last + ((next - last) / 2).max(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_a_position_keeps_it_while_that_is_in_order() {
        let old = positions(&[None, None, None]);
        let [a, b, c] = old[..] else { panic!() };
        assert!(a < b && b < c);
        for new in [
            vec![Some(a), Some(b), Some(c), None],
            vec![None, Some(a), Some(b), Some(c)],
            vec![Some(a), None, None, Some(b), None],
            vec![Some(c), Some(a), Some(b)],
            vec![Some(b), None, Some(a), Some(c)],
        ] {
            let made = positions(&new);
            assert!(made.is_sorted_by(|a, b| a < b), "{new:?}: {made:?}");
            let in_order = new.iter().flatten().is_sorted();
            assert!(!in_order || new.iter().zip(&made).all(|(old, new)| old.is_none_or(|old| old == *new)), "{new:?}");
        }
    }

    #[test]
    fn there_is_always_room() {
        let mut all = positions(&[None, None]);
        for _ in 0..200 {
            let mut next: Vec<Option<i64>> = all.iter().copied().map(Some).collect();
            next.insert(1, None);
            all = positions(&next);
            assert!(all.is_sorted_by(|a, b| a < b), "{all:?}");
        }
    }
}
