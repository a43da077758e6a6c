//! The events that arrive on the stream from now on, for those that watch a stack: what ingest answers is not seen from outside.

use std::collections::BTreeMap;
use std::time::Duration;

use shared::config::Config;
use shared::format::facts::Facts;
use shared::time::Timestamp;
use tokio::time::Instant;

use crate::deployment::{Deployment, ShardTail, Start};

/// Between two looks for shards: a split or a merge makes new ones.
const SHARDS: Duration = Duration::from_secs(10);

pub struct Arrivals<'a, D> {
    deployment: &'a D,
    /// Of foreign producers' events. Those of ingest need none.
    config: &'a Config,
    /// Of each shard, where to read on. `None` where nothing more comes.
    cursors: BTreeMap<String, Option<Start>>,
    listed: Instant,
}

impl<'a, D: Deployment> Arrivals<'a, D> {
    pub async fn from_now(deployment: &'a D, config: &'a Config) -> anyhow::Result<Self> {
        let now = Start::At(deployment.clock().now());
        let shards = deployment.shards().await?.into_iter();
        let cursors = shards.map(|shard| (shard, Some(now.clone()))).collect();
        Ok(Self { deployment, config, cursors, listed: Instant::now() })
    }

    /// The events that each shard has since the last look and when they arrived, by one call for each shard: it has few of them for
    /// all its readers. Of a busy shard that is not all; the next look goes on there. What cannot be read is left out.
    pub async fn look(&mut self, mut on_event: impl FnMut(&Facts, Timestamp)) -> anyhow::Result<()> {
        if self.listed.elapsed() >= SHARDS {
            for shard in self.deployment.shards().await? {
                // All of it arrived after the last look.
                self.cursors.entry(shard).or_insert(Some(Start::Oldest));
            }
            self.listed = Instant::now();
        }
        for (shard, cursor) in &mut self.cursors {
            let Some(start) = cursor else { continue };
            let read = self.deployment.records(shard, start.clone()).await?;
            if let Some(last) = read.records.last() {
                *start = Start::After(last.sequence_number.clone());
            }
            for record in read.records {
                for line in record.batch(shard).lines(self.config) {
                    if let Ok(event) = &line.event {
                        on_event(&event.facts, line.arrival);
                    }
                }
            }
            if read.tail == ShardTail::Closed {
                *cursor = None;
            }
        }
        Ok(())
    }
}
