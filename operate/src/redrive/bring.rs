//! The way back to the stream: packed and retried as from the door, at a rate.

use bytes::Bytes;
use ingest_fn::{EventStream, OutgoingLine, Publisher};
use shared::config;
use shared::metric::Metric;
use shared::objects::ObjectStore;

use crate::pace::Pace;

/// Bytes of lines, and of parts, that are put together.
pub(crate) const BYTES: usize = 4_000_000;
/// How long they may take to reach the stream, and one attempt. Nobody waits for it with a deadline.
const BUDGET_MS: u64 = 10_000;
const ATTEMPT_MS: u64 = 2_000;

/// Brings lines to a stream.
pub(crate) struct Bringer<'a, S, O> {
    publisher: Publisher<S>,
    objects: &'a O,
    pace: Pace,
}

/// An event's line and its partition key, and the parts that are stored before it.
pub(crate) struct Bundle {
    pub(crate) line: OutgoingLine,
    pub(crate) parts: Vec<(String, Bytes)>,
}

impl<'a, S: EventStream, O: ObjectStore> Bringer<'a, S, O> {
    /// To `stream`, its large parts to `objects`.
    pub(crate) fn new(stream: S, objects: &'a O, pace: Pace) -> Self {
        let settings =
            config::Publish { budget_ms: BUDGET_MS, attempt_ms: ATTEMPT_MS, ..config::Publish::default() };
        let publisher = Publisher::new(stream, settings, Metric::RedriveLatency);
        Self { publisher, objects, pace }
    }

    /// How many lines go together at most.
    pub(crate) fn portion(&self) -> usize {
        self.pace.portion()
    }

    /// How many of these lines go together, first to last: at least one.
    pub(crate) fn together(&self, sizes: impl IntoIterator<Item = usize>) -> usize {
        let mut sum = 0;
        let fitting = sizes.into_iter().take(self.portion()).take_while(|size| {
            sum += size;
            sum <= BYTES
        });
        fitting.count().max(1)
    }

    /// Puts lines, and answers for each by its position. What was put may be on the stream even if the answer is an
    /// error. Waits as long as the rate asks for.
    pub(crate) async fn bring(&mut self, bundles: Vec<Bundle>) -> anyhow::Result<Vec<Result<(), String>>> {
        self.pace.wait(bundles.len()).await;
        let mut lines = Vec::with_capacity(bundles.len());
        for Bundle { line, parts } in bundles {
            // Before the line, so that its references never lead nowhere.
            for (key, bytes) in parts {
                self.objects.put_if_absent(&key, bytes, None).await?;
            }
            lines.push(line);
        }
        let answers = self.publisher.publish(lines).await;
        Ok(answers.into_iter().map(|answer| answer.map_err(|why| why.to_string())).collect())
    }
}
