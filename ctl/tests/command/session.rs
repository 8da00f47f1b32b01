//! `sluice session`: who is asked for.

use crate::process::finished;

#[test]
fn nobody_who_could_not_be_is_looked_for() {
    let home = tempfile::tempdir().unwrap();
    let (_, _, of_explain) = finished(home.path(), &["explain", "call", "x", "--as", "alice"]);
    let sentence = of_explain.lines().next().unwrap().split_once(": write one of").unwrap().1;
    for verb in ["list", "end"] {
        let (code, data, talk) = finished(home.path(), &["session", verb, "--principal", "alice"]);
        assert_eq!((code, data.as_str()), (2, ""), "{talk}");
        assert!(
            talk.contains("'alice' for '--principal <PRINCIPAL>': write one of") && talk.contains(sentence),
            "{talk}"
        );
    }
    assert_eq!(finished(home.path(), &["session", "end", "--principal", ""]).0, 2);
}
