//! `--deep`: reads everything that is stored, and compares each thing with its checksum and with the other copies of the
//! same event. One object, one record or one message is in memory at a time; of what is in quarantine or failed, about 200
//! bytes a line.
//!
//! | file | compares |
//! |---|---|
//! | `archive.rs` | objects with their manifest rows, archive lines with items, heads with the lines under `texts/` |
//! | `item.rs` | an item with its archive line, with its event on the stream, and with itself. Pure |
//! | `saved.rs` | quarantine, failed batches and notes of redriven events with their keys; what the stream should still have |
//! | `queues.rs` | queued messages with items and claim checks |
//! | `stream.rs` | the stream with items, claim checks, quarantine and failed batches; the ledger with both |
//! | `bucket.rs` | lines under `claims/` and `texts/` with their keys; objects that nothing refers to |

mod archive;
mod bucket;
mod item;
mod queues;
mod saved;
mod stream;

use std::collections::HashSet;

use futures::{StreamExt, TryStreamExt, stream as futures_stream};
use shared::config::Config;
use shared::id::{EventId, TenantId};
use shared::origin::Origin;
use shared::time::Timestamp;

use self::item::StoredItem;
use self::saved::Saved;
use super::balance::{AuditFinding, FindingKind};
use crate::OnProgress;
use crate::archive::Span;
use crate::deployment::Deployment;

/// Items that are read at the same time.
const READS: usize = 32;

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
        texts: HashSet::new(),
        saved: Saved::default(),
        findings: Vec::new(),
    };
    // Like the facts, against the direction of the data: what was saved was on the stream, which is read last.
    deep.archive().await?;
    deep.saved().await?;
    deep.queues().await?;
    deep.stream().await?;
    deep.bucket().await?;
    Ok(deep.findings)
}

struct Deep<'a, D> {
    deployment: &'a D,
    config: &'a Config,
    span: Span,
    stream_from: Timestamp,
    began: Timestamp,
    progress: OnProgress<'a>,
    /// The keys of large archive lines that an archive object refers to.
    texts: HashSet<String>,
    saved: Saved,
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
        let deployment = self.deployment;
        let read = names.iter().map(|(tenant, id)| async move { deployment.attributes(tenant, id).await });
        let read: Vec<_> =
            futures_stream::iter(read.collect::<Vec<_>>()).buffered(READS).try_collect().await?;
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
}

fn listed(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
