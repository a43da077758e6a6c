//! Puts lines on the stream, packed and retried as ingest does, at a limited rate.

use bytes::Bytes;
use ingest_fn::{EventStream, OutgoingLine, Publisher};
use shared::config;
use shared::metric::Metric;
use shared::objects::ObjectStore;

use crate::pace::Pace;

/// Most bytes of lines and parts in one call.
pub(crate) const BYTES: usize = 4_000_000;
/// Time limits for a call, and for one attempt. No sender waits for an answer.
const BUDGET_MS: u64 = 10_000;
const ATTEMPT_MS: u64 = 2_000;

pub(crate) struct RatedPublisher<'a, S, O> {
    publisher: Publisher<S>,
    objects: &'a O,
    pace: Pace,
}

/// An event's line, and the parts that must be stored before it, as [`OutgoingLine::new`] returns them.
pub(crate) type Bundle = (OutgoingLine, Vec<(String, Bytes)>);

impl<'a, S: EventStream, O: ObjectStore> RatedPublisher<'a, S, O> {
    pub(crate) fn new(stream: S, objects: &'a O, pace: Pace) -> Self {
        let settings =
            config::Publish { budget_ms: BUDGET_MS, attempt_ms: ATTEMPT_MS, ..config::Publish::default() };
        let publisher = Publisher::new(stream, settings, Metric::DrainLatency);
        Self { publisher, objects, pace }
    }

    /// How many of these lines fit into one call, from the first on: at least one.
    pub(crate) fn fitting(&self, sizes: impl IntoIterator<Item = usize>) -> usize {
        let mut sum = 0;
        let fitting = sizes.into_iter().take(self.pace.portion()).take_while(|size| {
            sum += size;
            sum <= BYTES
        });
        fitting.count().max(1)
    }

    /// Puts lines at the allowed rate, with one answer for each line. A line may be on the stream even if its answer is an
    /// error.
    pub(crate) async fn publish(&mut self, bundles: Vec<Bundle>) -> anyhow::Result<Vec<Result<(), String>>> {
        self.pace.wait(bundles.len()).await;
        let mut lines = Vec::with_capacity(bundles.len());
        for (line, parts) in bundles {
            // Before the line, so that its references always exist.
            for (key, bytes) in parts {
                self.objects.put_if_absent(&key, bytes, None).await?;
            }
            lines.push(line);
        }
        let answers = self.publisher.publish(lines).await;
        Ok(answers.into_iter().map(|answer| answer.map_err(|why| why.to_string())).collect())
    }
}
