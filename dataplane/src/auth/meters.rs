//! The limits of policies, counted: what each principal uses of each limit, for the whole node.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Instant;

use papaya::{Equivalent, HashMap};
use sluice_snapshot::policy::{Limit, Per};
use sluice_snapshot::share::is_shared;
use smallvec::SmallVec;

use super::meter::{Meter, Place};
use super::shares::{Portion, Shares, Via};
use crate::limit;

/// What all principals of a node use. Carried over from plane to plane: a change of policies gives nobody a new minute.
pub(crate) struct Meters {
    epoch: Instant,
    meters: HashMap<Key, Arc<Meter>, foldhash::fast::RandomState>,
    /// What of limits of the fleet is this node's.
    shares: Arc<Shares>,
}

/// The places of one call; given back when they are dropped, once.
pub(crate) type Places = SmallVec<[Place; 1]>;

/// A limit that is reached.
#[derive(Debug)]
pub(crate) struct Reached<'l> {
    pub limit: &'l Arc<Limit>,
    /// Milliseconds after which to try again; `None`: when a call in flight has ended.
    pub retry_after_ms: Option<u64>,
}

/// One count.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    /// The limit, by where it stands: it is the same one when it was changed.
    source: Arc<str>,
    /// As policies know it: anonymous clients are counted together, or each session would have a count of its own.
    principal: Arc<str>,
    /// The server and the object, where each has its own count.
    object: Option<(Arc<str>, Box<str>)>,
    via: Via,
}

/// The same, borrowed.
struct Asked<'a> {
    source: &'a Arc<str>,
    principal: &'a Arc<str>,
    object: Option<(&'a str, &'a str)>,
    via: Via,
}

impl Hash for Asked<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.source.hash(state);
        self.principal.hash(state);
        self.object.hash(state);
        self.via.hash(state);
    }
}

impl Equivalent<Key> for Asked<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        let object = key.object.as_ref().map(|(server, object)| (&**server, &**object));
        let same = *self.source == key.source && *self.principal == key.principal && self.object == object;
        same && self.via == key.via
    }
}

impl Meters {
    pub(crate) fn new(shares: Arc<Shares>) -> Self {
        Self { epoch: Instant::now(), meters: HashMap::default(), shares }
    }

    /// Takes one call that came in by that from all of these limits, or from none.
    ///
    /// # Errors
    /// A limit that is reached.
    pub(crate) fn admit<'l>(
        &self,
        limits: &'l [Arc<Limit>],
        principal: &Arc<str>,
        object: (&Arc<str>, &str),
        via: Via,
        now: Instant,
    ) -> Result<Places, Reached<'l>> {
        let now = now.duration_since(self.epoch).as_nanos() as u64;
        let mut places = Places::new();
        let mut taken: SmallVec<[(Arc<Meter>, u32); 2]> = SmallVec::new();
        for limit in limits {
            let meter = self.meter(limit, principal, object, via, now);
            let held = |number: u32| if limit.of_fleet { meter.portion.of(number, via) } else { number };
            let mut reached = None;
            if let Some(most) = limit.concurrent_requests {
                match meter.enter(held(most)) {
                    Some(place) => places.push(place),
                    None => reached = Some(None),
                }
            }
            if let Some(per_minute) = limit.requests_per_minute.filter(|_| reached.is_none()) {
                let per_minute = held(per_minute);
                match meter.rate.take(now, per_minute) {
                    Ok(()) => taken.push((meter, per_minute)),
                    Err(wait) => reached = Some(Some(wait.div_ceil(1_000_000))),
                }
            }
            if let Some(retry_after_ms) = reached {
                taken.iter().for_each(|(meter, per_minute)| meter.rate.give_back(*per_minute, 1));
                return Err(Reached { limit, retry_after_ms });
            }
        }
        Ok(places)
    }

    fn meter(&self, limit: &Limit, principal: &Arc<str>, object: (&Arc<str>, &str), via: Via, now: u64) -> Arc<Meter> {
        let own = limit.per == Per::Tool;
        let asked = Asked { source: &limit.source, principal, object: own.then_some((&**object.0, object.1)), via };
        let meters = self.meters.pin();
        if let Some(meter) = meters.get(&asked) {
            return Arc::clone(meter);
        }
        if meters.len() >= limit::METERS {
            meters.retain(|_, meter| Arc::strong_count(meter) > 1 || !meter.rate.is_rested(now));
        }
        let key = Key {
            source: Arc::clone(&limit.source),
            principal: Arc::clone(principal),
            object: own.then(|| (Arc::clone(object.0), object.1.into())),
            via,
        };
        let portion = || match is_shared(principal) {
            true => self.shares.of_limit(&limit.source),
            false => Arc::new(Portion::default()),
        };
        Arc::clone(meters.get_or_insert_with(key, || Arc::new(Meter::of(portion()))))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sluice_contract::v1;
    use sluice_snapshot::policy::Coverage;

    use super::*;

    fn limit(source: &str, per: Per, rate: Option<u32>, places: Option<u32>) -> Arc<Limit> {
        Arc::new(Limit {
            source: source.into(),
            coverage: Coverage::default(),
            per,
            requests_per_minute: rate,
            concurrent_requests: places,
            of_fleet: false,
        })
    }

    fn alice() -> Arc<str> {
        "client:alice".into()
    }

    #[test]
    fn each_principal_and_where_it_is_said_each_tool_has_its_own_count() {
        let meters = Meters::new(Arc::default());
        let server: Arc<str> = "s".into();
        let now = meters.epoch + Duration::from_secs(1);
        let take = |limit: &Arc<Limit>, who: &Arc<str>, tool| {
            meters.admit(std::slice::from_ref(limit), who, (&server, tool), Via::Door, now).is_ok()
        };
        let all = limit("all", Per::Principal, Some(2), None);
        assert_eq!(
            [take(&all, &alice(), "a"), take(&all, &alice(), "b"), take(&all, &alice(), "c")],
            [true, true, false]
        );
        assert!(take(&all, &"client:bob".into(), "a"));
        let each = limit("each", Per::Tool, Some(1), None);
        assert_eq!(
            [take(&each, &alice(), "a"), take(&each, &alice(), "b"), take(&each, &alice(), "a")],
            [true, true, false]
        );
    }

    #[test]
    fn a_call_that_one_limit_refuses_takes_nothing_of_the_others() {
        let meters = Meters::new(Arc::default());
        let server: Arc<str> = "s".into();
        let now = meters.epoch + Duration::from_secs(1);
        let (wide, narrow) =
            (limit("wide", Per::Principal, Some(3), Some(3)), limit("narrow", Per::Tool, Some(1), None));
        let both = [Arc::clone(&wide), narrow];
        let take =
            |limits: &[Arc<Limit>], tool| meters.admit(limits, &alice(), (&server, tool), Via::Door, now).is_ok();
        assert!(take(&both, "a"));
        for _ in 0..10 {
            let refused = meters.admit(&both, &alice(), (&server, "a"), Via::Door, now).map(|_| ()).unwrap_err();
            assert_eq!(&*refused.limit.source, "narrow");
            assert_eq!(refused.retry_after_ms, Some(60_000));
        }
        assert!(take(&both, "b") && take(&both, "c"));
        assert!(!take(std::slice::from_ref(&wide), "d"), "three in all");
    }

    #[test]
    fn places_are_never_more_than_there_are_and_come_back() {
        let meters = Meters::new(Arc::default());
        let server: Arc<str> = "s".into();
        let limits = [limit("l", Per::Principal, None, Some(4))];
        let most = std::sync::atomic::AtomicU32::new(0);
        let inside = std::sync::atomic::AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    use std::sync::atomic::Ordering::SeqCst;
                    for _ in 0..2_000 {
                        let Ok(places) = meters.admit(&limits, &alice(), (&server, "t"), Via::Door, Instant::now())
                        else {
                            continue;
                        };
                        most.fetch_max(inside.fetch_add(1, SeqCst) + 1, SeqCst);
                        inside.fetch_sub(1, SeqCst);
                        drop(places);
                    }
                });
            }
        });
        assert!(most.into_inner() <= 4);
        let all: Vec<_> = (0..4)
            .map(|_| meters.admit(&limits, &alice(), (&server, "t"), Via::Door, Instant::now()).unwrap())
            .collect();
        let refused =
            meters.admit(&limits, &alice(), (&server, "t"), Via::Door, Instant::now()).map(|_| ()).unwrap_err();
        assert_eq!(refused.retry_after_ms, None);
        drop(all);
        assert!(meters.admit(&limits, &alice(), (&server, "t"), Via::Door, Instant::now()).is_ok());
    }

    #[test]
    fn of_a_limit_of_the_fleet_a_node_has_its_share_and_the_rest_for_what_others_hand_on() {
        let shares = Arc::new(Shares::default());
        let meters = Meters::new(Arc::clone(&shares));
        let server: Arc<str> = "s".into();
        let limits = [Arc::new(Limit { of_fleet: true, ..Limit::clone(&limit("l", Per::Principal, None, Some(7))) })];
        let most = |who: &Arc<str>, via| {
            let enter = || meters.admit(&limits, who, (&server, "t"), via, Instant::now()).ok();
            std::iter::from_fn(enter).take(100).collect::<Vec<_>>().len()
        };
        assert_eq!([most(&alice(), Via::Door), most(&alice(), Via::Link)], [7, 7], "it is alone");
        shares.adopt(&v1::Fleet { share: Some(v1::FleetShare { nodes: 3, place: 0 }), ..v1::Fleet::default() });
        assert_eq!([most(&alice(), Via::Door), most(&alice(), Via::Link)], [3, 4]);
        assert_eq!(most(&"local".into(), Via::Door), 7, "who is at this machine is at no other node");
        shares.adopt(&v1::Fleet { share: Some(v1::FleetShare { nodes: 9, place: 8 }), ..v1::Fleet::default() });
        assert_eq!(most(&alice(), Via::Door), 1, "never none");
    }
}
