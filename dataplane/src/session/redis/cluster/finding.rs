//! Finding out which master has what, again and again, and keeping a line to each.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use redis::aio::MultiplexedConnection;
use redis::{RedisResult, Value, pipe};
use tokio::time::timeout;

use super::{Cluster, Master, Masters};
use crate::limit;
use crate::session::redis::line::Line;
use crate::session::redis::place::Place;
use crate::session::redis::slots::{Address, Health, Slots, how_it_is, who_has_what};
use crate::session::redis::trouble::said;

impl Cluster {
    /// Keeps lines to the masters, whoever they are, until the process ends.
    pub(in crate::session::redis) async fn keep(self: Arc<Self>) {
        loop {
            let found = self.find().await;
            let is_found = found.is_ok();
            self.trouble.set(found.err());
            let is_well = is_found && self.masters.load().lines.iter().all(|master| master.line.is_up());
            let pause = if is_well { limit::CLUSTER_LOOK } else { limit::STORE_RETRY_LAST };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                // not at once: of many who are sent elsewhere, the first says enough
                () = self.astray.notified() => tokio::time::sleep(limit::STORE_RETRY_FIRST).await,
            }
        }
    }

    /// Finds out who has what, from whoever answers first.
    async fn find(&self) -> Result<(), String> {
        let masters = self.masters.load_full();
        let mut trouble = "no node of the cluster answers".to_owned();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        for at in 0..masters.lines.len() {
            let master = &masters.lines[(turn + at) % masters.lines.len()];
            let mut questions = pipe();
            questions.add_command(how_it_is()).add_command(who_has_what());
            let Ok(answers) = master.line.ask_all(&questions, 2).await else { continue };
            match self.learn(answers.into_iter().map(Result::ok).collect(), &master.address.0, true) {
                Ok(()) => return Ok(()),
                Err(cause) => trouble = cause.to_owned(),
            }
        }
        // those that were masters when somebody last said so, should those that are configured be gone
        let known = masters.lines.iter().filter_map(|master| Some(self.seeds.first()?.other(&master.address)));
        let known: Vec<_> = known.collect();
        let all: Vec<_> = self.seeds.iter().chain(&known).collect();
        for at in 0..all.len() {
            let node = all[(turn + at) % all.len()];
            let answers = match timeout(limit::SENTINEL, asked(node)).await {
                Ok(Ok(answers)) => answers,
                Ok(Err(error)) => {
                    trouble = said(&error);
                    continue;
                }
                Err(_) => continue,
            };
            match self.learn(answers, node.host(), masters.lines.iter().any(|master| master.line.is_up())) {
                Ok(()) => return Ok(()),
                Err(cause) => trouble = cause.to_owned(),
            }
        }
        Err(trouble)
    }

    /// Goes by what a node answered, unless others know more.
    fn learn(&self, answers: Vec<Option<Value>>, asked: &str, others_are_there: bool) -> Result<(), &'static str> {
        let mut answers = answers.into_iter();
        let mut next = || answers.next().flatten();
        let (health, slots) =
            (next().and_then(|answer| Health::of(&answer)), next().and_then(|answer| Slots::of(&answer, asked)));
        let (Some(health), Some(slots)) = (health, slots) else { return Err("what answers is no node of a cluster") };
        let before = self.masters.load_full();
        if !health.serves {
            return Err("the cluster does not serve: a master of some slots, or most of them, cannot be reached");
        }
        if slots == before.slots {
            return Ok(());
        }
        if others_are_there && health.epoch < before.epoch {
            // it has not heard yet
            return Ok(());
        }
        let line = |address: &Address| {
            let known = before.lines.iter().find(|master| master.address == *address);
            known.cloned().unwrap_or_else(|| Arc::new(self.begin(address)))
        };
        let lines = slots.masters().iter().map(line).collect();
        let now = Arc::new(Masters { slots, epoch: health.epoch, lines });
        self.masters.store(Arc::clone(&now));
        // after that: a look that begins from here on asks who has the slot now
        for master in now.lines.iter().filter(|master| now.slots.took_from(&before.slots, &master.address)) {
            master.line.begin_again();
        }
        self.copies.doubt_all();
        self.found.notify_waiters();
        Ok(())
    }

    /// Begins to keep a line to a master.
    fn begin(&self, address: &Address) -> Master {
        // a cluster is named by one node at least
        let place = self.seeds[0].other(address);
        let line = Arc::new(Line::new(place, Arc::clone(&self.copies)));
        let keeping = tokio::spawn(Arc::clone(&line).keep());
        Master { address: address.clone(), line, keeping }
    }
}

/// What a node says over a connection of its own.
async fn asked(node: &Place) -> RedisResult<Vec<Option<Value>>> {
    let mut connection: MultiplexedConnection = node.find().await?.0.get_multiplexed_async_connection().await?;
    let mut answers = Vec::new();
    for question in [how_it_is(), who_has_what()] {
        answers.push(question.query_async(&mut connection).await.ok());
    }
    Ok(answers)
}
