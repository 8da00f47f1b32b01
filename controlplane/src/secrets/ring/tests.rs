use super::*;

const OLD: &str = "old:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const NEW: &str = "new://///////////////////////////////////////w8=";

fn ring(text: &str) -> Ring {
    let Ok(ring) = Ring::parse(text) else { panic!("refused") };
    ring
}

#[test]
fn what_is_sealed_opens_only_in_its_place_and_unchanged() {
    let ring = ring(OLD);
    let sealed = ring.seal("secret a 1", b"value");
    assert_eq!(ring.open("secret a 1", &sealed).unwrap().as_slice(), b"value");
    assert!(!sealed.encode().windows(5).any(|part| part == b"value"));
    assert_ne!(ring.seal("secret a 1", b"value"), sealed, "nothing shows that two values are the same");
    for other in ["secret a 2", "secret b 1", "", "secret a 1 "] {
        assert!(matches!(ring.open(other, &sealed), Err(OpenError::Damaged { .. })), "{other}");
    }
    for at in 0..sealed.value.len() {
        let mut changed = sealed.clone();
        changed.value[at] ^= 1;
        assert!(ring.open("secret a 1", &changed).is_err(), "byte {at} of the value");
    }
    for at in 0..DATA_KEY {
        let mut changed = sealed.clone();
        changed.data_key[at] ^= 1;
        assert!(ring.open("secret a 1", &changed).is_err(), "byte {at} of the data key");
    }
}

#[test]
fn parts_of_two_rows_do_not_fit_together() {
    let ring = ring(OLD);
    let (a, b) = (ring.seal("a", b"value of a"), ring.seal("b", b"value of b"));
    assert!(ring.open("a", &b).is_err());
    assert!(ring.open("a", &Sealed { value: b.value.clone(), ..a.clone() }).is_err());
    assert!(ring.open("a", &Sealed { data_key: b.data_key, ..a.clone() }).is_err());
    let again = ring.seal("a", b"older value of a");
    assert!(ring.open("a", &Sealed { value: again.value, ..a }).is_err(), "two versions mixed");
}

#[test]
fn the_newest_key_seals_and_older_ones_open() {
    let before = ring(OLD);
    let sealed = before.seal("a", b"value");
    let both = ring(&format!("# keys\n{OLD}\n\n  {NEW}\n"));
    assert_eq!((before.newest(), both.newest()), ("old", "new"));
    assert!(both.has("old") && both.has("new") && !both.has("other"));
    assert_eq!(both.open("a", &sealed).unwrap().as_slice(), b"value");
    let moved = both.reseal("a", &sealed).unwrap().unwrap();
    assert_eq!((moved.key.as_str(), &moved.value), ("new", &sealed.value));
    assert_eq!(both.reseal("a", &moved), Ok(None));
    assert!(both.reseal("b", &sealed).is_err(), "a row in the wrong place is not blessed");
    let after = ring(NEW);
    assert_eq!(after.open("a", &moved).unwrap().as_slice(), b"value");
    assert_eq!(after.open("a", &sealed), Err(OpenError::Key { key: "old".into(), context: "a".into() }));
    let imposter = ring(&NEW.replace("new", "old"));
    let refused = imposter.open("a", &sealed).unwrap_err();
    assert!(refused.to_string().contains("key `old` of the key ring is not the one"), "{refused}");
}

#[test]
fn digests_compare_values_and_survive_a_new_key() {
    let old = ring(OLD);
    let digest = old.digest("a", b"value");
    assert_eq!(ring(&format!("{OLD}\n{NEW}")).digest("a", b"value"), digest);
    for (context, value) in [("a", &b"other"[..]), ("b", b"value"), ("av", b"alue"), ("", b"avalue")] {
        assert_ne!(old.digest(context, value), digest);
    }
    assert_ne!(ring(NEW).digest("a", b"value"), digest, "keyed: nobody without the ring can guess values");
}

#[test]
fn what_is_no_ring_is_told_by_its_line_and_without_the_key() {
    for (text, expected) in [
        ("", RingError::Empty),
        ("# nothing\n", RingError::Empty),
        ("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", RingError::Line(1)),
        ("\nmy key:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", RingError::Line(2)),
        ("k:AAECAwQF", RingError::Length(1)),
        ("k:secret!", RingError::Length(1)),
        (&format!("{OLD}\n{OLD}"), RingError::Twice(2)),
    ] {
        let refused = Ring::parse(text).err();
        assert_eq!(refused, Some(expected));
        assert!(refused.is_some_and(|refused| !refused.to_string().contains("AAEC")));
    }
    let many: Vec<String> = (0..=MAX_KEYS).map(|n| OLD.replace("old", &format!("k{n}"))).collect();
    assert_eq!(Ring::parse(&many.join("\n")).err(), Some(RingError::Many));
}

#[test]
fn a_ring_that_was_made_is_one() {
    let (one, other) = (Ring::generate("k1"), Ring::generate("k1"));
    assert_ne!(*one, *other);
    assert_eq!(ring(&one).newest(), "k1");
}
