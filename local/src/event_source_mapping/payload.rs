//! The event that a function receives from a Kinesis mapping. A record is rendered once, after it was read.
//! Shape: <https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html#services-kinesis-event-example>

use base64_simd::STANDARD;
use serde_json::Value;
use shared::time::Timestamp;

use super::ports::RetainedRecord;
use super::settings::Settings;

/// A record as the function receives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RenderedRecord {
    pub(super) sequence_number: String,
    pub(super) arrival: Timestamp,
    pub(super) json: String,
}

/// The JSON that is the same in all records of a shard.
#[derive(Debug)]
pub(super) struct Envelope {
    shard_id: String,
    /// From `eventName` to the end of the record.
    source: String,
}

impl Envelope {
    pub(super) fn new(Settings { stream_arn, role_arn, .. }: &Settings, shard_id: &str) -> Self {
        let region = stream_arn.split(':').nth(3).unwrap_or_default();
        let source = format!(
            r#""eventName":"aws:kinesis:record","invokeIdentityArn":"{role_arn}","awsRegion":"{region}","eventSourceARN":"{stream_arn}""#
        );
        Self { shard_id: shard_id.to_owned(), source }
    }

    pub(super) fn render(&self, record: RetainedRecord) -> RenderedRecord {
        let RetainedRecord { sequence_number, partition_key, data, arrival } = record;
        let Self { shard_id, source } = self;
        let partition_key = Value::from(partition_key);
        let data = STANDARD.encode_to_string(&data);
        // AWS writes 190 ms as `.19` and 0 ms as `.0`, and so does `{:?}`.
        let seconds = arrival.since(Timestamp::from_unix_ms(0)).as_secs_f64();
        let kinesis = format!(
            r#"{{"kinesisSchemaVersion":"1.0","partitionKey":{partition_key},"sequenceNumber":"{sequence_number}","data":"{data}","approximateArrivalTimestamp":{seconds:?}}}"#
        );
        let json = format!(
            r#"{{"kinesis":{kinesis},"eventSource":"aws:kinesis","eventVersion":"1.0","eventID":"{shard_id}:{sequence_number}",{source}}}"#
        );
        RenderedRecord { sequence_number, arrival, json }
    }
}

pub(super) fn event(records: &[RenderedRecord]) -> String {
    let records: Vec<_> = records.iter().map(|record| record.json.as_str()).collect();
    format!(r#"{{"Records":[{}]}}"#, records.join(","))
}

/// The length in bytes of an event of records whose JSON has `sum` bytes.
pub(super) fn event_length(records: usize, sum: usize) -> usize {
    r#"{"Records":[]}"#.len() + sum + records.saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

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
        let records = [
            record("1", b"Hello, this is a test.", 1_545_084_650_987),
            record("a \"quoted\" key", b"", 1_545_084_711_190),
        ];
        let lines = event(&records.map(|record| envelope().render(record)))
            .replace(",\"", ",\n\"")
            .replace(",{", ",\n{");
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
        let check = |ms, expected: &str| {
            let json = envelope().render(record("k", b"", ms)).json;
            let time = json.split_once("\"approximateArrivalTimestamp\":").unwrap().1;
            assert_eq!(time.split_once('}').unwrap().0, expected);
        };
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
            let rendered: Vec<_> = records.iter().map(|record| envelope().render(record.clone())).collect();
            let sum = rendered.iter().map(|record| record.json.len()).sum();
            let event = event(&rendered);
            prop_assert_eq!(event_length(records.len(), sum), event.len());
            let parsed: Value = serde_json::from_str(&event).unwrap();
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
