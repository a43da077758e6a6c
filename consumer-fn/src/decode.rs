//! Records to events. What cannot be read goes to quarantine; nothing here fails.

use shared::client_object::ClientObject;
use shared::config::Config;
use shared::format::event_line::Event;
use shared::format::facts::{Facts, Source};
use shared::format::record::{self, Content};
use shared::id::{AdmissionId, EventId};
use shared::time::Timestamp;

use crate::batch::Batch;
use crate::origin::{BatchPosition, Origin};
use crate::prefix::{Entry, Prefix};
use crate::quarantine::Quarantined;

/// What a line costs besides its bytes, about: its event or its reason, its item, its place in quarantine. Without it
/// a batch of lines that have next to no bytes would have no bound.
const LINE_BYTES: usize = 1024;

/// Reads record after record, until their lines come to `limits.batch_bytes` in all: what many small compressed
/// records inflate to is bounded only here. The first record is always read.
pub(crate) fn decode(batch: &Batch, config: &Config) -> Prefix<Event> {
    let mut prefix =
        Prefix { records: 0, last_positions: Vec::new(), entries: Vec::new(), quarantined: Vec::new() };
    let mut bytes = 0;
    for (index, record) in batch.records().iter().enumerate() {
        let start = BatchPosition { record: index, position: 0 };
        let unpacked = match record::unpack(&record.data) {
            Ok(unpacked) => unpacked,
            Err(reason) => {
                prefix.quarantined.push(Quarantined::undecodable(start, &reason, record.data.clone()));
                prefix.last_positions.push(0);
                continue;
            }
        };
        bytes += unpacked.bytes + unpacked.entries.len() * LINE_BYTES;
        if index > 0 && bytes > config.limits.batch_bytes {
            break;
        }
        prefix.last_positions.push(position(unpacked.entries.len().saturating_sub(1)));
        for (line, entry) in unpacked.entries.into_iter().enumerate() {
            let place = BatchPosition { position: position(line), ..start };
            match entry {
                Ok(Content::Event(event)) => prefix.entries.push(Entry { place, value: *event }),
                Ok(Content::Foreign(object)) => {
                    let value = foreign(*object, record.arrival, &batch.origin(place), config);
                    prefix.entries.push(Entry { place, value });
                }
                Err(bad) => prefix.quarantined.push(Quarantined::undecodable(place, &bad.reason, bad.bytes)),
            }
        }
    }
    prefix.records = prefix.last_positions.len();
    prefix
}

/// One line of the stream, as the consumer reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamLine {
    /// Where it lies.
    pub origin: Origin,
    /// When the stream had its record.
    pub arrival: Timestamp,
    /// The record's partition key, where it is known and there was one.
    pub partition_key: Option<String>,
    /// What it holds, or the name of the reason for which it goes to quarantine.
    pub event: Result<Event, &'static str>,
}

impl Batch {
    /// The lines of all records, for those who look over the consumer's shoulder. Record after record, since there is
    /// no limit on what they come to together.
    pub fn lines(self, config: &Config) -> impl Iterator<Item = StreamLine> {
        self.into_records().flat_map(move |record| {
            let decoded = decode(&record, config);
            let line = |place, event| {
                let (origin, first) = (record.origin(place), record.first());
                let partition_key = first.partition_key.clone();
                StreamLine { origin, arrival: first.arrival, partition_key, event }
            };
            let good = decoded.entries.into_iter().map(|entry| line(entry.place, Ok(entry.value)));
            let bad = decoded.quarantined.into_iter().map(|bad| line(bad.place, Err(bad.reason)));
            let mut lines: Vec<_> = good.chain(bad).collect();
            lines.sort_by_key(|line| line.origin.position);
            lines
        })
    }
}

/// The events in bytes that lay at `origin` and went to quarantine: one line, or what was taken for one and could not be
/// cut into its own, a record or a user record of an aggregate.
///
/// The first one is what the consumer would have read at that place. For each further one there is no place on the stream:
/// those behind `origin` are its neighbours', who may be archived from there. It is given one that no line of a record has.
pub fn read_again(
    data: &[u8],
    origin: &Origin,
    arrival: Timestamp,
    config: &Config,
) -> Vec<(Origin, Result<Event, &'static str>)> {
    let entries = match record::unpack(data) {
        Ok(record) => record.entries,
        Err(reason) => return vec![(origin.clone(), Err(reason.code()))],
    };
    let entry = |(line, entry): (usize, record::Entry)| {
        let apart = position(line * record::RECORD_EVENTS);
        let origin = Origin { position: origin.position + apart, ..origin.clone() };
        let event = match entry {
            Ok(Content::Event(event)) => Ok(*event),
            Ok(Content::Foreign(object)) => Ok(foreign(*object, arrival, &origin, config)),
            Err(bad) => Err(bad.reason.code()),
        };
        (origin, event)
    };
    entries.into_iter().enumerate().map(entry).collect()
}

/// A foreign producer's object as an event. Whatever it does not say follows from where it lies, so that every
/// attempt reads the same event.
fn foreign(object: ClientObject, arrival: Timestamp, origin: &Origin, config: &Config) -> Event {
    let admission_id = AdmissionId::of_foreign(&origin.shard, &origin.sequence_number, origin.position);
    Event {
        facts: Facts {
            id: object.id.unwrap_or_else(|| EventId::from(admission_id.0)),
            admission_id,
            tenant: object.tenant.expect("`record` accepts no object without a tenant"),
            tier: config.tiers.of_foreign().clone(),
            source: Source::JsonUpload,
            received_at: arrival,
            event_time: object.event_time,
            trace: None,
        },
        text: object.text,
        fields: object.fields,
        claim_check: None,
        redrive_of: Vec::new(),
    }
}

fn position(line: usize) -> u32 {
    u32::try_from(line).expect("a record has at most record::RECORD_EVENTS lines")
}
