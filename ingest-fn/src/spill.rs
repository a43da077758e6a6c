//! The spill path: lines that the stream did not take within its budget go to a queue, so that they can still be answered
//! 202. [`crate::drain`] empties the queue later.
//!
//! | file | holds |
//! |---|---|
//! | `plan.rs` | lines → messages. Pure |
//! | `sqs.rs` | the queue by the AWS SDK |
//!
//! A spilled event keeps its admission. So the consumer recognises it if the stream has it after all (a put that hung may
//! have landed), and if a message is sent or delivered twice. Spilled events lose their order.

mod plan;
#[cfg(feature = "aws")]
pub mod sqs;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::time::Duration;

use futures::StreamExt;
use shared::metric::Metric;
use tokio::time::Instant;

use crate::claim_check::for_spill;
use crate::offload::offload;
use crate::publish::{Answers, OutgoingLine, Unpublished};
pub use shared::format::spill_message::SpillMessage;
use shared::objects::ObjectStore;

/// Calls that one request makes side by side. A body of the largest size needs a handful, unless it mixes many tenants.
const CALLS: usize = 16;

/// Before messages that were refused are sent again.
const PAUSE: Duration = Duration::from_millis(10);

/// Why a message is not known to be in the queue.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SpillFailure(pub String);

/// Where spilled events wait. An adapter makes one attempt a call.
pub trait SpillQueue: Send + Sync + 'static {
    /// Sends at most 10 messages of at most 1 MiB in all, and answers for each by its position: `Ok` is durable.
    fn send(&self, messages: &[SpillMessage]) -> impl Future<Output = Vec<Result<(), SpillFailure>>> + Send;
}

/// The way to the queue, within a time budget.
#[derive(Debug)]
pub(crate) struct Spill<Q> {
    queue: Q,
    budget: Duration,
}

impl<Q: SpillQueue> Spill<Q> {
    pub(crate) fn new(queue: Q, budget: Duration) -> Self {
        Self { queue, budget }
    }

    /// Sends those `lines` to the queue whose `answers` say that the stream does not have them. Lines that are too large
    /// for a message are stored first, until `claims_until`. An error in the result is final: neither stream nor queue
    /// has the line.
    pub(crate) async fn take_rest<O: ObjectStore>(
        &self,
        lines: Vec<OutgoingLine>,
        mut answers: Answers,
        objects: &O,
        claims_until: Instant,
    ) -> Answers {
        if answers.iter().all(Result::is_ok) {
            return answers;
        }
        let rest = lines.into_iter().enumerate().filter(|(index, _)| answers[*index].is_err());
        let (indexes, rest): (Vec<_>, Vec<_>) = rest.unzip();
        let Some(Err(first)) = indexes.first().map(|index| answers[*index].clone()) else { return answers };
        let mut spilled = 0;
        let rest = for_spill(rest, objects, claims_until).await;
        let mut sent = self.send(rest.iter().flatten().cloned().collect()).await.into_iter();
        let late = || Err(SpillFailure("the queue did not answer for it".to_owned()));
        let sent = rest.into_iter().map(|line| match line {
            Ok(_) => sent.next().unwrap_or_else(late),
            Err(cause) => Err(SpillFailure(cause)),
        });
        for (index, sent) in indexes.into_iter().zip(sent) {
            match (sent, &mut answers[index]) {
                (Err(failure), Err(unpublished)) => self.add(&failure, unpublished),
                (_, answer) => {
                    *answer = Ok(());
                    spilled += 1;
                }
            }
        }
        Metric::EventsSpilled.add(spilled);
        if spilled > 0 {
            let cause = &first.cause;
            tracing::warn!(
                events = spilled,
                cause,
                "the stream did not take events, the spill queue did: {cause}"
            );
        }
        answers
    }

    fn add(&self, failure: &SpillFailure, unpublished: &mut Unpublished) {
        unpublished.budget_ms += u64::try_from(self.budget.as_millis()).unwrap_or(u64::MAX);
        unpublished.cause = format!("{}; nor did the spill queue: {failure}", unpublished.cause);
    }

    /// Sends lines, and answers for each by its position. The budget begins when they are packed.
    async fn send(&self, lines: Vec<OutgoingLine>) -> Vec<Result<(), SpillFailure>> {
        let late = SpillFailure(format!("not sent within {} ms", self.budget.as_millis()));
        let mut answers = vec![Err(late.clone()); lines.len()];
        let bytes = lines.iter().map(|line| line.line.len()).sum();
        let planned = offload(bytes, move || plan::messages(lines)).await;
        let deadline = Instant::now() + self.budget;
        let (lines, messages): (Vec<_>, Vec<_>) =
            planned.into_iter().map(|planned| (planned.lines, planned.message)).unzip();
        let sizes: Vec<_> = messages.iter().map(|message| message.body().len()).collect();
        let calls = shared::queue::calls(&sizes).into_iter().map(|call| {
            let messages = &messages[call.clone()];
            let late = late.clone();
            async move { (call, self.call(messages, deadline, late).await) }
        });
        let mut calls = futures::stream::iter(calls).buffer_unordered(CALLS);
        while let Some((call, sent)) = calls.next().await {
            for (lines, sent) in lines[call].iter().zip(sent) {
                for line in lines {
                    answers[*line].clone_from(&sent);
                }
            }
        }
        answers
    }

    /// Sends the messages of one call, and those again that were refused, until the deadline. An attempt gets half of
    /// the budget: a connection that died while the sandbox was frozen is to leave time for another.
    async fn call(
        &self,
        messages: &[SpillMessage],
        deadline: Instant,
        late: SpillFailure,
    ) -> Vec<Result<(), SpillFailure>> {
        let mut answers = vec![Err(late); messages.len()];
        loop {
            let pending: Vec<_> = (0..messages.len()).filter(|index| answers[*index].is_err()).collect();
            let batch: Vec<_> = pending.iter().map(|index| messages[*index].clone()).collect();
            let attempt = deadline.min(Instant::now() + self.budget / 2);
            if let Ok(sent) = tokio::time::timeout_at(attempt, self.queue.send(&batch)).await {
                pending.into_iter().zip(sent).for_each(|(index, sent)| answers[index] = sent);
            }
            if answers.iter().all(Result::is_ok) || Instant::now() + PAUSE >= deadline {
                return answers;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}
