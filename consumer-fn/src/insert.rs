//! Inserts items, and decides what it means if an item exists already.
//!
//! The most important rule: an event is archived only from the origin that its item names. So a second copy, however it
//! arrived, finds an item that names another origin and is not archived.

use std::collections::{HashMap, HashSet};

use shared::id::{EventId, TenantId};
use tokio::time::{Instant, timeout_at};

use self::pace::Pace;
use self::verdict::{Verdict, decide};
use crate::items::{Existing, Insert, Item, ItemStore, TakeOver, TakenOver};
use crate::prefix::{Entry, Prefix};
use crate::prepare::Prepared;
use crate::quarantined::{Quarantined, Reason};

mod pace;
pub(crate) mod verdict;

/// Take-overs in one call.
const CALL_TAKE_OVERS: usize = 1_000;
/// Bytes of texts in one call.
const CALL_BYTES: usize = 8 * 1024 * 1024;

/// What happened to an event.
#[derive(Debug)]
pub(crate) enum InsertOutcome {
    /// Its item names this origin: the event will be archived.
    Stored(Box<Prepared>),
    /// The same admission arrived twice. It is archived from the other origin.
    Redelivered,
    /// An item with this id and content exists already.
    Deduplicated,
}

/// The final decision about an event: neither `TakeOver` nor `IdReused`. An error sends it to quarantine.
type Decision = Result<Verdict, (Reason, String)>;

/// Inserts the items of the prefix in the stream's order. A redriven event takes over the item that it left before. Failures
/// are retried until `until`; the prefix then ends before the first that still fails. If it has a record by then, half of the time is
/// enough: what is stored is archived, and a table that takes a part only is no reason for an invocation to be slow.
pub(crate) async fn insert(
    prefix: Prefix<Prepared>,
    store: &impl ItemStore,
    until: Instant,
) -> Prefix<InsertOutcome> {
    let mut run = Run::new(&prefix);
    let mut pace = Pace::new();
    let now = Instant::now();
    let half = now + until.saturating_duration_since(now) / 2;
    loop {
        let Calls { inserts, take_overs } = run.next_calls(&prefix, pace.items());
        if inserts.is_empty() && take_overs.is_empty() {
            break;
        }
        let enough = if run.failed && run.has_first_record(&prefix) { half } else { until };
        pace.wait(enough).await;
        if Instant::now() >= enough {
            break;
        }
        run.failed = false;
        let pending = run.pending.len();
        if !inserts.is_empty() {
            let items: Vec<Item> =
                inserts.iter().map(|&index| prefix.entries[index].value.item.clone()).collect();
            match timeout_at(until, store.insert(&items)).await {
                Ok(answers) => run.note_inserts(&prefix, &inserts, answers),
                Err(_) => run.fail("no answer in time".to_owned()),
            }
        }
        if !take_overs.is_empty() {
            let (indexes, items): (Vec<_>, Vec<_>) = take_overs.into_iter().unzip();
            match timeout_at(until, store.take_over(&items)).await {
                Ok(answers) => run.note_take_overs(&prefix, &indexes, answers),
                Err(_) => run.fail("no answer in time".to_owned()),
            }
        }
        if run.failed {
            pace.some_failed(pending - run.pending.len());
        } else {
            pace.all_taken();
        }
    }
    run.finish(prefix)
}

/// The next calls to the store, with each key at most once.
#[derive(Debug, Default)]
struct Calls {
    inserts: Vec<usize>,
    take_overs: Vec<(usize, TakeOver)>,
}

struct Run {
    /// By position of the entry.
    outcomes: Vec<Option<Decision>>,
    /// The entries without a decision, in order.
    pending: Vec<usize>,
    /// Items that are known to exist. Only a redriven event changes one, so a second event with the same id in the batch is
    /// compared with what is known about the first.
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

    /// Calls for the first pending entries, at most so many inserts; of several entries with one id only the first. Empty when none is
    /// pending.
    fn next_calls(&mut self, prefix: &Prefix<Prepared>, most: usize) -> Calls {
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
                self.outcomes[index] = decision(prepared, known);
                if self.outcomes[index].is_none() {
                    calls.take_overs.push((index, take_over(item, known)));
                    keys.insert(key);
                }
            } else if calls.inserts.len() == most || bytes > CALL_BYTES {
                break;
            } else {
                bytes += item.original_text.len() + item.modified_data.len() + item.fields.as_json().len();
                calls.inserts.push(index);
                keys.insert(key);
            }
            if calls.take_overs.len() == CALL_TAKE_OVERS {
                break;
            }
        }
        self.forget_decided();
        calls
    }

    fn note_inserts(&mut self, prefix: &Prefix<Prepared>, call: &[usize], answers: Vec<Insert>) {
        for (&index, answer) in call.iter().zip(answers) {
            let prepared = &prefix.entries[index].value;
            let item = &prepared.item;
            match answer {
                Insert::Inserted => self.stored(index, item),
                Insert::Exists(there) => {
                    self.outcomes[index] = decision(prepared, &there);
                    self.known.insert(key_of(item), there);
                }
                Insert::Refused(why) => self.outcomes[index] = Some(Err((Reason::ItemRefused, why))),
                Insert::Failed(why) => self.fail(why),
            }
        }
        self.forget_decided();
    }

    fn note_take_overs(&mut self, prefix: &Prefix<Prepared>, call: &[usize], answers: Vec<TakenOver>) {
        for (&index, answer) in call.iter().zip(answers) {
            let item = &prefix.entries[index].value.item;
            match answer {
                TakenOver::Done => self.stored(index, item),
                // The next round inserts again, and learns which item exists now.
                TakenOver::Changed => {
                    self.known.remove(&key_of(item));
                    self.fail("the item changed meanwhile".to_owned());
                }
                TakenOver::Failed(why) => self.fail(why),
            }
        }
        self.forget_decided();
    }

    fn stored(&mut self, index: usize, item: &Item) {
        self.outcomes[index] = Some(Ok(Verdict::Stored));
        self.known.insert(key_of(item), Existing::from(item));
    }

    /// Whether everything of the first record is decided.
    fn has_first_record(&self, prefix: &Prefix<Prepared>) -> bool {
        let record = |index: usize| prefix.entries[index].position.record;
        self.pending.first().is_none_or(|&index| record(index) > record(0))
    }

    fn forget_decided(&mut self) {
        self.pending.retain(|&index| self.outcomes[index].is_none());
    }

    fn fail(&mut self, why: String) {
        self.failed = true;
        self.failure = why;
    }

    fn finish(self, mut prefix: Prefix<Prepared>) -> Prefix<InsertOutcome> {
        if let Some(&index) = self.pending.first() {
            let record = prefix.entries[index].position.record;
            tracing::error!(
                error = %self.failure,
                items.pending = self.pending.len(),
                batch.record = record,
                "items could not be inserted in time, the batch ends before the first"
            );
            prefix.end_before(record);
        }
        // Entries were only removed from the end, so positions still match.
        let mut outcomes = self.outcomes.into_iter();
        prefix.and_then(|Entry { position, value: prepared }| match outcomes.next().flatten() {
            Some(Err((reason, why))) => Err(Quarantined::event(position, &prepared.event, reason, why)),
            Some(Ok(Verdict::Redelivered)) => Ok(InsertOutcome::Redelivered),
            Some(Ok(Verdict::Deduplicated)) => Ok(InsertOutcome::Deduplicated),
            _ => Ok(InsertOutcome::Stored(Box::new(prepared))),
        })
    }
}

fn key_of(item: &Item) -> (TenantId, EventId) {
    (item.facts.tenant.clone(), item.facts.id.clone())
}

fn take_over(item: &Item, there: &Existing) -> TakeOver {
    TakeOver {
        tenant: item.facts.tenant.clone(),
        id: item.facts.id.clone(),
        from: there.origin.clone(),
        to: item.origin.clone(),
    }
}

/// The decision about an event whose item exists; `None` if the event is to take the item over, which needs a call.
fn decision(event: &Prepared, there: &Existing) -> Option<Decision> {
    match decide(&Existing::from(&event.item), &event.event.redrive_of, there) {
        Verdict::TakeOver => None,
        Verdict::IdReused => {
            let why = format!("the id belongs to the event at {}, which has another content", there.origin);
            Some(Err((Reason::IdReused, why)))
        }
        verdict => Some(Ok(verdict)),
    }
}
