//! Claim checks: texts that were too large for the stream are fetched from where the door put them.
//! Members that went the same way (`fields_ref`) stay there: nothing here looks into them, and item and archive line
//! carry the reference on, once it is known to be the tenant's own.

use futures::{StreamExt, stream};
use shared::digest::is_sha256;
use shared::format::claim_check::BlobRef;
use shared::format::event_line::{Event, Text};
use shared::format::key;
use shared::limits;
use tokio::time::Instant;

use crate::prefix::{Entry, Prefix};
use crate::quarantine::{Quarantined, Reason};
use crate::retry::{OutOfTime, retry};
use shared::objects::ObjectStore;

/// Texts that are fetched at the same time.
const CONCURRENCY: usize = 8;

/// An event whose text is at hand.
#[derive(Debug)]
pub(crate) struct Resolved {
    /// The event as it came, with its reference, if it has one.
    pub(crate) event: Event,
    /// What lies where the reference points.
    pub(crate) fetched: Option<String>,
}

/// Why a text is not at hand.
enum Unresolved {
    /// It never will be.
    Quarantine(Reason, String),
    /// It may be later.
    OutOfTime(OutOfTime),
}

/// Fetches the texts that the prefix's events refer to, up to `most_bytes` in all. The door puts no more than that into
/// one record ([`limits::RECORD_REFERRED_BYTES`]); of a record that refers to more all the same, the first texts that fit
/// are fetched, and the others go to quarantine. Where the store does not answer until `until`, the prefix ends.
pub(crate) async fn resolve(
    mut prefix: Prefix<Event>,
    objects: &impl ObjectStore,
    most_bytes: usize,
    until: Instant,
) -> Prefix<Resolved> {
    if let Some(record) = first_beyond(&prefix, most_bytes as u64) {
        prefix.end_before(record);
    }
    let mut texts = Texts { record: 0, bytes: 0 };
    let requests: Vec<_> =
        prefix.entries.iter().map(|entry| fetch(texts.refer(entry, most_bytes), objects, until)).collect();
    let fetched: Vec<_> = stream::iter(requests).buffered(CONCURRENCY).collect().await;

    let gave_up = prefix.entries.iter().zip(&fetched).find_map(|(entry, fetched)| match fetched {
        Err(Unresolved::OutOfTime(error)) => Some((entry.place.record, error)),
        _ => None,
    });
    if let Some((record, error)) = gave_up {
        tracing::error!(%error, batch.record = record, "a payload could not be fetched, the batch ends before it");
        prefix.end_before(record);
    }
    // Entries only went from the end, so the two are still in step.
    let mut fetched = fetched.into_iter();
    prefix.and_then(|Entry { place, value: event }| match fetched.next() {
        Some(Err(Unresolved::Quarantine(reason, detail))) => {
            Err(Quarantined::event(place, &event, reason, detail))
        }
        fetched => Ok(Resolved { event, fetched: fetched.and_then(Result::ok).flatten() }),
    })
}

/// The first record, but not the very first, with which the texts have more than `most` bytes.
fn first_beyond(prefix: &Prefix<Event>, most: u64) -> Option<usize> {
    let mut bytes = 0_u64;
    let mut refs = prefix.entries.iter().filter_map(|entry| match &entry.value.text {
        Text::Ref(blob) => Some((entry.place.record, blob)),
        Text::Inline(_) => None,
    });
    let first = refs.clone().next()?.0;
    refs.find(|(record, blob)| {
        bytes = bytes.saturating_add(blob.bytes);
        *record > first && bytes > most
    })
    .map(|(record, _)| record)
}

/// The texts of one record that are fetched.
struct Texts {
    record: usize,
    bytes: u64,
}

impl Texts {
    /// The text that an event refers to, if it does and it may be fetched.
    fn refer<'a>(
        &mut self,
        entry: &'a Entry<Event>,
        most_bytes: usize,
    ) -> Result<Option<&'a BlobRef>, Unresolved> {
        let event = &entry.value;
        if let Some(blob) = &event.fields_ref {
            check(blob, event, most_bytes).map_err(mismatch)?;
        }
        let Text::Ref(blob) = &event.text else { return Ok(None) };
        check(blob, event, most_bytes).map_err(mismatch)?;
        if self.record != entry.place.record {
            *self = Self { record: entry.place.record, bytes: 0 };
        }
        if self.bytes + blob.bytes > most_bytes as u64 {
            let detail =
                format!("with this one of {} bytes, the record's texts pass {most_bytes} bytes", blob.bytes);
            return Err(Unresolved::Quarantine(Reason::PayloadsTooLarge, detail));
        }
        self.bytes += blob.bytes;
        Ok(Some(blob))
    }
}

/// What lies where a reference points, if there is one.
async fn fetch(
    referred: Result<Option<&BlobRef>, Unresolved>,
    objects: &impl ObjectStore,
    until: Instant,
) -> Result<Option<String>, Unresolved> {
    let Some(blob) = referred? else { return Ok(None) };
    let mut parts = Vec::new();
    for key in blob.part_keys() {
        match retry(until, || objects.get(&key)).await {
            Ok(Some(part)) => parts.push(part),
            Ok(None) => {
                return Err(Unresolved::Quarantine(
                    Reason::PayloadMissing,
                    format!("there is no object `{key}`"),
                ));
            }
            Err(gave_up) => return Err(Unresolved::OutOfTime(gave_up)),
        }
    }
    let whole = blob.join(parts).map_err(|error| mismatch(error.to_string()))?;
    let text = String::from_utf8(whole.into());
    text.map(Some).map_err(|_| mismatch(format!("`{}` does not hold UTF-8", blob.key)))
}

fn mismatch(detail: String) -> Unresolved {
    Unresolved::Quarantine(Reason::PayloadMismatch, detail)
}

/// A reference is as trustworthy as its line's writer. It must name the place where the door puts what has this tenant,
/// id and checksum: one that reaches into another tenant's payloads would show them, and a key that no store takes, or
/// that is a folder's, would fail for ever and hold the shard up. Nor must it make us fetch without end.
fn check(blob: &BlobRef, event: &Event, most_bytes: usize) -> Result<(), String> {
    if !is_sha256(&blob.sha256) {
        return Err("its checksum is not SHA-256 in lower-case hexadecimal".to_owned());
    }
    let own = key::payload(&event.facts.tenant, &event.facts.id, &blob.sha256);
    if blob.key != own {
        return Err(format!("the payload `{}` is not where the event's lies (`{own}`)", blob.key));
    }
    let parts = blob.bytes.div_ceil(limits::OBJECT_BYTES as u64).max(1);
    if u64::from(blob.parts) != parts || blob.bytes > most_bytes as u64 {
        return Err(format!(
            "a payload of {} bytes in {} parts is not allowed (at most {} bytes, {} a part)",
            blob.bytes,
            blob.parts,
            most_bytes,
            limits::OBJECT_BYTES
        ));
    }
    Ok(())
}
