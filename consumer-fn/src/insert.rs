//! Inserts items, and decides what it means if an item exists already.
//!
//! The most important rule: an event is archived only from the origin that its item names. So a second copy, however it
//! arrived, finds an item that names another origin and is not archived.

use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, stream};
use shared::format::event_line::Event;
use shared::format::facts::Facts;
use shared::format::item::HeldContent;
use tokio::time::{Instant, timeout_at};

use self::pace::Pace;
use self::verdict::{Verdict, decide};
use crate::items::{Existing, Insert, Item, ItemStore, TakeOver, TakenOver};
use crate::prefix::{Entry, Prefix};
use crate::prepare::Prepared;
use crate::quarantined::{Quarantined, Reason};

mod pace;
pub(crate) mod verdict;

/// A call ends with the item by which its texts and fields have this many bytes. It bounds the memory of all calls that are
/// made at the same time.
const CALL_BYTES: usize = 256 * 1024;
/// Items that are taken over in one call.
const TAKE_OVERS: usize = 1_000;

/// What happened to an event.
#[derive(Debug)]
pub(crate) enum InsertOutcome {
    /// Its item names this origin: the event will be archived.
    Stored(Stored),
    /// The same admission arrived twice. It is archived from the other origin.
    Redelivered,
    /// An item with this id and content exists already.
    Deduplicated,
}

/// What the later stages need of an event. Its texts and its item are freed, before the archive object needs memory.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) facts: Facts,
    /// The archive line, with its newline.
    pub(crate) line: Bytes,
    pub(crate) is_redriven: bool,
}

/// The final decision about an event: neither `TakeOver` nor `IdReused`. An error sends it to quarantine.
type Decision = Result<Verdict, (Reason, String)>;

/// Inserts the items of the prefix, of several with one id in the stream's order. A redriven event takes over the item that it
/// left before. Failures are retried until `until`; the prefix then ends before the first that still fails. If it has a record by then,
/// half of the time is enough: what is stored is archived, and a table that takes a part only is no reason for an invocation to be slow.
pub(crate) async fn insert<S: ItemStore>(
    prefix: Prefix<Prepared>,
    store: &S,
    until: Instant,
) -> Prefix<InsertOutcome> {
    let mut run = Run::new(&prefix.entries);
    let mut pace = Pace::new();
    let now = Instant::now();
    let half = now + until.saturating_duration_since(now) / 2;
    loop {
        let Calls { inserts, take_overs } = run.next_calls(pace.items());
        if inserts.is_empty() && take_overs.is_empty() {
            break;
        }
        let enough = if run.failed && run.has_first_record() { half } else { until };
        pace.wait(enough).await;
        if Instant::now() >= enough {
            break;
        }
        run.failed = false;
        let mut called = inserts.clone();
        let calls = run.calls_of(&inserts, S::CALL_ITEMS).into_iter().map(async |(call, items)| {
            let answers = store.insert(&items).await;
            (call, answers)
        });
        let mut calls = pin!(stream::iter(calls).buffer_unordered(S::CALLS));
        // The answers that arrive in time count, whatever becomes of the other calls.
        loop {
            match timeout_at(until, calls.next()).await {
                Ok(Some((call, answers))) => run.note_inserts(call, answers),
                Ok(None) => break,
                Err(_) => {
                    run.fail("no answer in time".to_owned());
                    break;
                }
            }
        }
        if !take_overs.is_empty() && Instant::now() < until {
            let (indexes, items): (Vec<_>, Vec<_>) = take_overs.into_iter().unzip();
            called.extend_from_slice(&indexes);
            match timeout_at(until, store.take_over(&items)).await {
                Ok(answers) => run.note_take_overs(&indexes, answers),
                Err(_) => run.fail("no answer in time".to_owned()),
            }
        }
        if run.failed {
            pace.some_failed(called.iter().filter(|&&index| run.outcomes[index].is_some()).count());
        } else {
            pace.all_taken();
        }
    }
    let decided = run.finish();
    outcomes(prefix, decided)
}

/// The next calls to the store, with each key at most once.
#[derive(Debug, Default)]
struct Calls {
    inserts: Vec<usize>,
    take_overs: Vec<(usize, TakeOver)>,
}

/// What is known of the entries, by their indexes.
struct Run<'a> {
    entries: &'a [Entry<Prepared>],
    outcomes: Vec<Option<Decision>>,
    /// The entries without a decision, in order.
    pending: Vec<usize>,
    /// Of each entry, the first one with its key.
    first: Vec<usize>,
    /// The first entries with a key that others have, too.
    repeated: HashSet<usize>,
    /// Items that are known to exist, by the first entry with their key. Only a redriven event changes one, so a second event
    /// with the same id in the batch is compared with what is known about the first.
    known: HashMap<usize, Existing>,
    /// Whether something failed in this round.
    failed: bool,
    /// The last failure.
    failure: String,
}

/// The decisions about all entries. An entry without one is pending.
struct Decided {
    outcomes: Vec<Option<Decision>>,
    failure: String,
}

impl<'a> Run<'a> {
    fn new(entries: &'a [Entry<Prepared>]) -> Self {
        let mut firsts = HashMap::with_capacity(entries.len());
        let first = |(index, entry): (usize, &'a Entry<Prepared>)| {
            let facts = &entry.value.item.facts;
            *firsts.entry((&facts.tenant, &facts.id)).or_insert(index)
        };
        let first: Vec<_> = entries.iter().enumerate().map(first).collect();
        let repeated = first.iter().enumerate().filter(|(index, first)| index != *first);
        Self {
            entries,
            outcomes: vec![None; entries.len()],
            pending: (0..entries.len()).collect(),
            repeated: repeated.map(|(_, first)| *first).collect(),
            first,
            known: HashMap::new(),
            failed: false,
            failure: "no time was left".to_owned(),
        }
    }

    /// Calls for the pending entries, at most so many inserts; of several entries with one id only for the first. Empty when none is
    /// pending.
    fn next_calls(&mut self, most: usize) -> Calls {
        let mut calls = Calls::default();
        let mut called = HashSet::new();
        self.forget_decided();
        for &index in &self.pending {
            let (prepared, first) = (&self.entries[index].value, self.first[index]);
            if called.contains(&first) {
                continue;
            }
            if let Some(known) = self.known.get(&first) {
                self.outcomes[index] = decision(prepared, known);
                if self.outcomes[index].is_some() {
                    continue;
                }
                calls.take_overs.push((index, take_over(&prepared.item, known)));
            } else if calls.inserts.len() == most {
                break;
            } else {
                calls.inserts.push(index);
            }
            if self.repeated.contains(&first) {
                called.insert(first);
            }
            if calls.take_overs.len() == TAKE_OVERS {
                break;
            }
        }
        calls
    }

    /// The items to insert, divided into calls of at most `most` items.
    fn calls_of(&self, inserts: &[usize], most: usize) -> Vec<(Vec<usize>, Vec<Arc<Item>>)> {
        let mut calls: Vec<(Vec<usize>, Vec<Arc<Item>>)> = Vec::with_capacity(inserts.len().div_ceil(most));
        let mut bytes = 0;
        for &index in inserts {
            let item = &self.entries[index].value.item;
            let fits = |(_, items): &&mut (_, Vec<_>)| items.len() < most && bytes < CALL_BYTES;
            if let Some((indexes, items)) = calls.last_mut().filter(fits) {
                indexes.push(index);
                items.push(Arc::clone(item));
            } else {
                bytes = 0;
                calls.push((vec![index], vec![Arc::clone(item)]));
            }
            bytes += item.content.as_ref().map_or(0, HeldContent::bytes);
        }
        calls
    }

    fn note_inserts(&mut self, call: Vec<usize>, answers: Vec<Insert>) {
        for (index, answer) in call.into_iter().zip(answers) {
            let prepared = &self.entries[index].value;
            match answer {
                Insert::Inserted => self.stored(index),
                Insert::Exists(there) => {
                    self.outcomes[index] = decision(prepared, &there);
                    self.known.insert(self.first[index], there);
                }
                Insert::Refused(why) => self.outcomes[index] = Some(Err((Reason::ItemRefused, why))),
                Insert::Failed(why) => self.fail(why),
            }
        }
    }

    fn note_take_overs(&mut self, call: &[usize], answers: Vec<TakenOver>) {
        for (&index, answer) in call.iter().zip(answers) {
            match answer {
                TakenOver::Done => self.stored(index),
                // The next round inserts again, and learns which item exists now.
                TakenOver::Changed => {
                    self.known.remove(&self.first[index]);
                    self.fail("the item changed meanwhile".to_owned());
                }
                TakenOver::Failed(why) => self.fail(why),
            }
        }
    }

    fn stored(&mut self, index: usize) {
        self.outcomes[index] = Some(Ok(Verdict::Stored));
        let first = self.first[index];
        if self.repeated.contains(&first) {
            self.known.insert(first, Existing::from(&*self.entries[index].value.item));
        }
    }

    /// Whether everything of the first record is decided.
    fn has_first_record(&self) -> bool {
        self.pending.first().is_none_or(|&index| self.entries[index].position.record > 0)
    }

    fn forget_decided(&mut self) {
        self.pending.retain(|&index| self.outcomes[index].is_none());
    }

    fn fail(&mut self, why: String) {
        self.failed = true;
        self.failure = why;
    }

    fn finish(self) -> Decided {
        Decided { outcomes: self.outcomes, failure: self.failure }
    }
}

/// What happened to the events. The prefix ends before the first without a decision.
fn outcomes(mut prefix: Prefix<Prepared>, Decided { outcomes, failure }: Decided) -> Prefix<InsertOutcome> {
    if let Some(index) = outcomes.iter().position(Option::is_none) {
        let record = prefix.entries[index].position.record;
        tracing::error!(
            error = %failure,
            items.pending = outcomes.iter().filter(|outcome| outcome.is_none()).count(),
            batch.record = record,
            "items could not be inserted in time, the batch ends before the first"
        );
        prefix.end_before(record);
    }
    // Entries were only removed from the end, so positions still match.
    let mut outcomes = outcomes.into_iter();
    prefix.and_then(|Entry { position, value: prepared }| match outcomes.next().flatten() {
        Some(Err((reason, why))) => Err(Quarantined::event(position, &prepared.event, reason, why)),
        Some(Ok(Verdict::Redelivered)) => Ok(InsertOutcome::Redelivered),
        Some(Ok(Verdict::Deduplicated)) => Ok(InsertOutcome::Deduplicated),
        _ => {
            let Prepared { event, line, .. } = prepared;
            let Event { facts, redrive_of, .. } = *event;
            Ok(InsertOutcome::Stored(Stored { facts, line, is_redriven: !redrive_of.is_empty() }))
        }
    })
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
    match decide(&Existing::from(&*event.item), &event.event.redrive_of, there) {
        Verdict::TakeOver => None,
        Verdict::IdReused => {
            let why = format!("the id belongs to the event at {}, which has another content", there.origin);
            Some(Err((Reason::IdReused, why)))
        }
        verdict => Some(Ok(verdict)),
    }
}
