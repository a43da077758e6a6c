//! Items, inserted; and what it means where one is there already.
//!
//! The rule that everything rests on: an event is archived by the origin that its item names, and by no other. So
//! whoever comes second, by whatever way, finds an item that names another origin and leaves the archive alone.

use std::collections::{HashMap, HashSet};

use shared::id::{EventId, TenantId};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::items::{Existing, Insert, Item, ItemStore};
use crate::prefix::{Entry, Prefix};
use crate::prepare::Prepared;
use crate::quarantine::{Quarantined, Reason};
use crate::retry::Jitter;

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

/// What the item store said about an event.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    Stored,
    Redelivered,
    Deduplicated,
    Quarantine(Reason, String),
}

/// Inserts the items of the prefix, in the stream's order. Those that fail are tried again until `until`; where some
/// still fail, the prefix ends before the first.
pub(crate) async fn insert(
    prefix: Prefix<Prepared>,
    store: &impl ItemStore,
    until: Instant,
    jitter: &Jitter,
) -> Prefix<Settled> {
    let mut run = Run::new(&prefix);
    let mut failures = 0;
    loop {
        let call = run.next_call(&prefix);
        if call.is_empty() {
            break;
        }
        let items: Vec<Item> = call.iter().map(|&index| prefix.entries[index].value.item.clone()).collect();
        match timeout_at(until, store.insert(&items)).await {
            Ok(outcomes) => run.settle(&call, &items, outcomes),
            Err(_) => "no answer in time".clone_into(&mut run.failure),
        }
        let failed = call.iter().any(|&index| run.verdicts[index].is_none());
        failures = if failed { failures + 1 } else { 0 };
        if failed {
            sleep_until(until.min(Instant::now() + jitter.wait(failures))).await;
        }
        if Instant::now() >= until {
            break;
        }
    }
    run.finish(prefix)
}

/// How far the inserting got.
struct Run {
    /// One for each entry that has one.
    verdicts: Vec<Option<Verdict>>,
    /// The entries without a verdict, in order.
    pending: Vec<usize>,
    /// The items that are known to be there. Items do not change, so a second event of the same id in the same batch
    /// is compared with what is known of the first.
    known: HashMap<(TenantId, EventId), Existing>,
    /// The last failure.
    failure: String,
}

impl Run {
    fn new(prefix: &Prefix<Prepared>) -> Self {
        let entries = prefix.entries.len();
        Self {
            verdicts: vec![None; entries],
            pending: (0..entries).collect(),
            known: HashMap::new(),
            failure: "no time was left".to_owned(),
        }
    }

    /// The first pending entries, of several with one id only the first. Empty when none are pending.
    fn next_call(&mut self, prefix: &Prefix<Prepared>) -> Vec<usize> {
        let mut call = Vec::new();
        let mut keys = HashSet::new();
        let mut bytes = 0;
        for &index in &self.pending {
            let item = &prefix.entries[index].value.item;
            let key = (item.tenant.clone(), item.id.clone());
            if let Some(existing) = self.known.get(&key) {
                self.verdicts[index] = Some(compare(item, existing));
            } else if call.len() == CALL_ITEMS || bytes > CALL_BYTES {
                break;
            } else if keys.insert(key) {
                bytes += item.original_text.len() + item.modified_data.len() + item.fields.as_json().len();
                call.push(index);
            }
        }
        self.pending.retain(|&index| self.verdicts[index].is_none());
        call
    }

    fn settle(&mut self, call: &[usize], items: &[Item], outcomes: Vec<Insert>) {
        for ((&index, item), outcome) in call.iter().zip(items).zip(outcomes) {
            let (verdict, existing) = match outcome {
                Insert::Inserted => (Verdict::Stored, Some(existing(item))),
                Insert::Exists(existing) => (compare(item, &existing), Some(existing)),
                Insert::Refused(why) => (Verdict::Quarantine(Reason::ItemRefused, why), None),
                Insert::Failed(why) => {
                    self.failure = why;
                    continue;
                }
            };
            self.verdicts[index] = Some(verdict);
            if let Some(existing) = existing {
                self.known.insert((item.tenant.clone(), item.id.clone()), existing);
            }
        }
        self.pending.retain(|&index| self.verdicts[index].is_none());
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
        // Entries only went from the end, so the two are still in step.
        let mut verdicts = self.verdicts.into_iter().flatten();
        prefix.and_then(|Entry { place, value: prepared }| match verdicts.next() {
            Some(Verdict::Quarantine(reason, why)) => {
                Err(Quarantined::event(place, &prepared.into_event(), reason, why))
            }
            Some(Verdict::Redelivered) => Ok(Settled::Redelivered),
            Some(Verdict::Deduplicated) => Ok(Settled::Deduplicated),
            Some(Verdict::Stored) | None => Ok(Settled::Stored(Box::new(prepared))),
        })
    }
}

fn existing(item: &Item) -> Existing {
    Existing {
        origin: item.origin.clone(),
        admission_id: item.admission_id,
        content_hash: item.content_hash.clone(),
    }
}

/// What it means for an event that an item with its id is there.
fn compare(item: &Item, existing: &Existing) -> Verdict {
    if existing.origin == item.origin {
        // Inserted by an earlier attempt at this very batch, or by a call whose answer was lost.
        Verdict::Stored
    } else if existing.admission_id == item.admission_id {
        Verdict::Redelivered
    } else if existing.content_hash == item.content_hash {
        Verdict::Deduplicated
    } else {
        let why = format!("the id belongs to the event at {}, which has another content", existing.origin);
        Verdict::Quarantine(Reason::IdReused, why)
    }
}
