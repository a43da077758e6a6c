//! An invocation's batch: records of one shard, in the stream's order.
//!
//! It has its own deserialiser: that of `aws_lambda_events` reads an arrival time of `….19` seconds as 19 milliseconds, and
//! copies each record's bytes once more. Bad data inside a record is left to [`crate::decode`]. Only a payload that no event
//! source mapping sends is an error.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, Error};
use shared::time::Timestamp;

use shared::origin::{Origin, ShardPosition};

/// Records with their data, which [`crate::decode`] takes.
#[derive(Debug)]
pub struct Batch {
    pub(crate) records: Records,
    /// Of each record.
    pub(crate) data: Vec<Vec<u8>>,
}

/// One or more records of one shard, in its order, without their data. Each has a sequence number that is not empty.
#[derive(Debug)]
pub(crate) struct Records {
    shard: Arc<str>,
    records: Vec<Record>,
}

#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) sequence_number: Arc<str>,
    /// Missing where the producer let Kinesis distribute its records.
    pub(crate) partition_key: Option<String>,
    /// When it arrived at the stream.
    pub(crate) arrival: Timestamp,
}

impl Batch {
    pub fn shard(&self) -> &str {
        self.records.shard()
    }

    pub fn of_record(
        shard: &str,
        sequence_number: &str,
        partition_key: Option<String>,
        arrival: Timestamp,
        data: Vec<u8>,
    ) -> Self {
        let record = Record { sequence_number: sequence_number.into(), partition_key, arrival };
        Self::of(shard.into(), record, data)
    }

    fn of(shard: Arc<str>, record: Record, data: Vec<u8>) -> Self {
        Self { records: Records { shard, records: vec![record] }, data: vec![data] }
    }

    /// A batch for each record.
    pub(crate) fn into_records(self) -> impl Iterator<Item = Self> {
        let Self { records: Records { shard, records }, data } = self;
        records.into_iter().zip(data).map(move |(record, data)| Self::of(shard.clone(), record, data))
    }
}

impl Records {
    pub(crate) fn shard(&self) -> &str {
        &self.shard
    }

    pub(crate) fn all(&self) -> &[Record] {
        &self.records
    }

    /// The first record. Keys of written objects contain its sequence number.
    pub(crate) fn first(&self) -> &Record {
        &self.records[0]
    }

    pub(crate) fn origin(&self, position: BatchPosition) -> Origin {
        Origin {
            shard: self.shard.clone(),
            sequence_number: self.records[position.record].sequence_number.clone(),
            position: position.position,
        }
    }
}

/// A position in the batch. Positions compare in the order of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BatchPosition {
    /// Which record of the batch, from 0.
    pub(crate) record: usize,
    /// Which line of the record, from 0.
    pub(crate) position: u32,
}

/// The payload as AWS documents it, without the members that are not used.
#[derive(serde::Deserialize)]
struct Payload<'a> {
    #[serde(rename = "Records", borrow)]
    records: Vec<PayloadRecord<'a>>,
}

#[derive(serde::Deserialize)]
struct PayloadRecord<'a> {
    #[serde(borrow)]
    kinesis: KinesisRecord<'a>,
    /// `shardId-…:sequence number`
    #[serde(rename = "eventID")]
    event_id: Cow<'a, str>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct KinesisRecord<'a> {
    #[serde(borrow)]
    sequence_number: Cow<'a, str>,
    partition_key: Option<String>,
    approximate_arrival_timestamp: f64,
    /// In base64. Borrowed, so that the text is not copied.
    #[serde(borrow)]
    data: Cow<'a, str>,
}

impl<'de> Deserialize<'de> for Batch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let payload = Payload::deserialize(deserializer)?;
        let first = payload.records.first().ok_or_else(|| D::Error::custom("the batch has no records"))?;
        let shard: Arc<str> = shard_of(&first.event_id).map_err(D::Error::custom)?.into();
        let record = |record: PayloadRecord| {
            if shard_of(&record.event_id)? != &*shard {
                return Err(format!("the batch has records of `{shard}` and of `{}`", record.event_id));
            }
            Record::read(record.kinesis)
        };
        let read = payload.records.into_iter().map(record).collect::<Result<(Vec<_>, Vec<_>), _>>();
        let (records, data) = read.map_err(D::Error::custom)?;
        ascending(&records).map_err(D::Error::custom)?;
        Ok(Self { records: Records { shard, records }, data })
    }
}

/// Fails if a record is there twice, or not in the shard's order. The archive's ranges follow that order: of such a batch, records
/// would be archived twice or not at all.
fn ascending(records: &[Record]) -> Result<(), String> {
    let at = |record: &Record| ShardPosition::new(record.sequence_number.clone(), 0);
    for pair in records.windows(2) {
        let [first, second] = [&pair[0], &pair[1]].map(|record| &record.sequence_number);
        match at(&pair[0]).cmp(&at(&pair[1])) {
            Ordering::Less => {}
            Ordering::Equal => return Err(format!("the batch has the record `{first}` twice")),
            Ordering::Greater => {
                return Err(format!(
                    "the batch has the record `{second}` after `{first}`, against the shard's order"
                ));
            }
        }
    }
    Ok(())
}

fn shard_of(event_id: &str) -> Result<&str, String> {
    let shard = event_id.split_once(':').map_or("", |(shard, _)| shard);
    if shard.is_empty() { Err(format!("the eventID `{event_id}` names no shard")) } else { Ok(shard) }
}

impl Record {
    /// A record and its data.
    fn read(kinesis: KinesisRecord<'_>) -> Result<(Self, Vec<u8>), String> {
        // An answer with an empty identifier would fail the whole batch, on every attempt.
        if kinesis.sequence_number.is_empty() {
            return Err("a record has an empty sequenceNumber".to_owned());
        }
        let data = base64_simd::STANDARD.decode_to_vec(&*kinesis.data);
        #[expect(clippy::cast_possible_truncation, reason = "milliseconds of any year fit; a cast saturates")]
        let arrival = (kinesis.approximate_arrival_timestamp * 1_000.0).round() as i64;
        let record = Self {
            sequence_number: kinesis.sequence_number.into(),
            partition_key: kinesis.partition_key,
            arrival: Timestamp::from_unix_ms(arrival),
        };
        Ok((record, data.map_err(|_| "a record's data is not base64")?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENTED: &str = r#"{"Records":[{"kinesis":{"kinesisSchemaVersion":"1.0","partitionKey":"1",
        "sequenceNumber":"49590338271490256608559692538361571095921575989136588898",
        "data":"SGVsbG8sIHRoaXMgaXMgYSB0ZXN0Lg==","approximateArrivalTimestamp":1545084650.987},
        "eventSource":"aws:kinesis","eventVersion":"1.0",
        "eventID":"shardId-000000000006:49590338271490256608559692538361571095921575989136588898",
        "eventName":"aws:kinesis:record","invokeIdentityArn":"arn:aws:iam::123456789012:role/lambda-role",
        "awsRegion":"us-east-2","eventSourceARN":"arn:aws:kinesis:us-east-2:123456789012:stream/lambda-stream"}]}"#;

    fn error(payload: &str) -> String {
        serde_json::from_str::<Batch>(payload).unwrap_err().to_string()
    }

    #[test]
    fn the_documented_payload_is_read() {
        let batch: Batch = serde_json::from_str(DOCUMENTED).unwrap();
        assert_eq!(batch.shard(), "shardId-000000000006");
        let record = batch.records.first();
        assert_eq!(&*record.sequence_number, "49590338271490256608559692538361571095921575989136588898");
        assert_eq!(record.partition_key.as_deref(), Some("1"));
        assert_eq!(batch.data, [b"Hello, this is a test."]);
        assert_eq!(record.arrival.unix_ms(), 1_545_084_650_987);
    }

    #[test]
    fn a_fraction_of_two_digits_is_hundredths() {
        let batch: Batch = serde_json::from_str(&DOCUMENTED.replace("650.987", "650.19")).unwrap();
        assert_eq!(batch.records.first().arrival.unix_ms(), 1_545_084_650_190);
    }

    #[test]
    fn a_record_may_come_without_a_partition_key() {
        let batch: Batch = serde_json::from_str(&DOCUMENTED.replace(r#""partitionKey":"1","#, "")).unwrap();
        assert_eq!(batch.records.first().partition_key, None);
    }

    #[test]
    fn what_no_mapping_sends_is_refused() {
        insta::assert_snapshot!(error(r#"{"Records":[]}"#), @"the batch has no records");
        let nameless = DOCUMENTED.replace("shardId-000000000006:", "");
        insta::assert_snapshot!(error(&nameless), @"the eventID `49590338271490256608559692538361571095921575989136588898` names no shard");
        let empty = DOCUMENTED.replace(
            r#""sequenceNumber":"49590338271490256608559692538361571095921575989136588898""#,
            r#""sequenceNumber":"""#,
        );
        insta::assert_snapshot!(error(&empty), @"a record has an empty sequenceNumber");
        let of = |sequence_numbers: &[&str]| {
            let record = |number: &&str| {
                let record =
                    DOCUMENTED.replace("49590338271490256608559692538361571095921575989136588898", number);
                record.strip_prefix(r#"{"Records":["#).unwrap().strip_suffix("]}").unwrap().to_owned()
            };
            let records: Vec<_> = sequence_numbers.iter().map(record).collect();
            format!(r#"{{"Records":[{}]}}"#, records.join(","))
        };
        insta::assert_snapshot!(error(&of(&["8", "9", "9"])), @"the batch has the record `9` twice");
        insta::assert_snapshot!(error(&of(&["9", "10", "8"])), @"the batch has the record `8` after `10`, against the shard's order");
        assert!(serde_json::from_str::<Batch>(&of(&["9", "10", "100"])).is_ok());
        assert!(error(&DOCUMENTED.replace("SGVs", "*GVs")).starts_with("a record's data is not base64"));
    }
}
