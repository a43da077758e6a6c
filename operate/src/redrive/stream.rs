//! What the event source mapping dropped: it is done, lies on the stream, and in no place behind it. It goes back to the
//! stream's end while the stream still has it; what cannot be read goes to quarantine from where it lies.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use anyhow::Context;
use consumer_fn::{Batch, keep_unreadable};
use shared::origin::ShardPosition;
use shared::time::Timestamp;
use tokio::time::Instant;

use super::candidate::{Candidate, FailureSource, Fate};
use super::marker::Markers;
use super::walk::Walk;
use super::{Redrive, SETTLE};
use crate::archive::earlier;
use crate::audit::Elsewhere;
use crate::deployment::Deployment;

/// The reason of everything that is found here: nobody knows the mapping's own any more.
const DROPPED: &str = "dropped";
/// A batch's quarantine lies under the day on which its first record arrived: at most so long before any other of it.
const BATCH_MS: i64 = 7 * 86_400_000;

impl<D: Deployment> Redrive<'_, D> {
    /// What is done, and lies on the stream alone. What this run brings back comes behind all that it looks at.
    pub(super) async fn stream(&mut self, markers: &Markers) -> anyhow::Result<()> {
        let from = self.selection.from.unwrap_or_else(|| Timestamp::from_unix_ms(0));
        let from = earlier(from, BATCH_MS);
        let elsewhere = Elsewhere::read(self.deployment, self.config, from, self.progress).await?;
        let mut records = 0;
        for (shard, done_before) in elsewhere.done_before() {
            let source = format!("stream/{shard}");
            let done = markers.of(&source, self.deployment).await?;
            let mut walk =
                Walk::new(self.deployment, self.config, &self.selection, shard.clone(), done_before);
            while let Some(mut page) = walk.next().await? {
                records += page.records;
                (self.progress)("records on the stream", records, None);
                page.lines
                    .retain(|line| !done.contains(&line.origin) && !self.brought.contains(&line.origin));
                if page.lines.is_empty() {
                    continue;
                }
                let stranded = elsewhere.stranded(&page.lines).await?;
                let lines = page.lines.into_iter().filter(|line| stranded.contains(&line.origin));
                let candidates =
                    lines.map(|line| Candidate::of_line(FailureSource::Stream, DROPPED.to_owned(), line));
                let candidates: Vec<_> =
                    candidates.filter(|candidate| self.selection.picks(candidate)).collect();
                let behind =
                    candidates.iter().filter_map(|line| line.origin.as_ref().map(ShardPosition::after)).max();
                let fence = behind.map(|behind| (shard.to_string(), behind));
                let due = self.sort_out(candidates, fence, &source).await?;
                let (due, unreadable) = due.into_iter().partition(|line| line.event.is_ok());
                self.quarantine(unreadable, &page.unreadable, &source).await?;
                self.bring_back(due, &source).await?;
                if self.report.refusal().is_some() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Puts lines that cannot be read into quarantine, from where they lie on the stream.
    async fn quarantine(
        &mut self,
        unreadable: Vec<Candidate>,
        records: &BTreeMap<Arc<str>, Batch>,
        source: &str,
    ) -> anyhow::Result<()> {
        let origins = unreadable.iter().filter_map(|line| line.origin.as_ref());
        let numbers: HashSet<_> = origins.map(|origin| &origin.sequence_number).collect();
        for number in numbers {
            let record = records.get(number).context("a line comes with its record")?;
            keep_unreadable(record, self.config, self.deployment.objects(), Instant::now() + SETTLE).await?;
        }
        self.report.count_all(&unreadable, Fate::Quarantined, source);
        Ok(())
    }
}
