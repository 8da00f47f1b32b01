//! What the writer took from the pages of all workers, put out in the order of time.

use std::io::Write;
use std::ops::Range;
use std::time::Instant;

use super::{Lines, Shared, locked};
use crate::limit;

/// Lines of all pages, those of each in the order in which they were written.
#[derive(Default)]
pub(super) struct Gathered {
    pages: Vec<Lines>,
    /// Before the first page was looked at: a line that is older is here, whatever its page.
    looked: Option<Instant>,
    /// Lines in order, to be written together.
    ordered: Vec<u8>,
}

impl Gathered {
    pub(super) fn is_empty(&self) -> bool {
        self.pages.iter().all(|page| page.ends.is_empty())
    }

    /// Takes all lines away from the pages.
    pub(super) fn take(&mut self, pages: &[Shared]) {
        self.looked = Some(Instant::now());
        self.pages.resize_with(pages.len(), Lines::default);
        for (taken, page) in self.pages.iter_mut().zip(pages) {
            let mut page = locked(page);
            if taken.ends.is_empty() {
                std::mem::swap(taken, &mut *page);
            } else {
                taken.append(&mut page);
            }
        }
    }

    /// Puts out what can be followed only by later lines; the rest stays.
    pub(super) fn put(&mut self, out: &mut impl Write) {
        self.put_until(self.looked, out);
    }

    /// Puts out everything.
    pub(super) fn put_all(&mut self, out: &mut impl Write) {
        self.put_until(None, out);
    }

    fn put_until(&mut self, end: Option<Instant>, out: &mut impl Write) {
        let mut lines: Vec<(Instant, usize, Range<usize>)> = Vec::new();
        for (number, page) in self.pages.iter().enumerate() {
            let mut start = 0;
            let due = page.ends.iter().take_while(|(at, _)| end.is_none_or(|end| *at <= end));
            lines.extend(due.map(|(at, end)| (*at, number, std::mem::replace(&mut start, *end)..*end)));
        }
        // those of one page, and of one moment, stay as they are
        lines.sort_by_key(|(at, ..)| *at);
        for (_, page, line) in &lines {
            self.ordered.extend_from_slice(&self.pages[*page].text[line.clone()]);
            if self.ordered.len() >= limit::LOG_WRITE_BYTES {
                put(&mut self.ordered, out);
            }
        }
        put(&mut self.ordered, out);
        for (number, page) in self.pages.iter_mut().enumerate() {
            page.forget(lines.iter().filter(|(_, of, _)| *of == number).count());
        }
    }
}

impl Lines {
    /// These, and then those of another, which has none afterwards.
    fn append(&mut self, other: &mut Self) {
        let before = self.text.len();
        self.text.append(&mut other.text);
        self.ends.extend(other.ends.drain(..).map(|(at, end)| (at, before + end)));
    }

    /// Drops the first ones. Pages write on in the room.
    fn forget(&mut self, count: usize) {
        let Some((_, end)) = count.checked_sub(1).and_then(|last| self.ends.get(last)).copied() else { return };
        self.text.drain(..end);
        self.ends.drain(..count);
        self.ends.iter_mut().for_each(|(_, at)| *at -= end);
        self.text.shrink_to(limit::LOG_PAGE_KEPT);
    }
}

fn put(text: &mut Vec<u8>, out: &mut impl Write) {
    // whoever closed stderr does not want it
    let _ = out.write_all(text);
    text.clear();
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn page(lines: &[(Instant, &str)]) -> Shared {
        let shared = Shared::default();
        write_on(&shared, lines);
        shared
    }

    fn write_on(page: &Shared, lines: &[(Instant, &str)]) {
        let mut page = locked(page);
        for (at, line) in lines {
            page.text.extend_from_slice(line.as_bytes());
            let end = page.text.len();
            page.ends.push((*at, end));
        }
    }

    #[test]
    fn lines_of_several_pages_go_out_in_the_order_of_time() {
        let start = Instant::now().checked_sub(Duration::from_secs(1)).unwrap();
        let at = |ms| start + Duration::from_millis(ms);
        let pages = [page(&[(at(1), "a1 "), (at(4), "a4 ")]), page(&[]), page(&[(at(2), "c2 "), (at(3), "c3 ")])];
        let (mut gathered, mut out) = (Gathered::default(), Vec::new());
        gathered.take(&pages);
        gathered.put(&mut out);
        assert_eq!(String::from_utf8_lossy(&out), "a1 c2 c3 a4 ");
        assert!(gathered.is_empty());
        gathered.put_all(&mut out);
        assert_eq!(out.len(), 12);
    }

    #[test]
    fn what_an_older_line_may_still_precede_waits_for_it() {
        let now = Instant::now();
        let later = |ms| now + Duration::from_secs(60) + Duration::from_millis(ms);
        let pages = [page(&[(now, "a "), (later(2), "a2 ")]), page(&[])];
        let (mut gathered, mut out) = (Gathered::default(), Vec::new());
        gathered.take(&pages);
        gathered.put(&mut out);
        assert_eq!(String::from_utf8_lossy(&out), "a ");
        write_on(&pages[1], &[(later(1), "b1 ")]);
        write_on(&pages[0], &[(later(3), "a3 ")]);
        gathered.take(&pages);
        gathered.put_all(&mut out);
        assert_eq!(String::from_utf8_lossy(&out), "a b1 a2 a3 ");
        assert!(gathered.is_empty() && locked(&pages[0]).text.is_empty());
    }
}
