use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use super::{Kept, Missing, Of, Place, Position, Positions, Read, Reader, Ring};
use crate::budget::Budget;
use crate::limit;

fn ring(budget: &Budget) -> Arc<Ring> {
    Arc::new(Ring::new(7, false, budget.clone()))
}

fn say(ring: &Ring, text: &str) -> u64 {
    ring.push(kept(text))
}

fn kept(text: &str) -> Kept {
    Kept { number: 0, id: None, event: None, data: Bytes::from(text.to_owned()), retry: None, at: None }
}

fn read(reader: &mut Reader) -> Vec<String> {
    let mut texts = Vec::new();
    while let Poll::Ready(Read::Event(Kept { data, .. })) = reader.poll(&Context::from_waker(Waker::noop())) {
        texts.push(String::from_utf8(data.to_vec()).unwrap());
    }
    texts
}

fn missing(read: Result<Reader, Missing>) -> Missing {
    read.err().expect("nothing to read")
}

#[test]
fn a_reader_gets_what_came_after_the_event_it_names_and_what_comes() {
    let budget = Budget::default();
    let ring = ring(&budget);
    assert_eq!(["a", "b", "c"].map(|text| say(&ring, text)), [1, 2, 3]);
    ring.let_go();
    assert!(ring.waits() && ring.is_taken());
    let mut reader = ring.read(Some(1)).ok().unwrap();
    assert_eq!(read(&mut reader), ["b", "c"]);
    say(&ring, "d");
    assert!(!ring.is_taken());
    assert_eq!(read(&mut reader), ["d"]);
    ring.end(false);
    assert_eq!(reader.poll(&Context::from_waker(Waker::noop())), Poll::Ready(Read::Over { early: false }));
    assert_eq!(missing(ring.read(Some(4))), Missing::Over { early: false });
    assert_eq!(read(&mut ring.read(Some(3)).ok().unwrap()), ["d"], "it may have been lost on its way");
    assert_eq!(missing(ring.read(Some(5))), Missing::Lost, "nobody was given that");
    drop((reader, ring));
    assert_eq!(budget.used(), 0);
}

#[test]
fn a_client_that_names_no_event_gets_what_nobody_was_given() {
    let ring = ring(&Budget::default());
    say(&ring, "a");
    ring.let_go();
    say(&ring, "b");
    assert_eq!(read(&mut ring.read(None).ok().unwrap()), ["b"]);
    assert_eq!(read(&mut ring.read(None).ok().unwrap()), Vec::<String>::new());
}

#[test]
fn the_newest_reader_takes_the_place_of_those_before() {
    let ring = ring(&Budget::default());
    let context = Context::from_waker(Waker::noop());
    assert!(!ring.is_read(&context));
    let mut first = ring.read(Some(0)).ok().unwrap();
    assert!(ring.is_read(&context), "whoever passed events on directly");
    let mut second = ring.read(Some(0)).ok().unwrap();
    say(&ring, "a");
    assert_eq!(first.poll(&context), Poll::Ready(Read::Over { early: false }));
    drop(first);
    assert_eq!(read(&mut second), ["a"]);
    assert!(!ring.waits());
    drop(second);
    assert!(ring.waits());
}

#[test]
fn while_the_client_is_there_the_oldest_events_make_room_and_who_lost_them_is_told() {
    let budget = Budget::default();
    let ring = ring(&budget);
    let large = "x".repeat(limit::RING_BYTES / 4);
    let numbers: Vec<_> = (0..8).map(|_| say(&ring, &large)).collect();
    assert!(budget.used() <= limit::RING_BYTES);
    assert_eq!(missing(ring.read(Some(numbers[0]))), Missing::Lost);
    assert_eq!(read(&mut ring.read(Some(numbers[6])).ok().unwrap()).len(), 1);
    say(&ring, &"x".repeat(limit::RING_BYTES + 1));
    ring.let_go();
}

#[test]
fn while_the_client_is_away_nothing_is_dropped_that_it_has_not_got() {
    let budget = Budget::default();
    let ring = ring(&budget);
    let large = "x".repeat(limit::RING_BYTES / 4);
    say(&ring, &large);
    ring.let_go();
    for _ in 0..3 {
        say(&ring, &large);
    }
    assert!(!ring.is_lost(), "what it got made room");
    say(&ring, &large);
    assert!(ring.is_lost(), "as a whole");
    assert_eq!(budget.used(), 0);
    assert_eq!(missing(ring.read(Some(4))), Missing::Lost);
}

#[test]
fn who_reads_slowly_is_waited_for() {
    let ring = ring(&Budget::default());
    let context = Context::from_waker(Waker::noop());
    ring.let_go();
    let mut reader = ring.read(None).ok().unwrap();
    while ring.poll_room(&context).is_ready() {
        say(&ring, &"x".repeat(10_000));
    }
    assert!(!ring.is_lost());
    assert!(!read(&mut reader).is_empty());
    assert!(ring.poll_room(&context).is_ready());
    drop(reader);
    while !ring.is_lost() {
        assert!(ring.poll_room(&context).is_ready(), "one that is away holds nobody up");
        say(&ring, &"x".repeat(10_000));
    }
}

#[test]
fn nothing_is_kept_where_what_passes_needs_the_room() {
    let budget = Budget::default();
    let ring = ring(&budget);
    let most = budget.hold(limit::RINGS_ROOM).unwrap();
    let number = say(&ring, "a");
    assert_eq!(missing(ring.read(Some(0))), Missing::Lost, "it was passed on, and is not kept");
    assert!(ring.read(Some(number)).is_ok());
    drop(most);
    assert_eq!(budget.used(), 0);
}

#[test]
fn an_event_id_says_how_far_as_many_parts_got_as_it_has_room_for() {
    let mut positions = Positions::default();
    let position =
        |server: usize, id: String| Position { server: format!("s{server}").into(), epoch: 3, id: id.into() };
    positions.advance(position(0, "old".into()));
    positions.advance(position(1, "one".into()));
    positions.advance(position(0, "new".into()));
    let read = |positions: &Positions, room| {
        let mut written = Vec::new();
        positions.write(&mut written, room);
        assert!(written.len() <= room);
        assert!(written.len() < 2 || Positions::read(&written[..written.len() - 1]).is_none(), "cut off");
        Positions::read(&written).unwrap()
    };
    assert_eq!(read(&positions, 300), positions);
    assert_eq!(positions.of("s0").unwrap().id, "new", "one of each");
    let mut many = Positions::default();
    (0..100).for_each(|n| many.advance(position(n, format!("event-{n}"))));
    let mut kept = read(&many, 300);
    assert!((90..100).all(|n| kept.take(&format!("s{n}")).is_some()), "the newest: {kept:?}");
    assert!(kept.of("s0").is_none() && kept.of("s99").is_none());
    let place = Place { home: [1; 8].into(), stream: 2, number: 3, of: Of::Session(many) };
    assert!(place.request().is_none());
}

#[test]
fn what_is_spilled_is_read_again_as_it_was() {
    let budget = Budget::default();
    let ring = ring(&budget);
    assert!(ring.to_spill().is_some(), "that it runs is worth knowing");
    say(&ring, "a");
    let named = Kept { event: Some("message".into()), id: Some("of-the-server".into()), retry: Some(7), ..kept("b") };
    ring.push(named.clone());
    let context = Context::from_waker(Waker::noop());
    let of = |text: &[u8]| Ring::of_spilled(7, text, budget.clone());
    let unfinished = ring.to_spill().unwrap();
    let mut reader = of(&unfinished).unwrap().read(Some(1)).ok().unwrap();
    assert_eq!(reader.poll(&context), Poll::Ready(Read::Event(Kept { number: 2, ..named })));
    assert_eq!(reader.poll(&context), Poll::Ready(Read::Over { early: true }), "its answer did not come");
    ring.end(false);
    assert_eq!(ring.to_spill(), None, "its client has it all");
    let whole = Arc::new(Ring::new(8, false, budget.clone()));
    whole.let_go();
    say(&whole, "a");
    whole.end(false);
    let spilled = whole.to_spill().unwrap();
    assert_eq!(read(&mut of(&spilled).unwrap().read(Some(0)).ok().unwrap()), ["a"]);
    assert_eq!(missing(of(&spilled).unwrap().read(Some(1))), Missing::Over { early: false });
    for end in 0..spilled.len() {
        let _ = of(&spilled[..end]);
    }
}
