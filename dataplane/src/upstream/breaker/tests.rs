use super::*;

const SEVERAL: Rule = Rule {
    swallowed: 3,
    failed: Some(5),
    first: Duration::from_millis(20),
    last: Duration::from_secs(300),
    memory: Duration::from_secs(60),
};

fn swallowed(breaker: &Breaker, times: u32) {
    for _ in 0..times {
        breaker.note(Ended::Swallowed, breaker.answers(), &Rule::ALONE, || true);
    }
}

fn answered(breaker: &Breaker) -> Change {
    breaker.note(Ended::Answered, 0, &Rule::ALONE, || true)
}

#[test]
fn it_opens_after_several_unanswered_requests_and_closes_with_the_first_answer() {
    let breaker = Breaker::default();
    swallowed(&breaker, limit::BREAKER_FAILURES - 1);
    assert!(breaker.may_try().is_ok());
    swallowed(&breaker, 1);
    assert!(breaker.may_try().is_err());
    assert_eq!(answered(&breaker), Change::Closed);
    assert!(breaker.may_try().is_ok());
}

#[test]
fn an_answer_in_between_counts_from_the_start_again() {
    let breaker = Breaker::default();
    for _ in 0..10 {
        swallowed(&breaker, limit::BREAKER_FAILURES - 1);
        answered(&breaker);
        assert!(breaker.may_try().is_ok());
    }
}

#[test]
fn a_slow_request_beside_answered_ones_does_not_count() {
    let breaker = Breaker::default();
    for _ in 0..10 {
        let before = breaker.answers();
        answered(&breaker);
        breaker.note(Ended::Swallowed, before, &Rule::ALONE, || true);
    }
    assert!(breaker.may_try().is_ok());
}

#[test]
fn of_one_place_what_fails_at_once_does_not_count() {
    let breaker = Breaker::default();
    for _ in 0..10 {
        assert_eq!(breaker.note(Ended::Refused, 0, &Rule::ALONE, || true), Change::None);
        assert_eq!(breaker.note(Ended::Failed, breaker.answers(), &Rule::ALONE, || true), Change::None);
    }
    assert!(breaker.may_try().is_ok());
}

#[test]
fn of_several_places_every_failure_counts_unless_too_many_are_out() {
    let (breaker, spared) = (Breaker::default(), Breaker::default());
    for _ in 0..4 {
        assert_eq!(breaker.note(Ended::Refused, 0, &SEVERAL, || true), Change::None);
    }
    assert_eq!(breaker.note(Ended::Failed, 0, &SEVERAL, || true), Change::Opened(SEVERAL.first));
    for _ in 0..10 {
        assert_eq!(spared.note(Ended::Failed, 0, &SEVERAL, || false), Change::None);
    }
    assert!(spared.may_try().is_ok());
}

#[test]
fn what_was_on_its_way_does_not_make_the_pause_longer_but_a_trial_does() {
    let breaker = Breaker::default();
    for _ in 0..100 {
        breaker.note(Ended::Failed, 0, &SEVERAL, || true);
    }
    assert_eq!(breaker.lock().pause, SEVERAL.first);
    std::thread::sleep(SEVERAL.first);
    assert!(breaker.may_try().is_ok(), "the pause is over");
    assert!(breaker.may_try().is_err(), "one finds out");
    breaker.note(Ended::Failed, 0, &SEVERAL, || true);
    assert_eq!(breaker.lock().pause, SEVERAL.first * 2);
    assert_eq!(breaker.note(Ended::Answered, 0, &SEVERAL, || true), Change::Closed);
    for _ in 0..5 {
        breaker.note(Ended::Failed, 0, &SEVERAL, || true);
    }
    assert_eq!(breaker.lock().pause, SEVERAL.first * 4, "it failed again soon after");
}

#[tokio::test]
async fn whoever_has_nowhere_else_to_go_tries_one_at_a_time_and_the_others_wait_for_what_is_found() {
    let rule = Rule { first: Duration::from_secs(60), ..SEVERAL };
    let breaker = Breaker::default();
    assert!(breaker.found_out().await, "it is in service");
    for _ in 0..5 {
        breaker.note(Ended::Refused, 0, &rule, || true);
    }
    assert!(!breaker.found_out().await, "nobody is on the way to see");
    for _ in 0..3 {
        assert!(breaker.may_be_back() && breaker.may_try().is_err());
        assert!(breaker.may_try_early() && !breaker.may_try_early());
        let (found, _) = tokio::join!(breaker.found_out(), async {
            assert_eq!(breaker.note(Ended::Refused, 0, &rule, || true), Change::None);
        });
        assert!(!found);
        assert!(breaker.left().unwrap() <= rule.first, "what was not due makes the pause no longer");
    }
    assert!(breaker.may_try_early());
    let (found, change) = tokio::join!(breaker.found_out(), async { breaker.note(Ended::Answered, 0, &rule, || true) });
    assert_eq!((found, change), (true, Change::Closed));
}

#[test]
fn where_it_would_hang_nobody_tries_before_the_pause_is_over() {
    let breaker = Breaker::default();
    swallowed(&breaker, limit::BREAKER_FAILURES);
    assert!(!breaker.may_be_back() && !breaker.may_try_early());
}
