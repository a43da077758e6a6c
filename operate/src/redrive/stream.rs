//! Events that the event source mapping dropped: they are done, still on the stream, and stored nowhere. They are put on
//! the stream again. Lines that cannot be read go to quarantine.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use consumer_fn::{Batch, quarantine_unreadable};
use tokio::time::Instant;

use super::candidate::{Candidate, FailureSource, RedriveFate, end_of};
use super::marker::Markers;
use super::walk::Walk;
use super::{FENCE, Redrive};
use crate::archive::earlier;
use crate::audit::Elsewhere;
use crate::deployment::Deployment;

/// The reason of all that is found here. The mapping's own reason is not known any more.
const DROPPED: &str = "dropped";
/// A quarantine object is named after the day on which its batch's first record arrived. The other records arrived at
/// most this much later.
const BATCH: Duration = Duration::from_hours(7 * 24);

impl<D: Deployment> Redrive<'_, D> {
    /// Redrives these events. They arrive after all records that this run reads.
    pub(super) async fn stream(&mut self, markers: &Markers) -> anyhow::Result<()> {
        let from = self.selection.from.unwrap_or_default();
        let from = earlier(from, BATCH);
        let elsewhere = Elsewhere::read(self.deployment, self.config, from, self.progress).await?;
        let mut records = 0;
        for (shard, done_end) in elsewhere.done_end() {
            let source = format!("stream/{shard}");
            let done = markers.of(&source, self.deployment).await?;
            let mut walk = Walk::new(self.deployment, self.config, &self.selection, shard.clone(), done_end);
            while let Some(mut page) = walk.next().await? {
                records += page.records;
                (self.progress)("records on the stream", records, None);
                page.lines
                    .retain(|line| !done.contains(&line.origin) && !self.redriven.contains(&line.origin));
                if page.lines.is_empty() {
                    continue;
                }
                let stranded = elsewhere.stranded(&page.lines).await?;
                let lines = page.lines.into_iter().filter(|line| stranded.contains(&line.origin));
                let candidates =
                    lines.map(|line| Candidate::of_line(FailureSource::Stream, DROPPED.to_owned(), line));
                let candidates: Vec<_> =
                    candidates.filter(|candidate| self.selection.picks(candidate)).collect();
                let candidates = self.without_erased(candidates, &source);
                let fence = end_of(&candidates).map(|end| (shard.to_string(), end));
                let due = self.sort_out(candidates, fence, &source).await?;
                let (due, unreadable) = due.into_iter().partition(|line| line.event.is_ok());
                self.quarantine(unreadable, page.unreadable, &source).await?;
                self.put_back(due, &source).await?;
                if self.report.refusal.is_some() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Puts unreadable lines into quarantine.
    async fn quarantine(
        &mut self,
        unreadable: Vec<Candidate>,
        mut records: BTreeMap<Arc<str>, Batch>,
        source: &str,
    ) -> anyhow::Result<()> {
        let origins = unreadable.iter().filter_map(|line| line.origin.as_ref());
        let numbers: HashSet<_> = origins.map(|origin| &origin.sequence_number).collect();
        for number in numbers {
            let record = records.remove(number).context("a line comes with its record")?;
            quarantine_unreadable(record, self.config, self.deployment.objects(), Instant::now() + FENCE)
                .await?;
        }
        self.report.count_all(&unreadable, RedriveFate::ToQuarantine, source);
        Ok(())
    }
}
