//! Items, inserted; and what it means where one is there already.
//!
//! The rule that everything rests on: an event is archived by the origin that its item names, and by no other. So
//! whoever comes second, by whatever way, finds an item that names another origin and leaves the archive alone.

use std::collections::{HashMap, HashSet};

use shared::id::{EventId, TenantId};
use tokio::time::{Instant, timeout_at};

use self::verdict::{Verdict, decide};
use crate::items::{Existing, Insert, Item, ItemStore, TakeOver, TakenOver};
use crate::prefix::{Entry, Prefix};
use crate::prepare::Prepared;
use crate::quarantine::{Quarantined, Reason};
use crate::retry::back_off;

pub(crate) mod verdict;

/// Items in one call. Many, so that the store may work on them side by side; not all, so that what was inserted when
/// time runs out counts.
const CALL_ITEMS: usize = 1_000;
/// Bytes of texts in one call.
const CALL_BYTES: usize = 8 * 1024 * 1024;

/// What became of an event.
#[derive(Debug)]
pub(crate) enum Settled {
    /// Its item names this origin: it is to be archived.
    Stored(Box<Prepared>),
    /// It was admitted once and is here twice. The other origin archives it.
    Redelivered,
    /// Its id and content were there already.
    Deduplicated,
}

/// What is known of an event for good.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Stored,
    Redelivered,
    Deduplicated,
    Quarantine(Reason, String),
}

/// Inserts the items of the prefix, in the stream's order, and takes those over that redriven events left behind.
/// What fails is tried again until `until`; where some still fail, the prefix ends before the first.
pub(crate) async fn insert(
    prefix: Prefix<Prepared>,
    store: &impl ItemStore,
    until: Instant,
) -> Prefix<Settled> {
    let mut run = Run::new(&prefix);
    let mut failures = 0;
    loop {
        let Calls { inserts, take_overs } = run.next_calls(&prefix);
        if inserts.is_empty() && take_overs.is_empty() {
            break;
        }
        run.failed = false;
        if !inserts.is_empty() {
            let items: Vec<Item> =
                inserts.iter().map(|&index| prefix.entries[index].value.item.clone()).collect();
            match timeout_at(until, store.insert(&items)).await {
                Ok(answers) => run.settle(&prefix, &inserts, answers),
                Err(_) => run.fail("no answer in time".to_owned()),
            }
        }
        if !take_overs.is_empty() {
            let (indexes, items): (Vec<_>, Vec<_>) = take_overs.into_iter().unzip();
            match timeout_at(until, store.take_over(&items)).await {
                Ok(answers) => run.settle_taken_over(&prefix, &indexes, answers),
                Err(_) => run.fail("no answer in time".to_owned()),
            }
        }
        failures = if run.failed { failures + 1 } else { 0 };
        if run.failed {
            back_off(failures, until).await;
        }
        if Instant::now() >= until {
            break;
        }
    }
    run.finish(prefix)
}

/// What is to be asked of the store next, each key at most once.
#[derive(Debug, Default)]
struct Calls {
    inserts: Vec<usize>,
    take_overs: Vec<(usize, TakeOver)>,
}

/// How far the inserting got.
struct Run {
    /// One for each entry that has one.
    outcomes: Vec<Option<Outcome>>,
    /// The entries without an outcome, in order.
    pending: Vec<usize>,
    /// The items that are known to be there. Only a redriven event changes one, so a second event of the same id in
    /// the same batch is compared with what is known of the first.
    known: HashMap<(TenantId, EventId), Existing>,
    /// Whether something failed in this round.
    failed: bool,
    /// The last failure.
    failure: String,
}

impl Run {
    fn new(prefix: &Prefix<Prepared>) -> Self {
        let entries = prefix.entries.len();
        Self {
            outcomes: vec![None; entries],
            pending: (0..entries).collect(),
            known: HashMap::new(),
            failed: false,
            failure: "no time was left".to_owned(),
        }
    }

    /// For the first pending entries, of several with one id only the first. Empty when none are pending.
    fn next_calls(&mut self, prefix: &Prefix<Prepared>) -> Calls {
        let mut calls = Calls::default();
        let mut keys = HashSet::new();
        let mut bytes = 0;
        for &index in &self.pending {
            let prepared = &prefix.entries[index].value;
            let item = &prepared.item;
            let key = key_of(item);
            if keys.contains(&key) {
                continue;
            }
            if let Some(known) = self.known.get(&key) {
                match decide(&existing(item), prepared.redrive_of(), known) {
                    Verdict::TakeOver => {
                        calls.take_overs.push((index, take_over(item, known)));
                        keys.insert(key);
                    }
                    verdict => self.outcomes[index] = Some(outcome(verdict, known)),
                }
            } else if calls.inserts.len() == CALL_ITEMS || bytes > CALL_BYTES {
                break;
            } else {
                bytes += item.original_text.len() + item.modified_data.len() + item.fields.as_json().len();
                calls.inserts.push(index);
                keys.insert(key);
            }
            if calls.take_overs.len() == CALL_ITEMS {
                break;
            }
        }
        self.forget_settled();
        calls
    }

    fn settle(&mut self, prefix: &Prefix<Prepared>, call: &[usize], answers: Vec<Insert>) {
        for (&index, answer) in call.iter().zip(answers) {
            let prepared = &prefix.entries[index].value;
            let item = &prepared.item;
            match answer {
                Insert::Inserted => {
                    self.outcomes[index] = Some(Outcome::Stored);
                    self.known.insert(key_of(item), existing(item));
                }
                Insert::Exists(there) => {
                    let verdict = decide(&existing(item), prepared.redrive_of(), &there);
                    // The next round takes it over.
                    let is_settled = verdict != Verdict::TakeOver;
                    self.outcomes[index] = is_settled.then(|| outcome(verdict, &there));
                    self.known.insert(key_of(item), there);
                }
                Insert::Refused(why) => {
                    self.outcomes[index] = Some(Outcome::Quarantine(Reason::ItemRefused, why));
                }
                Insert::Failed(why) => self.fail(why),
            }
        }
        self.forget_settled();
    }

    fn settle_taken_over(&mut self, prefix: &Prefix<Prepared>, call: &[usize], answers: Vec<TakenOver>) {
        for (&index, answer) in call.iter().zip(answers) {
            let item = &prefix.entries[index].value.item;
            match answer {
                TakenOver::Done => {
                    self.outcomes[index] = Some(Outcome::Stored);
                    self.known.insert(key_of(item), existing(item));
                }
                // The next round inserts, and is told what is there by now.
                TakenOver::Changed => {
                    self.known.remove(&key_of(item));
                    self.fail("the item changed meanwhile".to_owned());
                }
                TakenOver::Failed(why) => self.fail(why),
            }
        }
        self.forget_settled();
    }

    fn forget_settled(&mut self) {
        self.pending.retain(|&index| self.outcomes[index].is_none());
    }

    fn fail(&mut self, why: String) {
        self.failed = true;
        self.failure = why;
    }

    fn finish(self, mut prefix: Prefix<Prepared>) -> Prefix<Settled> {
        if let Some(&index) = self.pending.first() {
            let record = prefix.entries[index].place.record;
            tracing::error!(
                error = %self.failure,
                items.pending = self.pending.len(),
                batch.record = record,
                "items could not be inserted in time, the batch ends before the first"
            );
            prefix.end_before(record);
        }
        // Entries only went from the end, so the two are still in step; what is behind the first pending one is gone.
        let mut outcomes = self.outcomes.into_iter();
        prefix.and_then(|Entry { place, value: prepared }| match outcomes.next().flatten() {
            Some(Outcome::Quarantine(reason, why)) => {
                Err(Quarantined::event(place, &prepared.into_event(), reason, why))
            }
            Some(Outcome::Redelivered) => Ok(Settled::Redelivered),
            Some(Outcome::Deduplicated) => Ok(Settled::Deduplicated),
            Some(Outcome::Stored) | None => Ok(Settled::Stored(Box::new(prepared))),
        })
    }
}

fn key_of(item: &Item) -> (TenantId, EventId) {
    (item.facts.tenant.clone(), item.facts.id.clone())
}

fn existing(item: &Item) -> Existing {
    Existing {
        origin: item.origin.clone(),
        admission_id: item.facts.admission_id,
        content_hash: item.content_hash.clone(),
    }
}

fn take_over(item: &Item, there: &Existing) -> TakeOver {
    TakeOver {
        tenant: item.facts.tenant.clone(),
        id: item.facts.id.clone(),
        from: there.origin.clone(),
        to: item.origin.clone(),
    }
}

/// What a verdict that asks nothing of the store comes to.
fn outcome(verdict: Verdict, there: &Existing) -> Outcome {
    match verdict {
        Verdict::Stored => Outcome::Stored,
        Verdict::Redelivered => Outcome::Redelivered,
        Verdict::Deduplicated => Outcome::Deduplicated,
        Verdict::IdReused => {
            let why = format!("the id belongs to the event at {}, which has another content", there.origin);
            Outcome::Quarantine(Reason::IdReused, why)
        }
        Verdict::TakeOver => unreachable!("the store is asked for it"),
    }
}
