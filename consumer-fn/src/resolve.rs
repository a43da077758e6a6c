//! Claim checks: lines that were too large for the stream are fetched from S3. From here on such an event is like any
//! other.

use bytes::Bytes;
use futures::{StreamExt, stream};
use shared::format::claim_check::ClaimCheck;
use shared::format::event_line::Event;
use shared::format::key;
use tokio::time::Instant;

use crate::prefix::{Entry, Prefix};
use crate::quarantined::{Quarantined, Reason};
use crate::retry::{OutOfTime, retry};
use shared::objects::ObjectStore;

/// Claim checks that are fetched at the same time.
const CONCURRENCY: usize = 8;

/// Why a stored line could not be read.
enum Unresolved {
    /// It never can be.
    Quarantine(Reason, String),
    /// It may be, later.
    OutOfTime(OutOfTime),
}

/// Fills in text and fields of the prefix's heads, of lines of up to `most_bytes` in all. Ingest puts at most one head
/// into a record. Of a foreign producer's record with more, those that fit are fetched, and the others go to quarantine.
/// Where the store does not answer until `until`, the prefix ends.
pub(crate) async fn resolve(
    mut prefix: Prefix<Box<Event>>,
    objects: &impl ObjectStore,
    most_bytes: usize,
    until: Instant,
) -> Prefix<Box<Event>> {
    if prefix.entries.iter().all(|entry| entry.value.claim_check.is_none()) {
        return prefix;
    }
    if let Some(record) = first_beyond(&prefix, most_bytes as u64) {
        prefix.end_before(record);
    }
    let mut budget = RecordBudget { record: 0, bytes: 0, most_bytes: most_bytes as u64 };
    let requests: Vec<_> =
        prefix.entries.iter().map(|entry| fetch(&entry.value, budget.admit(entry), objects, until)).collect();
    let fetched: Vec<_> = stream::iter(requests).buffered(CONCURRENCY).collect().await;

    let gave_up = prefix.entries.iter().zip(&fetched).find_map(|(entry, fetched)| match fetched {
        Err(Unresolved::OutOfTime(error)) => Some((entry.position.record, error)),
        _ => None,
    });
    if let Some((record, error)) = gave_up {
        tracing::error!(%error, batch.record = record, "a claim check could not be fetched, the batch ends before it");
        prefix.end_before(record);
    }
    // Entries were removed only from the end, so the two still correspond.
    let mut fetched = fetched.into_iter();
    prefix.and_then(|Entry { position, value: event }| match fetched.next() {
        Some(Err(Unresolved::Quarantine(reason, detail))) => {
            Err(Quarantined::event(position, &event, reason, detail))
        }
        Some(Ok(Some(stored))) => Ok(Box::new(Event { text: stored.text, fields: stored.fields, ..*event })),
        _ => Ok(event),
    })
}

/// The first record, but not the first with a head, with which the stored lines exceed `most` bytes.
fn first_beyond(prefix: &Prefix<Box<Event>>, most: u64) -> Option<usize> {
    let mut bytes = 0_u64;
    let mut heads = prefix
        .entries
        .iter()
        .filter_map(|entry| Some((entry.position.record, entry.value.claim_check.as_ref()?.line_bytes)));
    let first = heads.clone().next()?.0;
    heads
        .find(|(record, line_bytes)| {
            bytes = bytes.saturating_add(*line_bytes);
            *record > first && bytes > most
        })
        .map(|(record, _)| record)
}

/// The stored lines of one record that are fetched.
struct RecordBudget {
    record: usize,
    bytes: u64,
    most_bytes: u64,
}

impl RecordBudget {
    /// The claim check of an event, if it has one that may be fetched.
    fn admit<'a>(&mut self, entry: &'a Entry<Box<Event>>) -> Result<Option<&'a ClaimCheck>, Unresolved> {
        let Event { facts, claim_check: Some(claim_check), .. } = &*entry.value else { return Ok(None) };
        if self.record != entry.position.record {
            (self.record, self.bytes) = (entry.position.record, 0);
        }
        let in_all = self.bytes.saturating_add(claim_check.line_bytes);
        if in_all > self.most_bytes {
            let detail = format!(
                "with its line of {} bytes, the record's claim checks exceed {} bytes",
                claim_check.line_bytes, self.most_bytes
            );
            return Err(Unresolved::Quarantine(Reason::ClaimsTooLarge, detail));
        }
        let own_key = |sha256: &str| key::claim(&facts.tenant, &facts.id, sha256);
        claim_check.check(own_key, self.most_bytes).map_err(mismatch)?;
        self.bytes = in_all;
        Ok(Some(claim_check))
    }
}

/// The event that is stored for a head, if it is one.
async fn fetch(
    head: &Event,
    claim_check: Result<Option<&ClaimCheck>, Unresolved>,
    objects: &impl ObjectStore,
    until: Instant,
) -> Result<Option<Event>, Unresolved> {
    let Some(claim_check) = claim_check? else { return Ok(None) };
    let mut parts: Vec<Bytes> = Vec::new();
    for key in claim_check.part_keys() {
        match retry(until, || objects.get(&key)).await {
            Ok(Some(part)) => parts.push(part),
            Ok(None) => {
                let detail = format!("there is no object `{key}`");
                return Err(Unresolved::Quarantine(Reason::ClaimMissing, detail));
            }
            Err(gave_up) => return Err(Unresolved::OutOfTime(gave_up)),
        }
    }
    let line = claim_check.line(&parts).map_err(|error| mismatch(error.to_string()))?;
    let stored: Event = serde_json::from_slice(&line)
        .map_err(|error| mismatch(format!("`{}` does not hold an event: {error}", claim_check.key)))?;
    let [of_head, of_stored] =
        [head, &stored].map(|event| (&event.facts.tenant, &event.facts.id, event.facts.admission_id));
    if stored.claim_check.is_some()
        || of_head != of_stored
        || stored.content_hash() != claim_check.content_hash
    {
        return Err(mismatch(format!("`{}` does not hold the event of its head", claim_check.key)));
    }
    Ok(Some(stored))
}

fn mismatch(detail: String) -> Unresolved {
    Unresolved::Quarantine(Reason::ClaimMismatch, detail)
}
