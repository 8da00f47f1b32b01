use std::collections::HashMap;

use sluice_snapshot::model::{Ejection, Endpoint as Configured, Isolation, Protocol, Transport};

use super::*;

fn at(host: &str) -> HttpEndpoint {
    HttpEndpoint::at(&format!("http://{host}/mcp")).unwrap()
}

/// Those of a server that is shown nothing.
fn credentials(at: &HttpEndpoint) -> Arc<Credentials> {
    let server = Server {
        name: "s".into(),
        transport: Transport::Http(at.clone()),
        protocol: Protocol::Auto,
        isolation: Isolation::Auto,
        timeout: Duration::from_secs(1),
        curation: Default::default(),
        balance: None,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    Credentials::find(&Arc::new(server), &HashMap::new(), runtime.handle()).ok().unwrap()
}

fn group(hosts: &[(&str, u32, bool)], percent: u32) -> Group {
    let credentials = credentials(&at(hosts[0].0));
    let ejection = Ejection { failures: 2, pause: Duration::from_millis(20), percent };
    let members: Vec<Member> = hosts
        .iter()
        .enumerate()
        .map(|(number, (host, weight, standby))| Member {
            endpoint: Arc::new(Endpoint::new(Key::new(1, number as u64), &at(host), &credentials)),
            weight: *weight,
            standby: *standby,
        })
        .collect();
    let configured =
        hosts.iter().map(|(host, weight, standby)| Configured { at: at(host), weight: *weight, standby: *standby });
    let config = Balance {
        endpoints: configured.collect(),
        retries: Retries::Unsent,
        retry_percent: 20,
        ejection,
        health_check: None,
    };
    Group {
        most_out: ejection.most(members.len()),
        rule: Rule::of(&ejection),
        members,
        left: Vec::new(),
        at: at(hosts[0].0),
        config: Some(Arc::new(config)),
        budget: Arc::default(),
    }
}

/// How often each endpoint is chosen.
fn chosen(group: &Group, times: usize) -> Vec<usize> {
    let mut counts: HashMap<Key, usize> = HashMap::new();
    for _ in 0..times {
        *counts.entry(group.choose(false, &[]).ok().unwrap().key).or_default() += 1;
    }
    group.endpoints().map(|endpoint| counts.get(&endpoint.key).copied().unwrap_or_default()).collect()
}

fn fail(group: &Group, number: usize) {
    let endpoint = &group.members[number].endpoint;
    for _ in 0..2 {
        group.note("s", endpoint, Ended::Refused, 0);
    }
}

#[test]
fn idle_endpoints_are_chosen_by_their_weights_and_busy_ones_less() {
    let even = group(&[("a", 1, false), ("b", 1, false), ("c", 1, false)], 50);
    assert!(chosen(&even, 3000).iter().all(|count| (800..1200).contains(count)), "{:?}", chosen(&even, 3000));
    let uneven = group(&[("a", 1, false), ("b", 3, false)], 50);
    let counts = chosen(&uneven, 4000);
    assert!(counts[1] > counts[0] * 5 / 4, "{counts:?}");
    let _busy: Vec<_> = (0..10).map(|_| even.members[1].endpoint.begin(false)).collect();
    assert_eq!(chosen(&even, 1000)[1], 0, "each of the others is less busy");
}

#[test]
fn weights_hold_for_what_is_in_flight() {
    let group = group(&[("a", 1, false), ("b", 3, false)], 50);
    let mut flights = Vec::new();
    for _ in 0..400 {
        flights.push(group.choose(false, &[]).ok().unwrap().begin(false));
    }
    let heavy = group.members[1].endpoint.load(false);
    assert!((270..330).contains(&heavy), "{heavy}");
    assert_eq!(group.members[1].endpoint.load(true), 0, "streams are counted apart");
    drop(flights);
    assert_eq!(group.members[1].endpoint.load(false), 0);
}

#[test]
fn those_on_standby_are_for_when_no_other_is_in_service() {
    let group = group(&[("a", 1, false), ("far", 1, true)], 50);
    assert_eq!(chosen(&group, 100), [100, 0]);
    fail(&group, 0);
    assert_eq!(chosen(&group, 100), [0, 100]);
}

#[test]
fn a_share_may_be_out_and_one_request_finds_out_whether_it_is_back() {
    let group = group(&[("a", 1, false), ("b", 1, false), ("c", 1, false)], 34);
    fail(&group, 0);
    fail(&group, 1);
    fail(&group, 2);
    assert!(!group.members[0].endpoint.is_in() && !group.members[1].endpoint.is_in(), "34 % of 3, rounded up");
    assert!(group.members[2].endpoint.is_in());
    assert_eq!(chosen(&group, 10), [0, 0, 10]);
    std::thread::sleep(Duration::from_millis(20));
    assert_eq!(chosen(&group, 10), [1, 1, 8]);
    group.note("s", &group.members[0].endpoint, Ended::Answered, 0);
    assert!(group.members[0].endpoint.is_in());
}

#[test]
fn where_none_is_well_all_are_asked_but_for_those_that_let_it_hang() {
    let group = group(&[("a", 1, false), ("b", 1, false)], 50);
    group.endpoints().for_each(|endpoint| endpoint.set_healthy(false));
    assert!(chosen(&group, 100).iter().all(|count| *count > 0));
    let hangs = &group.members[0].endpoint;
    for _ in 0..3 {
        group.note("s", hangs, Ended::Swallowed, hangs.breaker.answers());
    }
    assert_eq!(chosen(&group, 100), [0, 100]);
}

#[test]
fn a_session_moves_only_where_another_endpoint_is_in_service() {
    let group = group(&[("a", 1, false), ("b", 1, false)], 100);
    let place = |number: usize| group.members[number].endpoint.place;
    assert!(group.holder(place(0)).is_some());
    assert!(group.holder(Place::of(&at("gone"))).is_none());
    fail(&group, 0);
    assert!(group.holder(place(0)).is_none());
    group.members[1].endpoint.set_healthy(false);
    assert!(group.holder(place(0)).is_some(), "there is nowhere to go");
}

#[test]
fn a_session_may_begin_anew_at_an_endpoint_that_was_ejected_and_one_request_finds_out() {
    let group = group(&[("a", 1, false), ("b", 1, false)], 50);
    let keys: Vec<_> = group.endpoints().map(|endpoint| endpoint.key).collect();
    fail(&group, 0);
    assert!(!group.has_other(keys[1]) && group.has_hope(keys[1]));
    assert_eq!(group.choose(false, &keys[1..]).ok().unwrap().key, keys[0]);
    assert!(group.choose(false, &keys[1..]).is_err(), "one at a time");
    assert!(group.has_hope(keys[1]), "it may be back");
    group.note("s", &group.members[0].endpoint, Ended::Answered, 0);
    assert!(group.has_other(keys[1]));
}

#[test]
fn no_endpoint_is_tried_twice() {
    let group = group(&[("a", 1, false), ("b", 1, false)], 50);
    let first = group.choose(false, &[]).ok().unwrap().key;
    let second = group.choose(false, &[first]).ok().unwrap().key;
    assert_ne!(first, second);
    assert!(group.choose(false, &[first, second]).is_err());
}
