//! Quarantine objects, failed batches and queued messages without the erased events. Bytes in, bytes out. The lines and records
//! that stay are not written anew: their bytes are those of before.

use std::collections::BTreeMap;

use anyhow::Context;
use consumer_fn::{Batch, StreamLine, read_again};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use shared::config::Config;
use shared::format::event_line::Event;
use shared::format::failed_batch::{is_text, payload_text};
use shared::format::quarantine_line::QuarantineLine;
use shared::format::spill_message::SpillMessage;
use shared::origin::ShardPosition;
use shared::time::Timestamp;

use super::Erasure;
use super::plan::Standing;

/// What is left of an object or a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rest {
    /// `None` if nothing is left.
    pub(crate) left: Option<Vec<u8>>,
    /// Erased lines, or records.
    pub(crate) removed: u64,
    /// Lines of the erasure's events that are left to the next one.
    pub(crate) later: Vec<Event>,
    /// Records that have lines of other events as well: the position of a line in its record must not change.
    pub(crate) mixed: u64,
    /// Lines that cannot be read.
    pub(crate) unreadable: u64,
}

impl Rest {
    /// Takes the standings of the lines of one record, or of a queued message. Returns whether it is removed.
    fn take(&mut self, lines: impl IntoIterator<Item = (Standing, Option<Event>)>) -> bool {
        let (mut due, mut other) = (0, 0);
        for (standing, event) in lines {
            match standing {
                Standing::Due => due += 1,
                Standing::Later => self.later.extend(event),
                Standing::Other => {}
            }
            other += u64::from(standing != Standing::Due);
        }
        self.mixed += u64::from(due > 0 && other > 0);
        self.removed += u64::from(due > 0 && other == 0);
        due > 0 && other == 0
    }
}

pub(crate) fn quarantine(object: &[u8], erasure: &Erasure, config: &Config) -> Rest {
    let (mut rest, mut left) = (Rest::default(), Vec::new());
    for bytes in object.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let line: Result<QuarantineLine, _> = serde_json::from_slice(bytes);
        let is_removed = line.is_ok_and(|line| is_erased_line(line, erasure, config, &mut rest));
        if !is_removed {
            left.extend_from_slice(bytes);
            left.push(b'\n');
        }
    }
    rest.left = Some(left).filter(|left| !left.is_empty());
    rest
}

fn is_erased_line(line: QuarantineLine, erasure: &Erasure, config: &Config, rest: &mut Rest) -> bool {
    let QuarantineLine { tenant, id, origin, arrival, bytes, .. } = line;
    let mut events: Vec<_> =
        read_again(&bytes, &origin, arrival, config).into_iter().map(|it| it.1).collect();
    if let (Some(tenant), Some(id)) = (&tenant, &id) {
        // What the consumer knew of it counts, even if the bytes cannot be read now.
        let event = events.pop().and_then(Result::ok);
        return rest.take([(erasure.standing(tenant, id, &origin), event)]);
    }
    rest.unreadable += events.iter().filter(|event| event.is_err()).count() as u64;
    let lines = events.into_iter().map(|event| match event {
        Ok(event) => (erasure.standing(&event.facts.tenant, &event.facts.id, &origin), Some(event)),
        Err(_) => (Standing::Other, None),
    });
    rest.take(lines)
}

/// The records of a failed batch, each as it is written.
#[derive(Deserialize)]
struct Payload<'a> {
    #[serde(rename = "Records", borrow)]
    records: Vec<&'a RawValue>,
}

pub(crate) fn failed(object: &[u8], erasure: &Erasure, config: &Config) -> anyhow::Result<Rest> {
    let mut rest = Rest::default();
    let mut failed: BTreeMap<String, Box<RawValue>> =
        serde_json::from_slice(object).context("it is not a record of a failed batch")?;
    let payload = failed.get("payload").context("it holds no payload")?;
    let (is_text, payload) = (is_text(payload), payload_text(payload)?);
    let Payload { records } =
        serde_json::from_str(&payload).context("its payload is not a batch of records")?;
    let mut left = Vec::new();
    for record in records {
        let batch: Batch = serde_json::from_str(&format!(r#"{{"Records":[{record}]}}"#))
            .context("its payload is not a batch of records")?;
        let lines: Vec<StreamLine> = batch.lines(config).collect();
        let ends = lines.first().map(|line| (line.origin.sequence_number.clone(), line.arrival));
        rest.unreadable += lines.iter().filter(|line| line.event.is_err()).count() as u64;
        let standing = |line: StreamLine| match line.event {
            Ok(event) => (erasure.standing(&event.facts.tenant, &event.facts.id, &line.origin), Some(event)),
            Err(_) => (Standing::Other, None),
        };
        if !rest.take(lines.into_iter().map(standing)) {
            left.push((record.get(), ends));
        }
    }
    let ends = || left.iter().filter_map(|(_, end)| end.clone());
    if let (Some((first, from)), Some((last, to))) = (ends().next(), ends().next_back()) {
        let records: Vec<_> = left.iter().map(|(record, _)| *record).collect();
        let payload = format!(r#"{{"Records":[{}]}}"#, records.join(","));
        let payload = if is_text { to_raw_value(&payload)? } else { RawValue::from_string(payload)? };
        failed.insert("payload".to_owned(), payload);
        let info = failed.get("KinesisBatchInfo").map(|info| serde_json::from_str(info.get())).transpose()?;
        let mut info = info.unwrap_or_default();
        describe(&mut info, &first, &last, from, to, records.len());
        failed.insert("KinesisBatchInfo".to_owned(), to_raw_value(&info)?);
        rest.left = Some(serde_json::to_vec(&failed)?);
    }
    Ok(rest)
}

/// What the object says of its batch.
fn describe(info: &mut Value, first: &str, last: &str, from: Timestamp, to: Timestamp, size: usize) {
    info["startSequenceNumber"] = first.into();
    info["endSequenceNumber"] = last.into();
    info["approximateArrivalOfFirstRecord"] = from.to_string().into();
    info["approximateArrivalOfLastRecord"] = to.to_string().into();
    info["batchSize"] = size.into();
}

/// The exclusive end of a failed batch that has one of the erasure's events, with its shard.
pub(crate) fn failed_end(
    batch: Batch,
    is_of: impl Fn(&Event) -> bool,
    config: &Config,
) -> Option<(String, ShardPosition)> {
    let (shard, mut end, mut has_one) = (batch.shard().to_owned(), None, false);
    for line in batch.lines(config) {
        has_one |= line.event.as_ref().is_ok_and(&is_of);
        end = end.max(Some(ShardPosition::after(&line.origin)));
    }
    end.filter(|_| has_one).map(|end| (shard, end))
}

/// A message of the spill queue or of its dead letters, or the note of one that was redriven. `None` if it cannot be read.
pub(crate) fn spilled(body: &str, erasure: &Erasure) -> Option<Rest> {
    let lines = SpillMessage::read(body).ok()?;
    let (mut rest, mut left, mut key) = (Rest::default(), Vec::new(), String::new());
    for line in lines {
        let event: Result<Event, _> = serde_json::from_slice(&line.line);
        let standing = match &event {
            Ok(event) => {
                let facts = &event.facts;
                erasure.standing_of_queued(&facts.tenant, &facts.id, facts.received_at)
            }
            Err(_) => Standing::Other,
        };
        rest.unreadable += u64::from(event.is_err());
        if !rest.take([(standing, event.ok())]) {
            key = line.partition_key;
            left.push(line.line);
        }
    }
    let body = || SpillMessage::of(&key, &left).body().to_owned().into_bytes();
    rest.left = (!left.is_empty()).then(body);
    Some(rest)
}

#[cfg(test)]
mod tests {
    use shared::id::TenantId;

    use super::super::Wanted;
    use super::*;

    /// A record with one event of the tenant, and a number as no `f64` has it.
    fn record(tenant: &str, number: u32) -> String {
        let line = format!(
            r#"{{"v":1,"id":"{number}","admission_id":"019aa553-4a00-7000-8000-000000000001","tenant":"{tenant}","tier":"pro","source":"webhook","received_at":"2026-11-21T09:30:00.123Z","text":"x"}}"#
        );
        let data = base64_simd::STANDARD.encode_to_string(line);
        format!(
            r#"{{ "kinesis": {{"sequenceNumber":"{number}","partitionKey":"k","data":"{data}","approximateArrivalTimestamp":1795253400.190000000001}},"eventID":"s:{number}","count":1e400}}"#
        )
    }

    #[test]
    fn what_is_left_of_a_failed_batch_is_written_as_it_was_a_text_or_an_object() {
        let wanted = Wanted { tenant: TenantId::parse("acme").unwrap(), event: None };
        let ends = [("s".into(), ShardPosition::new("100", 0))].into();
        let erasure = Erasure::new(&wanted, Timestamp::from_unix_ms(0), ends);
        let all = ["acme", "beta", "acme"].into_iter().zip(1..);
        let records: Vec<_> = all.map(|(tenant, number)| record(tenant, number)).collect();
        let payload = format!("{{\n  \"Records\": [{}]\n}}", records.join(",\n"));
        let rest = format!(r#"{{"Records":[{}]}}"#, records[1]);
        let text = |payload: &str| serde_json::to_string(payload).unwrap();
        for (payload, left) in [(text(&payload), text(&rest)), (payload, rest)] {
            let object = |payload: &str, info: &str| {
                format!(
                    r#"{{"KinesisBatchInfo":{info},"payload":{payload},"requestContext":{{"count":1e400}},"version":"1.0"}}"#
                )
            };
            let found = failed(object(&payload, "{}").as_bytes(), &erasure, &Config::default()).unwrap();
            assert_eq!((found.removed, found.unreadable), (2, 0));
            let info = r#"{"approximateArrivalOfFirstRecord":"2026-11-21T09:30:00.190Z","approximateArrivalOfLastRecord":"2026-11-21T09:30:00.190Z","batchSize":1,"endSequenceNumber":"2","startSequenceNumber":"2"}"#;
            assert_eq!(String::from_utf8(found.left.unwrap()).unwrap(), object(&left, info));
        }
    }
}
