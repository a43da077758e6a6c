//! The event that a function receives from a Kinesis mapping, rendered into one buffer, and its exact size.
//! Shape: <https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html#services-kinesis-event-example>

use std::io;

use base64_simd::STANDARD;
use bytes::Bytes;

use super::ports::RetainedRecord;
use super::settings::Settings;

const OPENING: &str = r#"{"Records":["#;
const CLOSING: &str = "]}";
const PARTITION_KEY: &str = r#"{"kinesis":{"kinesisSchemaVersion":"1.0","partitionKey":"#;
const SEQUENCE_NUMBER: &str = r#","sequenceNumber":""#;
const DATA: &str = r#"","data":""#;
const ARRIVAL: &str = r#"","approximateArrivalTimestamp":"#;

/// The JSON that is the same in all records of a shard, so that rendering only copies.
#[derive(Clone, Debug)]
pub(super) struct Envelope {
    /// From the arrival time to the shard in `eventID`.
    event_id: String,
    /// From `eventID` to the end of the record.
    origin: String,
}

impl Envelope {
    pub(super) fn new(settings: &Settings, shard_id: &str) -> Self {
        let region = settings.stream_arn.split(':').nth(3).unwrap_or_default();
        Self {
            event_id: format!(
                r#"}},"eventSource":"aws:kinesis","eventVersion":"1.0","eventID":"{shard_id}:"#
            ),
            origin: format!(
                r#"","eventName":"aws:kinesis:record","invokeIdentityArn":"{}","awsRegion":"{region}","eventSourceARN":"{}"}}"#,
                settings.role_arn, settings.stream_arn
            ),
        }
    }

    /// The length in bytes of an event of records whose [lengths](Self::length_of) add up to `sum`.
    pub(super) fn event_length(records: usize, sum: usize) -> usize {
        OPENING.len() + sum + records.saturating_sub(1) + CLOSING.len()
    }

    /// The length in bytes of one record in an event.
    pub(super) fn length_of(&self, record: &RetainedRecord) -> usize {
        let fixed = [PARTITION_KEY, SEQUENCE_NUMBER, DATA, ARRIVAL, &self.event_id, &self.origin];
        fixed.iter().map(|part| part.len()).sum::<usize>()
            + quoted_length(&record.partition_key)
            + 2 * record.sequence_number.len()
            + STANDARD.encoded_length(record.data.len())
            + arrival_seconds(record).len()
    }

    pub(super) fn render(&self, records: &[RetainedRecord]) -> Bytes {
        let sum = records.iter().map(|record| self.length_of(record)).sum();
        let mut event = Vec::with_capacity(Self::event_length(records.len(), sum));
        event.extend_from_slice(OPENING.as_bytes());
        for (index, record) in records.iter().enumerate() {
            if index > 0 {
                event.push(b',');
            }
            self.render_record(record, &mut event);
        }
        event.extend_from_slice(CLOSING.as_bytes());
        event.into()
    }

    fn render_record(&self, record: &RetainedRecord, event: &mut Vec<u8>) {
        event.extend_from_slice(PARTITION_KEY.as_bytes());
        write_quoted(&record.partition_key, &mut *event);
        event.extend_from_slice(SEQUENCE_NUMBER.as_bytes());
        event.extend_from_slice(record.sequence_number.as_bytes());
        event.extend_from_slice(DATA.as_bytes());
        STANDARD.encode_append(&record.data, event);
        event.extend_from_slice(ARRIVAL.as_bytes());
        event.extend_from_slice(arrival_seconds(record).as_bytes());
        event.extend_from_slice(self.event_id.as_bytes());
        event.extend_from_slice(record.sequence_number.as_bytes());
        event.extend_from_slice(self.origin.as_bytes());
    }
}

/// Seconds since the epoch as AWS writes them: a decimal number without trailing zeros. 190 ms is `.19`, 0 ms is `.0`.
fn arrival_seconds(record: &RetainedRecord) -> String {
    let ms = record.arrival.unix_ms();
    let mut seconds = format!("{}.{:03}", ms / 1_000, ms % 1_000);
    while seconds.ends_with('0') && !seconds.ends_with(".0") {
        seconds.pop();
    }
    seconds
}

fn write_quoted(text: &str, to: impl io::Write) {
    serde_json::to_writer(to, text).expect("a string is JSON, and the writer is memory");
}

fn quoted_length(text: &str) -> usize {
    struct Length(usize);
    impl io::Write for Length {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut length = Length(0);
    write_quoted(text, &mut length);
    length.0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use shared::time::Timestamp;

    use super::*;
    use crate::event_source_mapping::tests::settings;

    fn envelope() -> Envelope {
        Envelope::new(&settings(), "shardId-000000000006")
    }

    fn record(partition_key: &str, data: &[u8], arrival_ms: i64) -> RetainedRecord {
        RetainedRecord {
            sequence_number: "49590338271490256608559692538361571095921575989136588898".to_owned(),
            partition_key: partition_key.to_owned(),
            data: Bytes::copy_from_slice(data),
            arrival: Timestamp::from_unix_ms(arrival_ms),
        }
    }

    #[test]
    fn the_event_has_the_documented_shape() {
        let event = envelope().render(&[
            record("1", b"Hello, this is a test.", 1_545_084_650_987),
            record("a \"quoted\" key", b"", 1_545_084_711_190),
        ]);
        let lines = std::str::from_utf8(&event).unwrap().replace(",\"", ",\n\"").replace(",{", ",\n{");
        insta::assert_snapshot!(lines, @r#"
        {"Records":[{"kinesis":{"kinesisSchemaVersion":"1.0",
        "partitionKey":"1",
        "sequenceNumber":"49590338271490256608559692538361571095921575989136588898",
        "data":"SGVsbG8sIHRoaXMgaXMgYSB0ZXN0Lg==",
        "approximateArrivalTimestamp":1545084650.987},
        "eventSource":"aws:kinesis",
        "eventVersion":"1.0",
        "eventID":"shardId-000000000006:49590338271490256608559692538361571095921575989136588898",
        "eventName":"aws:kinesis:record",
        "invokeIdentityArn":"arn:aws:iam::123456789012:role/consumer",
        "awsRegion":"us-east-2",
        "eventSourceARN":"arn:aws:kinesis:us-east-2:123456789012:stream/events"},
        {"kinesis":{"kinesisSchemaVersion":"1.0",
        "partitionKey":"a \"quoted\" key",
        "sequenceNumber":"49590338271490256608559692538361571095921575989136588898",
        "data":"",
        "approximateArrivalTimestamp":1545084711.19},
        "eventSource":"aws:kinesis",
        "eventVersion":"1.0",
        "eventID":"shardId-000000000006:49590338271490256608559692538361571095921575989136588898",
        "eventName":"aws:kinesis:record",
        "invokeIdentityArn":"arn:aws:iam::123456789012:role/consumer",
        "awsRegion":"us-east-2",
        "eventSourceARN":"arn:aws:kinesis:us-east-2:123456789012:stream/events"}]}
        "#);
    }

    #[test]
    fn arrival_times_are_seconds_with_a_fraction_and_no_trailing_zeros() {
        let check = |ms, expected| assert_eq!(arrival_seconds(&record("k", b"", ms)), expected);
        check(1_545_084_650_987, "1545084650.987");
        check(1_545_084_650_190, "1545084650.19");
        check(1_545_084_650_009, "1545084650.009");
        check(1_545_084_650_000, "1545084650.0");
    }

    proptest! {
        #[test]
        fn the_computed_length_is_the_length_of_the_rendering(
            records in prop::collection::vec((".{0,20}", prop::collection::vec(any::<u8>(), 0..50), 0..4_000_000_000_000_i64), 0..5)
        ) {
            let records: Vec<_> = records.iter().map(|(key, data, ms)| record(key, data, *ms)).collect();
            let envelope = envelope();
            let sum = records.iter().map(|record| envelope.length_of(record)).sum();
            let event = envelope.render(&records);
            prop_assert_eq!(Envelope::event_length(records.len(), sum), event.len());
            let parsed: serde_json::Value = serde_json::from_slice(&event).unwrap();
            for (index, record) in records.iter().enumerate() {
                let kinesis = &parsed["Records"][index]["kinesis"];
                prop_assert_eq!(kinesis["partitionKey"].as_str(), Some(record.partition_key.as_str()));
                prop_assert_eq!(
                    STANDARD.decode_to_vec(kinesis["data"].as_str().unwrap()).unwrap(),
                    record.data.to_vec()
                );
            }
        }
    }
}
