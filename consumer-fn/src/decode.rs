//! Records to events. What cannot be read goes to quarantine; nothing here fails.

use shared::config::Config;
use shared::format::event_line::Event;
use shared::format::facts::{Facts, Source};
use shared::format::record::{self, Content};
use shared::id::{AdmissionId, EventId};
use shared::time::Timestamp;

use crate::batch::{Batch, BatchPosition, Records};
use crate::prefix::{Entry, Prefix};
use crate::quarantined::Quarantined;
use shared::origin::Origin;

/// About what a line costs in memory besides its bytes: its event or its reason, its item. Without it a batch of nearly
/// empty lines would have no bound.
const LINE_BYTES: usize = 1024;

/// Reads one record after another, until their lines have `limits.batch_bytes` in all: only this bounds what many small
/// compressed records inflate to, also those that cannot be read. The first record is always read.
///
/// Data is freed as it is read: only quarantine needs a record's bytes again.
pub(crate) fn decode(Batch { records, data }: Batch, config: &Config) -> (Records, Prefix<Box<Event>>) {
    let mut prefix =
        Prefix { records: 0, last_positions: Vec::new(), entries: Vec::new(), quarantined: Vec::new() };
    let mut bytes = 0;
    for (index, (record, data)) in records.all().iter().zip(data).enumerate() {
        let start = BatchPosition { record: index, position: 0 };
        let (unpacked, record_bytes) = record::unpack_sized(&data, &config.ids.members);
        bytes += record_bytes + unpacked.as_ref().map_or(1, Vec::len) * LINE_BYTES;
        if index > 0 && bytes > config.limits.batch_bytes {
            break;
        }
        let entries = match unpacked {
            Ok(entries) => entries,
            Err(reason) => {
                prefix.quarantined.push(Quarantined::undecodable(start, &reason, data));
                prefix.last_positions.push(0);
                continue;
            }
        };
        prefix.last_positions.push(line_position(entries.len().saturating_sub(1)));
        for (line, entry) in entries.into_iter().enumerate() {
            let position = BatchPosition { position: line_position(line), ..start };
            match entry {
                Ok(content) => {
                    let value = event(content, record.arrival, &records.origin(position), config);
                    prefix.entries.push(Entry { position, value });
                }
                Err(bad) => {
                    prefix.quarantined.push(Quarantined::undecodable(position, &bad.reason, bad.bytes));
                }
            }
        }
    }
    prefix.records = prefix.last_positions.len();
    (records, prefix)
}

/// One line of the stream, as the consumer reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamLine {
    pub origin: Origin,
    /// When its record arrived on the stream.
    pub arrival: Timestamp,
    /// The record's partition key, if it is known.
    pub partition_key: Option<String>,
    /// The event, or the name of the reason for which the line goes to quarantine.
    pub event: Result<Event, &'static str>,
    /// The bytes of a line that cannot be read. Empty for an event.
    pub unreadable: Vec<u8>,
}

impl Batch {
    /// The lines of all records, for readers other than the consumer. One record after another, since the lines of all
    /// together have no limit.
    pub fn lines(self, config: &Config) -> impl Iterator<Item = StreamLine> {
        self.into_records().flat_map(move |record| {
            let (record, decoded) = decode(record, config);
            let line = |position, event, unreadable| {
                let (origin, first) = (record.origin(position), record.first());
                let partition_key = first.partition_key.clone();
                StreamLine { origin, arrival: first.arrival, partition_key, event, unreadable }
            };
            let good =
                decoded.entries.into_iter().map(|entry| line(entry.position, Ok(*entry.value), Vec::new()));
            let bad =
                decoded.quarantined.into_iter().map(|bad| line(bad.position, Err(bad.reason), bad.bytes));
            let mut lines: Vec<_> = good.chain(bad).collect();
            lines.sort_by_key(|line| line.origin.position);
            lines
        })
    }
}

/// The events in quarantined bytes, which were at `origin`: one line, or what was taken for one and could not be cut into
/// lines, a record or a user record of an aggregate.
///
/// The first event is what the consumer would have read at that origin. The others have no position of their own on the
/// stream: the positions after `origin` are those of its neighbours, which may be archived from there. Each gets a position
/// that no line of a record has.
pub fn read_again(
    data: &[u8],
    origin: &Origin,
    arrival: Timestamp,
    config: &Config,
) -> Vec<(Origin, Result<Event, &'static str>)> {
    let entries = match record::unpack(data, &config.ids.members) {
        Ok(record) => record.entries,
        Err(reason) => return vec![(origin.clone(), Err(reason.code()))],
    };
    let entry = |(line, entry): (usize, record::Entry)| {
        let apart = line_position(line * record::RECORD_EVENTS);
        let origin = Origin { position: origin.position + apart, ..origin.clone() };
        let event = entry.map(|content| *event(content, arrival, &origin, config));
        (origin, event.map_err(|bad| bad.reason.code()))
    };
    entries.into_iter().enumerate().map(entry).collect()
}

/// The event of a line. Members that a foreign producer's object does not have follow from its origin, so that every attempt
/// reads the same event.
fn event(content: Content, arrival: Timestamp, origin: &Origin, config: &Config) -> Box<Event> {
    let object = match content {
        Content::Event(event) => return event,
        Content::Foreign(object) => object,
    };
    let admission_id = AdmissionId::of_foreign(&origin.shard, &origin.sequence_number, origin.position);
    Box::new(Event {
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
        is_flattened: object.is_flattened,
        is_message: false,
        claim_check: None,
        redrive_of: Vec::new(),
    })
}

fn line_position(line: usize) -> u32 {
    u32::try_from(line).expect("a record has at most record::RECORD_EVENTS lines")
}
