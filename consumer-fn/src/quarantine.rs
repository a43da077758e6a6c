//! Quarantine: lines and records that cannot be processed, with their bytes and the reason, for `tidegate redrive`.
//!
//! One object a batch, or a few if there is much. They are written before the archive, since what an archive object covers
//! must not fail later. A line may be in quarantine twice (an attempt that ended early, and the next one), but with the
//! same origin: readers count origins. An object is named after its content, so no attempt overwrites another's.

use shared::digest::sha256;
use shared::format::key;
use shared::format::quarantine_line::QuarantineLine;
use shared::metric::Metric;
use tokio::time::Instant;

use crate::batch::Records;
use crate::prefix::Prefix;
use crate::quarantined::Quarantined;
use crate::retry::{OutOfTime, retry};
use shared::objects::ObjectStore;

/// An object ends with the line by which it has this many bytes or more. One line has at most the data of a record, as
/// base64.
const OBJECT_BYTES: usize = 2_500_000;
/// Trace headers in one log line.
pub(crate) const LOGGED_TRACES: usize = 10;

/// Writes what the prefix has for quarantine. A second attempt at the same batch writes the same objects again.
/// Where that fails, the prefix ends before the first record that it concerns: nothing is answered as done before it
/// is durable.
pub(crate) async fn write<T>(
    mut prefix: Prefix<T>,
    records: &Records,
    objects: &impl ObjectStore,
    until: Instant,
) -> Prefix<T> {
    prefix.quarantined.sort_by_key(|quarantined| quarantined.position);
    if let Err((first, key, error)) = put(&prefix.quarantined, records, objects, until).await {
        tracing::error!(object.key = %key, %error, "quarantine could not be written, the batch ends before it");
        prefix.end_before(first);
    }
    prefix
}

/// Writes lines in their order. Where that fails: the record of the first that is not written, the object, and why.
pub(crate) async fn put(
    quarantined: &[Quarantined],
    records: &Records,
    objects: &impl ObjectStore,
    until: Instant,
) -> Result<(), (usize, String, OutOfTime)> {
    let mut rest = quarantined;
    while let Some(first) = rest.first().map(|quarantined| quarantined.position.record) {
        let (bytes, count) = object(records, rest);
        let start = records.first();
        let key =
            key::quarantine_object(records.shard(), &start.sequence_number, start.arrival, &sha256(&bytes));
        let bytes = bytes::Bytes::from(bytes);
        let put = retry(until, || objects.put(&key, bytes.clone())).await;
        put.map_err(|error| (first, key.clone(), error))?;
        Metric::QuarantineObjectsWritten.add(1);
        let (written, after) = rest.split_at(count);
        tracing::warn!(
            object.key = %key,
            quarantine.lines = count,
            quarantine.reasons = ?reasons(written),
            quarantine.traces = ?traces(written),
            "lines went to quarantine"
        );
        rest = after;
    }
    Ok(())
}

/// An object of the first lines of `quarantined`, and how many they are.
fn object(records: &Records, quarantined: &[Quarantined]) -> (Vec<u8>, usize) {
    let mut object = Vec::new();
    let mut count = 0;
    for quarantined in quarantined {
        if object.len() >= OBJECT_BYTES {
            break;
        }
        let record = &records.all()[quarantined.position.record];
        let facts = quarantined.facts.as_deref();
        let line = QuarantineLine {
            reason: quarantined.reason.to_owned(),
            detail: quarantined.detail.clone(),
            tenant: facts.map(|facts| facts.tenant.clone()),
            id: facts.map(|facts| facts.id.clone()),
            origin: records.origin(quarantined.position),
            arrival: record.arrival,
            partition_key: record.partition_key.clone(),
            bytes: quarantined.bytes.clone(),
            trace: facts.and_then(|facts| facts.trace.clone()),
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

/// The trace headers of the first few events, so that a trace leads to this log line.
fn traces(quarantined: &[Quarantined]) -> Vec<&str> {
    let traces = quarantined.iter().filter_map(|quarantined| quarantined.facts.as_ref()?.trace.as_deref());
    traces.take(LOGGED_TRACES).collect()
}
