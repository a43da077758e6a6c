//! Waits until a deployment has stored what it accepted: its spill queue is empty, and each shard is processed to the end, or to
//! records that arrived later.

use std::collections::BTreeMap;
use std::time::Duration;

use consumer_fn::Ledger;
use operate::OnProgress;
use operate::deployment::{Deployment, QueueName, ShardTail, Start};
use shared::origin::ShardPosition;
use shared::time::Timestamp;
use tokio::time::{Instant, sleep};

/// Between two looks.
const POLL: Duration = Duration::from_millis(500);
/// Where it is not known how far the event source mapping is, as on AWS, duplicates at the end of a shard look like records that
/// wait. Then it looks into the archive when nothing has moved for so long.
const STILL: Duration = Duration::from_secs(10);

pub(crate) struct Wait<'a, D> {
    deployment: &'a D,
    since: Timestamp,
    patience: Duration,
    /// How far each shard is, and how many messages are in the spill queue; and since when.
    seen: (BTreeMap<String, ShardPosition>, usize),
    moved: Instant,
    /// What arrived later is of other senders. Known once the spill queue is empty.
    until: Option<Timestamp>,
}

impl<'a, D: Deployment> Wait<'a, D> {
    pub(crate) fn new(deployment: &'a D, since: Timestamp, patience: Duration) -> Self {
        let seen = (BTreeMap::new(), 0);
        Self { deployment, since, patience, seen, moved: Instant::now(), until: None }
    }

    /// Whether nothing has moved for as long as it was told to wait.
    pub(crate) fn is_over(&self) -> bool {
        self.moved.elapsed() >= self.patience
    }

    /// Waits. Returns `true` if everything is processed, `false` if that cannot be known, or if nothing moves.
    pub(crate) async fn until_idle(&mut self, progress: OnProgress<'_>) -> anyhow::Result<bool> {
        loop {
            let messages = self.deployment.messages(QueueName::Spill).await?;
            let spilled = messages.seen.len() + usize::try_from(messages.hidden).unwrap_or(usize::MAX);
            if spilled == 0 {
                self.until.get_or_insert_with(|| self.deployment.clock().now());
            } else {
                self.until = None;
            }
            let (mut ends, mut is_idle, mut is_known, mut waiting) = (BTreeMap::new(), spilled == 0, true, 0);
            for shard in self.deployment.shards().await? {
                let checkpoint = self.deployment.checkpoint(&shard).await?;
                is_known &= checkpoint.is_some();
                let checkpoint = checkpoint.map(|number| ShardPosition::new(number, u32::MAX));
                let end = self.deployment.ledger().read(&shard).await?.committed_end.max(checkpoint);
                let left = self.left(&shard, end.as_ref()).await?;
                waiting += left.unwrap_or(1);
                is_idle &= left == Some(0);
                ends.extend(end.map(|end| (shard, end)));
            }
            if is_idle {
                return Ok(true);
            }
            progress("records or messages wait", (waiting + spilled) as u64, None);
            let seen = (ends, spilled);
            if seen != self.seen {
                (self.seen, self.moved) = (seen, Instant::now());
            }
            sleep(POLL).await;
            if self.is_over() || (!is_known && self.moved.elapsed() >= STILL) {
                return Ok(false);
            }
        }
    }

    /// How many records after `end` are seen that may have events of this run. `None` if more may follow.
    async fn left(&self, shard: &str, end: Option<&ShardPosition>) -> anyhow::Result<Option<usize>> {
        let start = match end {
            Some(end) => Start::After(end.sequence_number.to_string()),
            None => Start::At(self.since),
        };
        let read = self.deployment.records(shard, start).await?;
        let later = |arrival| self.until.is_some_and(|until| arrival > until);
        let ours = read.records.iter().filter(|record| !later(record.arrival)).count();
        let is_whole = read.tail != ShardTail::More || ours < read.records.len();
        Ok(is_whole.then_some(ours))
    }
}
