//! The cases: each a piece of work as the path of a message does it, and how often it is done to be counted.

mod curate;
mod handles;
mod header;
mod list;
mod names;
mod scan;
mod splice;
mod sse;

use std::hint::black_box;

/// One piece of work.
pub(crate) struct Case {
    /// What it is called in the table of counts.
    pub(crate) name: &'static str,
    /// How often it is done: enough to drown what the allocator does now and then, little enough to be quick.
    pub(crate) times: u64,
    /// Makes the inputs, and gives what does it once.
    pub(crate) prepare: fn() -> Work,
}

/// Does it once.
pub(crate) type Work = Box<dyn FnMut()>;

/// Work whose outcome somebody might look at, so that it is done.
fn work<R>(mut act: impl FnMut() -> R + 'static) -> Work {
    Box::new(move || drop(black_box(act())))
}

/// For work of up to some thousand instructions.
const MANY: u64 = 1_000;
/// For work on tens of kilobytes.
const SOME: u64 = 100;
/// For work on a megabyte.
const FEW: u64 = 4;

/// All of them, in the order of the table.
pub(crate) fn all() -> impl Iterator<Item = Case> {
    let all = [
        scan::CASES,
        splice::CASES,
        sse::CASES,
        header::CASES,
        handles::CASES,
        names::CASES,
        curate::CASES,
        list::CASES,
    ];
    all.into_iter().flatten().map(|&(name, times, prepare)| Case { name, times, prepare })
}

/// A row of a table of cases.
type Row = (&'static str, u64, fn() -> Work);

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_case_runs_and_has_a_name_of_its_own() {
        let mut names = HashSet::new();
        for case in all() {
            assert!(names.insert(case.name), "{} is there twice", case.name);
            assert!(case.times > 0);
            let mut work = (case.prepare)();
            work();
            work();
        }
    }
}
