//! `--deep`: reads everything that is stored, and compares each thing with its checksum and with the other copies of the
//! same event. A hundred lines of an object or of the stream are in memory at a time. What one store says and another one must
//! confirm waits in [`Partitions`], and comes back in groups.
//!
//! A row of ledger or manifest that cannot be read is a finding of the audit of facts, which reads it first. Here it says
//! nothing.
//!
//! | file | compares |
//! |---|---|
//! | `archive.rs` | objects with their manifest rows, archive lines with items, heads with the lines under `texts/` |
//! | `item.rs` | an item with its archive line, with its event on the stream, and with itself. Pure |
//! | `saved.rs` | quarantine, failed batches and notes of redriven events with their keys; what the stream should still have |
//! | `queues.rs` | queued messages with items and claim checks |
//! | `stream.rs` | the stream with items, claim checks, quarantine and failed batches; the ledger with both |
//! | `bucket.rs` | lines under `claims/` and `texts/` with their keys; objects that nothing refers to |
//! | `seen.rs` | what several stores say of one line or key |

mod archive;
mod bucket;
mod item;
mod queues;
mod saved;
mod seen;
mod stream;

use std::collections::HashSet;

use consumer_fn::Ledger;
use consumer_fn::ledger::{LedgerFailure, Progress};
use shared::config::Config;
use shared::id::{EventId, TenantId};
use shared::origin::Origin;
use shared::time::Timestamp;

use self::item::StoredItem;
use self::seen::Seen;
use super::balance::{AuditFinding, FindingKind};
use super::partitions::Partitions;
use crate::OnProgress;
use crate::archive::Span;
use crate::deployment::Deployment;

/// Lines that are compared at a time: as many items as DynamoDB returns in one call.
const LINES: usize = shared::limits::BATCH_GET_ITEMS;
/// Most bytes of their texts, but for one line.
const TEXT_BYTES: usize = 8 * 1024 * 1024;

/// Compares what is stored of events that were received in `span`. All records that arrived at `stream_from` or later are on
/// the stream.
pub(super) async fn compare<'a>(
    deployment: &'a impl Deployment,
    config: &'a Config,
    span: Span,
    stream_from: Timestamp,
    progress: OnProgress<'a>,
) -> anyhow::Result<Vec<AuditFinding>> {
    let mut deep = Deep {
        deployment,
        config,
        span,
        stream_from,
        began: deployment.clock().now(),
        progress,
        seen: Partitions::default(),
        saved: HashSet::new(),
        findings: Vec::new(),
    };
    // Like the facts, against the direction of the data: what was saved was on the stream, which is read last.
    deep.archive().await?;
    deep.saved().await?;
    deep.queues().await?;
    deep.stream().await?;
    deep.bucket().await?;
    deep.seen().await?;
    Ok(deep.findings)
}

struct Deep<'a, D> {
    deployment: &'a D,
    config: &'a Config,
    span: Span,
    stream_from: Timestamp,
    began: Timestamp,
    progress: OnProgress<'a>,
    seen: Partitions<Seen>,
    /// Digests of the origins that were saved or redriven. Of all other lines on the stream nothing needs to wait.
    saved: HashSet<u64>,
    findings: Vec<AuditFinding>,
}

type Name = (TenantId, EventId);

impl<D: Deployment> Deep<'_, D> {
    fn object(&mut self, key: &str, detail: impl Into<String>) {
        self.findings.push(AuditFinding::damaged(key, detail));
    }

    /// Something of an event is damaged.
    fn event(
        &mut self,
        name: &Name,
        origin: Option<&Origin>,
        within: Option<&str>,
        detail: impl Into<String>,
    ) {
        let name = Some((&name.0, &name.1));
        let finding = AuditFinding::event(FindingKind::Damaged, name, origin, detail);
        self.findings.push(match within {
            Some(key) => finding.within(key),
            None => finding,
        });
    }

    fn foreign(&mut self, key: &str, detail: &str) {
        let finding = AuditFinding { kind: FindingKind::Foreign, ..AuditFinding::damaged(key, detail) };
        self.findings.push(finding);
    }

    /// Items by their names, in the same order; `None` if there is none, or it cannot be read, which is a finding.
    async fn items(&mut self, names: &[Name]) -> anyhow::Result<Vec<Option<StoredItem>>> {
        let read = self.deployment.attributes_of(names).await?;
        let mut items = Vec::with_capacity(names.len());
        for (name, attributes) in names.iter().zip(read) {
            items.push(match attributes.map(StoredItem::read) {
                Some(Ok(item)) => Some(item),
                Some(Err(why)) => {
                    self.event(name, None, None, why.to_string());
                    None
                }
                None => None,
            });
        }
        Ok(items)
    }

    /// `None` if the row cannot be read.
    async fn progress_of(&self, shard: &str) -> anyhow::Result<Option<Progress>> {
        match self.deployment.ledger().read(shard).await {
            Err(LedgerFailure::Unreadable(_)) => Ok(None),
            progress => Ok(Some(progress?)),
        }
    }
}

fn listed(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
