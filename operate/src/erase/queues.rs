//! The queues, and the part of the stream that is not done.

use std::collections::HashSet;

use shared::format::dispatch_message::DispatchMessage;
use shared::format::facts::Facts;

use super::plan::Standing;
use super::saved::spilled;
use super::{Erasable, Eraser};
use crate::archive::{SKEW, earlier};
use crate::deployment::{ManifestPart, Messages, QueueName, QueuedMessage, ShardTail, Start};

impl<D: Erasable> Eraser<'_, D> {
    /// Dispatch first: what is not sent yet is not sent any more.
    pub(super) async fn queues(&mut self) -> anyhow::Result<()> {
        for queue in [QueueName::Dispatch, QueueName::DispatchDead, QueueName::Spill, QueueName::SpillDead] {
            let Messages { seen, hidden } = self.deployment.messages(queue).await?;
            if hidden > 0 {
                self.report.hidden(queue, hidden);
            }
            let bodies: HashSet<String> = seen.iter().map(|message| message.body.clone()).collect();
            for message in seen {
                match queue {
                    QueueName::Dispatch | QueueName::DispatchDead => self.dispatched(queue, &message).await?,
                    QueueName::Spill | QueueName::SpillDead => self.spilled(queue, &message, &bodies).await?,
                }
            }
        }
        Ok(())
    }

    async fn dispatched(&mut self, queue: QueueName, message: &QueuedMessage) -> anyhow::Result<()> {
        // What cannot be read, the audit names.
        let line = DispatchMessage::read(&message.body).and_then(|message| message.line());
        let Ok(line) = line else { return Ok(()) };
        match self.erasure.standing(&line.facts.tenant, &line.facts.id, &line.origin) {
            Standing::Other => {}
            Standing::Later => {
                self.report.later.queued += 1;
                self.needed.insert(line.facts.id.clone());
            }
            Standing::Due => {
                self.found(|counts| &mut counts.dispatch_messages, 1);
                if self.apply {
                    self.deployment.delete_message(queue, message).await?;
                    self.removed(|counts| &mut counts.dispatch_messages, 1);
                }
            }
        }
        Ok(())
    }

    async fn spilled(
        &mut self,
        queue: QueueName,
        message: &QueuedMessage,
        bodies: &HashSet<String>,
    ) -> anyhow::Result<()> {
        let Some(rest) = spilled(&message.body, self.erasure) else { return Ok(()) };
        self.report.later.queued += rest.later.len() as u64;
        self.needed.extend(rest.later.into_iter().map(|event| event.facts.id));
        if rest.removed == 0 {
            return Ok(());
        }
        if queue == QueueName::Spill && rest.left.is_some() {
            // The drain puts the message on the stream. There its events are read again.
            self.report.later.queued += rest.removed;
            self.needed.extend(self.event.cloned());
            return Ok(());
        }
        match queue {
            QueueName::Spill => self.found(|counts| &mut counts.spilled, rest.removed),
            _ => self.found(|counts| &mut counts.dead_letters, rest.removed),
        }
        if !self.apply {
            return Ok(());
        }
        if let Some(left) = rest.left {
            let left = String::from_utf8(left)?;
            // A run that died after this has sent it.
            if !bodies.contains(&left) {
                self.deployment.send(queue, left).await?;
            }
        }
        self.deployment.delete_message(queue, message).await?;
        match queue {
            QueueName::Spill => self.removed(|counts| &mut counts.spilled, rest.removed),
            _ => self.removed(|counts| &mut counts.dead_letters, rest.removed),
        }
        Ok(())
    }

    /// What of the events is on the stream and not done. It is left: the consumer will store it.
    pub(super) async fn stream(&mut self) -> anyhow::Result<()> {
        let until = self.deployment.clock().now().plus(SKEW);
        for shard in self.deployment.shards().await? {
            let mut start = self.tail(&shard).await?;
            loop {
                let read = self.deployment.records(&shard, start.clone()).await?;
                let is_past = read.records.last().is_some_and(|record| record.arrival > until);
                for record in read.records {
                    for line in record.batch(&shard).lines(self.config) {
                        let Ok(event) = &line.event else { continue };
                        let Facts { tenant, id, .. } = &event.facts;
                        if self.erasure.standing(tenant, id, &line.origin) == Standing::Later {
                            self.report.later.on_stream += 1;
                            self.needed.insert(event.facts.id.clone());
                        }
                    }
                    start = Start::After(record.sequence_number);
                }
                if read.tail != ShardTail::More || is_past {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Where reading a shard begins, so that all records after the erasure's end are read. They arrived after those of the last
    /// archive object, which arrived after its events were received.
    async fn tail(&self, shard: &str) -> anyhow::Result<Start> {
        let rows = self.deployment.manifest_rows(shard, ManifestPart::Before(None)).await?;
        let last = rows.into_iter().next().and_then(Result::ok);
        let last = last.filter(|row| self.erasure.end(shard).is_some_and(|end| row.first < *end));
        Ok(last.map_or(Start::Oldest, |row| Start::At(earlier(row.received_at[0], SKEW))))
    }
}
