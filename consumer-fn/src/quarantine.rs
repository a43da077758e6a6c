//! Quarantine: what cannot be processed, with its bytes and the reason, where `tidegate redrive` finds it.
//!
//! One object a batch, or a few where there is much. They are written before the archive, since what an archive object
//! covers is never given up again, while a line that is in quarantine twice (an attempt that got no further, and the
//! next one) names the same origin both times: readers count origins. An object is named after its content, so an
//! attempt that gets less far than the one before it takes nothing away.

use serde::Serialize;
use shared::blob::sha256;
use shared::config::Config;
use shared::event::Event;
use shared::id::{EventId, TenantId};
use shared::key;
use shared::time::Timestamp;
use shared::wire::{self, Undecodable};
use tokio::time::Instant;

use crate::batch::Batch;
use crate::decode::decode;
use crate::objects::ObjectStore;
use crate::origin::Place;
use crate::prefix::Prefix;
use crate::retry::{GaveUp, Jitter, retry};

/// An object ends with the line by which it has this many bytes or more. A line has at most the record's data, as
/// base64, so no object comes to more than a few times as much.
const OBJECT_BYTES: usize = 2_500_000;
/// Details are for people; some quote their input.
const DETAIL_CHARS: usize = 500;

/// A line, or a record as a whole, that goes no further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Quarantined {
    pub(crate) place: Place,
    /// A stable name.
    pub(crate) reason: &'static str,
    detail: String,
    tenant: Option<TenantId>,
    id: Option<EventId>,
    /// What is to be sent again when the cause is gone.
    bytes: Vec<u8>,
}

/// Why an event that could be read goes no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Its text is not where its reference says.
    PayloadMissing,
    /// What lies there is not what the reference promises, or no text.
    PayloadMismatch,
    /// The texts that its record refers to come to more than is fetched for one record.
    PayloadsTooLarge,
    /// Another event with another content has its id.
    IdReused,
    /// The item store will never take its item.
    ItemRefused,
}

impl Reason {
    /// The name this reason has in queries over quarantine. On disk: never renamed.
    fn code(self) -> &'static str {
        match self {
            Self::PayloadMissing => "payload_missing",
            Self::PayloadMismatch => "payload_mismatch",
            Self::PayloadsTooLarge => "payloads_too_large",
            Self::IdReused => "id_reused",
            Self::ItemRefused => "item_refused",
        }
    }
}

impl Quarantined {
    /// A line or a record that is no event.
    pub(crate) fn undecodable(place: Place, reason: &Undecodable, bytes: Vec<u8>) -> Self {
        Self { place, reason: reason.code(), detail: cut(reason.to_string()), tenant: None, id: None, bytes }
    }

    /// An event that goes no further.
    pub(crate) fn event(place: Place, event: &Event, reason: Reason, detail: String) -> Self {
        Self {
            place,
            reason: reason.code(),
            detail: cut(detail),
            tenant: Some(event.tenant.clone()),
            id: Some(event.id.clone()),
            bytes: wire::line(event),
        }
    }
}

fn cut(detail: String) -> String {
    match detail.char_indices().nth(DETAIL_CHARS) {
        Some((end, _)) => detail[..end].to_owned(),
        None => detail,
    }
}

/// Writes what the prefix has for quarantine. A second attempt at the same batch writes the same objects again.
/// Where that fails, the prefix ends before the first record that it concerns: nothing is answered as done before it
/// is durable.
pub(crate) async fn write<T>(
    mut prefix: Prefix<T>,
    batch: &Batch,
    objects: &impl ObjectStore,
    until: Instant,
    jitter: &Jitter,
) -> Prefix<T> {
    prefix.quarantined.sort_by_key(|quarantined| quarantined.place);
    if let Err((first, key, error)) = put(&prefix.quarantined, batch, objects, until, jitter).await {
        tracing::error!(object.key = %key, %error, "quarantine could not be written, the batch ends before it");
        prefix.end_before(first);
    }
    prefix
}

/// Puts what of a record cannot be read where the consumer would have put it; for `tidegate redrive`, of a record that
/// no invocation will see again. Back on the stream, nothing in it could say where it lay before.
pub async fn keep_unreadable(
    record: &Batch,
    config: &Config,
    objects: &impl ObjectStore,
    until: Instant,
) -> Result<(), NotKept> {
    let jitter = Jitter::new(record.shard().as_bytes());
    let unreadable = decode(record, config).quarantined;
    let put = put(&unreadable, record, objects, until, &jitter).await;
    put.map_err(|(_, key, error)| NotKept(format!("`{key}`: {error}")))
}

/// Quarantine was out of reach. Trying again is safe.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("quarantine could not be written: {0}")]
pub struct NotKept(String);

/// Writes lines in their order. Where that fails: the record of the first that is not written, the object, and why.
async fn put(
    quarantined: &[Quarantined],
    batch: &Batch,
    objects: &impl ObjectStore,
    until: Instant,
    jitter: &Jitter,
) -> Result<(), (usize, String, GaveUp)> {
    let mut rest = quarantined;
    while let Some(first) = rest.first().map(|quarantined| quarantined.place.record) {
        let (bytes, count) = object(batch, rest);
        let start = batch.first();
        let key =
            key::quarantine_object(batch.shard(), &start.sequence_number, start.arrival, &sha256(&bytes));
        let bytes = bytes::Bytes::from(bytes);
        let put = retry(until, jitter, || objects.put(&key, bytes.clone())).await;
        put.map_err(|error| (first, key.clone(), error))?;
        let (written, behind) = rest.split_at(count);
        tracing::warn!(
            object.key = %key,
            quarantine.lines = count,
            quarantine.reasons = ?reasons(written),
            "lines went to quarantine"
        );
        rest = behind;
    }
    Ok(())
}

/// One line of a quarantine object. Names are on disk: add at the end, never rename.
#[derive(Serialize)]
struct Line<'a> {
    reason: &'static str,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<&'a TenantId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a EventId>,
    shard: &'a str,
    sequence_number: &'a str,
    position: u32,
    arrival: Timestamp,
    partition_key: Option<&'a str>,
    bytes: String,
}

/// An object of the first lines of `quarantined`, and how many they are.
fn object(batch: &Batch, quarantined: &[Quarantined]) -> (Vec<u8>, usize) {
    let mut object = Vec::new();
    let mut count = 0;
    for quarantined in quarantined {
        if object.len() >= OBJECT_BYTES {
            break;
        }
        let record = &batch.records()[quarantined.place.record];
        let line = Line {
            reason: quarantined.reason,
            detail: &quarantined.detail,
            tenant: quarantined.tenant.as_ref(),
            id: quarantined.id.as_ref(),
            shard: batch.shard(),
            sequence_number: &record.sequence_number,
            position: quarantined.place.position,
            arrival: record.arrival,
            partition_key: record.partition_key.as_deref(),
            bytes: base64_simd::STANDARD.encode_to_string(&quarantined.bytes),
        };
        serde_json::to_writer(&mut object, &line).expect("a line always serialises");
        object.push(b'\n');
        count += 1;
    }
    (object, count)
}

fn reasons(quarantined: &[Quarantined]) -> std::collections::BTreeMap<&'static str, usize> {
    let mut reasons = std::collections::BTreeMap::new();
    for quarantined in quarantined {
        *reasons.entry(quarantined.reason).or_default() += 1;
    }
    reasons
}
