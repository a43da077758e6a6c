//! What happens while the pipeline runs, for the one who watches it: objects that were stored, and what was refused.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use ingest_fn::health::Outcomes;
use shared::format::manifest_row::TenantIndex;
use shared::time::Clock;
use tokio::time::{sleep, timeout};

use crate::embedded::Overview;
use crate::event_source_mapping::{MappingProgress, MappingView};

/// The stored data is read at most so often …
const BETWEEN_LOOKS: Duration = Duration::from_millis(200);
/// … and at least so often, though nothing has changed that it would notice.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// The most objects of a look. The next one comes soon.
const ROWS: u32 = 1_000;
/// A row that an attempt writes again is a new one in the table. So many keys are remembered, to see that.
const REMEMBERED: usize = 1_000;

/// It has a connection of its own, so that nothing waits for it.
pub struct Activity {
    overview: Overview,
    outcomes: Outcomes,
    mapping: MappingView,
    clock: Clock,
    /// The last row that was seen.
    last: i64,
    keys: VecDeque<String>,
    refused: BTreeMap<&'static str, u64>,
}

/// An archive object that was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredObject {
    pub key: String,
    pub bytes: u64,
    pub events: u64,
    /// `None` where they are too many for the manifest.
    pub tenants: Option<u64>,
    /// The age of its oldest event when it was seen.
    pub oldest: Duration,
}

impl Activity {
    /// From now on.
    pub(crate) async fn new(
        overview: Overview,
        outcomes: Outcomes,
        mapping: MappingView,
        clock: Clock,
    ) -> anyhow::Result<Self> {
        let last = overview.last_object().await?;
        Ok(Self { overview, outcomes, mapping, clock, last, keys: VecDeque::new(), refused: BTreeMap::new() })
    }

    /// Waits until there may be something new.
    pub async fn changed(&mut self) {
        sleep(BETWEEN_LOOKS).await;
        if timeout(LONGEST_PAUSE, self.mapping.changed()).await.is_ok_and(|ended| ended.is_none()) {
            sleep(LONGEST_PAUSE).await;
        }
    }

    /// The objects since the last call, in the order in which they were written.
    pub async fn stored(&mut self) -> anyhow::Result<Vec<StoredObject>> {
        let (mut stored, now) = (Vec::new(), self.clock.now());
        for (row_id, row) in self.overview.objects_after(self.last, ROWS).await? {
            self.last = row_id;
            // What cannot be read is a finding of `tidegate audit`.
            let Ok(row) = row else { continue };
            if self.keys.contains(&row.key) {
                continue;
            }
            self.keys.truncate(REMEMBERED - 1);
            self.keys.push_front(row.key.clone());
            let tenants = match &row.tenants {
                TenantIndex::Ranges(ranges) => Some(ranges.len() as u64),
                TenantIndex::Sidecar(_) => None,
            };
            stored.push(StoredObject {
                bytes: row.bytes as u64,
                events: row.lines as u64,
                tenants,
                oldest: now.since(row.received_at[0]),
                key: row.key,
            });
        }
        Ok(stored)
    }

    /// How many requests or events were refused since the last call, by the code of their answer.
    pub fn refused(&mut self) -> BTreeMap<&'static str, u64> {
        let now = self.outcomes.refusals();
        let before = std::mem::replace(&mut self.refused, now);
        let grown = self.refused.iter().map(|(code, count)| (*code, count - before.get(code).unwrap_or(&0)));
        grown.filter(|(_, count)| *count > 0).collect()
    }

    /// What the event source mapping has done.
    pub fn progress(&self) -> MappingProgress {
        self.mapping.progress()
    }
}
