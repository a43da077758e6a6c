//! The drain: puts spilled lines on the stream, with their partition keys. It never spills. If the stream does not take all
//! lines of a message, the message stays in the queue and is received again after its visibility time-out. After
//! [`RECEIVES`] receives the queue moves it to the dead-letter queue.
//!
//! A second attempt puts lines again that the stream took on the first: the consumer recognises their admission.

mod lambda;

use std::ops::Range;
use std::time::Duration;

use serde::Deserialize;
use shared::config;
use shared::metric::Metric;
use shared::queue::{QueueBatch, QueueResponse};
use shared::traces::Traces;

pub use self::lambda::serve;
use crate::publish::{EventStream, OutgoingLine, Publisher};
use crate::spill::SpillMessage;

/// Time limit for putting a batch of messages on the stream. No client waits for it, so it is long.
const BUDGET: Duration = Duration::from_secs(20);

/// Time limit for one attempt. Long as well: a slow answer costs less than a second copy.
pub const ATTEMPT: Duration = Duration::from_secs(2);

/// The function's time-out as deployed: the budget, and time to start and to answer.
pub const TIMEOUT: Duration = Duration::from_secs(30);

/// The queue's visibility time-out as deployed: six times the function's, as AWS recommends
/// (<https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html>).
pub const VISIBILITY: Duration = Duration::from_mins(3);

/// The queue's `maxReceiveCount` as deployed: with this visibility time-out, messages survive a stream outage of one day.
pub const RECEIVES: u32 = 500;

/// A message as Lambda sends it, without the members that are not used.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueMessage {
    pub message_id: String,
    /// [`SpillMessage::body`].
    pub body: String,
}

#[derive(Debug)]
pub struct Drain<S> {
    publisher: Publisher<S>,
    /// If spans go anywhere.
    traces: Option<Traces>,
}

impl<S: EventStream> Drain<S> {
    pub fn new(stream: S, settings: &config::Publish) -> Self {
        Self::traced(stream, settings, None)
    }

    /// The same, with a span for each record that has a traced event.
    pub fn traced(stream: S, settings: &config::Publish, traces: Option<Traces>) -> Self {
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let settings = config::Publish { budget_ms: ms(BUDGET), attempt_ms: ms(ATTEMPT), ..settings.clone() };
        let publisher = Publisher::traced(stream, settings, Metric::DrainLatency, traces.clone());
        Self { publisher, traces }
    }

    /// Sends the spans of an invocation, if there are any.
    async fn send_spans(&self) {
        if let Some(traces) = &self.traces {
            traces.send_at_end().await;
        }
    }

    /// Publishes the lines of all messages. Lines of one partition key stay in order.
    pub async fn handle(&self, batch: QueueBatch<QueueMessage>) -> QueueResponse {
        let mut lines = Vec::new();
        let mut read = Vec::new();
        let mut stays = Vec::new();
        for message in batch.messages {
            match SpillMessage::read(&message.body) {
                Ok(of_message) => {
                    let from = lines.len();
                    lines.extend(of_message);
                    read.push((message.message_id, from..lines.len()));
                }
                Err(error) => {
                    let id = message.message_id;
                    tracing::error!(message.id = %id, %error, "a spilled message cannot be read and will end in the dead-letter queue: {error}");
                    stays.push(id);
                }
            }
        }
        stays.extend(self.publish(lines, read).await);
        stays.into_iter().collect()
    }

    /// Returns the ids of the messages that stay in the queue.
    async fn publish(&self, lines: Vec<OutgoingLine>, messages: Vec<(String, Range<usize>)>) -> Vec<String> {
        let answers = self.publisher.publish(lines).await;
        let (mut stays, mut cause) = (Vec::new(), None);
        for (id, of_message) in messages {
            if let Some(unpublished) = answers[of_message].iter().find_map(|answer| answer.as_ref().err()) {
                cause = Some(unpublished.to_string());
                stays.push(id);
            }
        }
        if let Some(cause) = cause {
            tracing::warn!(messages = stays.len(), cause, "spilled messages stay in the queue: {cause}");
        }
        stays
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use metrics::{Key, KeyName, Metadata, SharedString, Unit};
    use serde_json::json;
    use shared::format::record;
    use tokio::time::Instant;

    use super::*;
    use crate::publish::{Put, Refusal, StreamFailure, StreamRecord};

    /// Refuses records of the partition key `full`, or hangs.
    #[derive(Default)]
    struct Stream {
        hangs: bool,
        records: Mutex<Vec<StreamRecord>>,
    }

    impl EventStream for std::sync::Arc<Stream> {
        async fn put(&self, records: &[StreamRecord]) -> Result<Vec<Put>, StreamFailure> {
            if self.hangs {
                std::future::pending::<()>().await;
            }
            let put = |record: &StreamRecord| {
                if record.partition_key == "full" {
                    return Put::Refused(Refusal::Throttled("slow down".to_owned()));
                }
                self.records.lock().unwrap().push(record.clone());
                Put::Taken
            };
            Ok(records.iter().map(put).collect())
        }
    }

    /// Sends messages, by id and body, as Lambda does, and returns the answer as Lambda reads it.
    async fn drain(stream: &std::sync::Arc<Stream>, messages: &[(&str, &str)]) -> serde_json::Value {
        let record = |(id, body): &(&str, &str)| {
            json!({
                "messageId": id,
                "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a...",
                "body": body,
                "attributes": {
                    "ApproximateReceiveCount": "1",
                    "SentTimestamp": "1545082649183",
                    "SenderId": "AIDAIENQZJOLO23YVJ4VO",
                    "ApproximateFirstReceiveTimestamp": "1545082649185"
                },
                "messageAttributes": {},
                "md5OfBody": "098f6bcd4621d373cade4e832627b4f6",
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:us-east-2:123456789012:spill",
                "awsRegion": "us-east-2"
            })
        };
        let event = json!({"Records": messages.iter().map(record).collect::<Vec<_>>()});
        let drain = Drain::new(std::sync::Arc::clone(stream), &config::Publish::default());
        let response = drain.handle(serde_json::from_value(event).unwrap()).await;
        serde_json::to_value(response).unwrap()
    }

    fn body(key: &str, lines: &[&str]) -> String {
        SpillMessage::of(key, lines).body().to_owned()
    }

    fn staying(ids: &[&str]) -> serde_json::Value {
        let failures: Vec<_> = ids.iter().map(|id| json!({"itemIdentifier": id})).collect();
        json!({"batchItemFailures": failures})
    }

    #[tokio::test(start_paused = true)]
    async fn lines_reach_the_stream_with_their_key_and_in_order() {
        let stream = std::sync::Arc::<Stream>::default();
        let (one, two, three) = (body("acme", &["1", "2"]), body("beta#1", &["3"]), body("acme", &["4"]));
        assert_eq!(drain(&stream, &[("a", &one), ("b", &two), ("c", &three)]).await, staying(&[]));
        let records = stream.records.lock().unwrap();
        let record = |key: &str, lines: &[&str]| StreamRecord {
            partition_key: key.to_owned(),
            data: record::pack(lines).into(),
        };
        assert_eq!(*records, [record("acme", &["1", "2", "4"]), record("beta#1", &["3"])]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_message_stays_in_the_queue_and_the_others_are_done() {
        let stream = std::sync::Arc::<Stream>::default();
        let (full, free) = (body("full", &["1"]), body("free", &["2"]));
        assert_eq!(drain(&stream, &[("a", &full), ("b", &free)]).await, staying(&["a"]));
    }

    #[tokio::test(start_paused = true)]
    async fn an_unreadable_message_stays_until_the_queue_moves_it_to_the_dead_letter_queue() {
        let stream = std::sync::Arc::<Stream>::default();
        let good = body("acme", &["1"]);
        assert_eq!(drain(&stream, &[("bad", "garbage"), ("good", &good)]).await, staying(&["bad"]));
        assert_eq!(stream.records.lock().unwrap().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_for_a_hanging_stream_ends_within_the_functions_time_out() {
        let stream = std::sync::Arc::new(Stream { hangs: true, ..Stream::default() });
        let started = Instant::now();
        assert_eq!(drain(&stream, &[("a", &body("acme", &["1"]))]).await, staying(&["a"]));
        assert_eq!(started.elapsed(), BUDGET);
        assert!(BUDGET < TIMEOUT && TIMEOUT * 6 <= VISIBILITY);
    }

    /// The names of the distributions that got a value.
    #[derive(Default)]
    struct Recorded(Mutex<Vec<String>>);

    impl metrics::Recorder for Recorded {
        fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

        fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> metrics::Counter {
            metrics::Counter::noop()
        }

        fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> metrics::Gauge {
            metrics::Gauge::noop()
        }

        fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> metrics::Histogram {
            self.0.lock().unwrap().push(key.name().to_owned());
            metrics::Histogram::noop()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_of_its_puts_is_not_counted_as_that_of_ingest() {
        let recorded = Recorded::default();
        let _guard = metrics::set_default_local_recorder(&recorded);
        let stream = std::sync::Arc::<Stream>::default();
        assert_eq!(drain(&stream, &[("a", &body("acme", &["1"]))]).await, staying(&[]));
        assert_eq!(*recorded.0.lock().unwrap(), ["DrainLatency"]);
    }

    #[tokio::test]
    async fn an_empty_batch_is_done_at_once() {
        assert_eq!(drain(&std::sync::Arc::default(), &[]).await, staying(&[]));
    }
}
