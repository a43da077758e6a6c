//! Reads a shard for lines that are done and that no archive object covers. It reads page by page, so memory does not
//! depend on the length of an outage.

use std::collections::BTreeMap;
use std::sync::Arc;

use consumer_fn::{Batch, StreamLine};
use shared::config::Config;
use shared::origin::ShardPosition;
use shared::time::Timestamp;

use super::candidate::Selection;
use super::cover::Cover;
use crate::archive::{SKEW, Span};
use crate::deployment::{Deployment, ShardTail, Start};

pub(crate) struct Walk<'a, D> {
    deployment: &'a D,
    config: &'a Config,
    shard: Arc<str>,
    /// Exclusive end of what is done.
    done_end: ShardPosition,
    from: Option<Timestamp>,
    /// Reading ends at records that arrived later. Arrival times may be slightly out of order.
    until: Timestamp,
    last: Option<String>,
    is_over: bool,
    cover: Cover,
}

/// A part of a shard.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) records: u64,
    /// Lines that no object covers.
    pub(crate) lines: Vec<StreamLine>,
    /// The records of unreadable lines, by sequence number.
    pub(crate) unreadable: BTreeMap<Arc<str>, Batch>,
}

impl<'a, D: Deployment> Walk<'a, D> {
    pub(crate) fn new(
        deployment: &'a D,
        config: &'a Config,
        selection: &Selection,
        shard: Arc<str>,
        done_end: ShardPosition,
    ) -> Self {
        let (from, until) = (selection.from, Span::new(None, selection.to).to.plus(SKEW));
        let cover = Cover::default();
        Self { deployment, config, shard, done_end, from, until, last: None, is_over: false, cover }
    }

    /// The next page, which may be empty. `None` at the end.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Option<Page>> {
        if self.is_over {
            return Ok(None);
        }
        let first = self.from.map_or(Start::Oldest, Start::At);
        let start = self.last.clone().map_or(first, Start::After);
        let read = self.deployment.records(&self.shard, start).await?;
        if let Some(record) = read.records.last() {
            self.last = Some(record.sequence_number.clone());
        }
        self.is_over = read.tail != ShardTail::More;
        let mut page = Page::default();
        for record in read.records {
            let is_open = ShardPosition::new(record.sequence_number.as_str(), 0) >= self.done_end;
            if is_open || record.arrival > self.until {
                self.is_over = true;
                break;
            }
            page.records += 1;
            self.cover.advance(self.deployment, &self.shard, &record.sequence_number).await?;
            if self.cover.has_all_of(&record.sequence_number) {
                continue;
            }
            let mut lines: Vec<_> = record.batch(&self.shard).lines(self.config).collect();
            lines.retain(|line| {
                let position = ShardPosition::from(&line.origin);
                position < self.done_end && !self.cover.has(&position)
            });
            if lines.iter().any(|line| line.event.is_err()) {
                page.unreadable.insert(record.sequence_number.as_str().into(), record.batch(&self.shard));
            }
            page.lines.extend(lines);
        }
        Ok(Some(page))
    }
}
