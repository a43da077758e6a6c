//! Quarantine: what cannot be processed, with its bytes and the reason, where `tidegate redrive` finds it.
//!
//! One object a batch. It is written before the archive, since what an archive object covers is never given up again,
//! while a line that is in quarantine twice (an attempt that got no further, and the next one) names the same origin
//! both times: readers count origins.

use serde::Serialize;
use shared::event::Event;
use shared::id::{EventId, TenantId};
use shared::key;
use shared::time::Timestamp;
use shared::wire::{self, Undecodable};
use tokio::time::Instant;

use crate::batch::Batch;
use crate::objects::ObjectStore;
use crate::origin::Place;
use crate::prefix::Prefix;
use crate::retry::{Jitter, retry};

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

/// Writes what the prefix has for quarantine. A second attempt at the same batch writes the same object again.
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
    let Some(first) = prefix.quarantined.first().map(|quarantined| quarantined.place.record) else {
        return prefix;
    };
    let start = batch.first();
    let key = key::quarantine_object(batch.shard(), &start.sequence_number, start.arrival);
    let bytes = bytes::Bytes::from(object(batch, &prefix.quarantined));
    match retry(until, jitter, || objects.put(&key, bytes.clone())).await {
        Ok(()) => {
            tracing::warn!(
                object.key = %key,
                quarantine.lines = prefix.quarantined.len(),
                quarantine.reasons = ?reasons(&prefix.quarantined),
                "lines went to quarantine"
            );
        }
        Err(error) => {
            tracing::error!(object.key = %key, %error, "quarantine could not be written, the batch ends before it");
            prefix.end_before(first);
        }
    }
    prefix
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

fn object(batch: &Batch, quarantined: &[Quarantined]) -> Vec<u8> {
    let mut object = Vec::new();
    for quarantined in quarantined {
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
    }
    object
}

fn reasons(quarantined: &[Quarantined]) -> std::collections::BTreeMap<&'static str, usize> {
    let mut reasons = std::collections::BTreeMap::new();
    for quarantined in quarantined {
        *reasons.entry(quarantined.reason).or_default() += 1;
    }
    reasons
}
