//! Checks that each event is stored once, from the stored data alone: the stream, the archive, the items, the manifest,
//! quarantine, the failure destination and the queues. It does not read metrics, which count attempts.
//!
//! | file | holds |
//! |---|---|
//! | `gather.rs` | reads the facts from a deployment, and judges them in groups |
//! | `archived.rs`, `saved.rs` | its part for manifest and archive; for quarantine and failures |
//! | `facts.rs` | what was found in each store |
//! | `partitions.rs` | facts by event, in memory or in a file, so that memory does not grow with the events |
//! | `objects.rs` | compares an archive object with its manifest row. Pure |
//! | `needed.rs` | finds claim checks and large archive lines that are needed and gone |
//! | `deep.rs` | `--deep`: compares contents with checksums and with each other |
//! | `cases.rs` | all lines of one admission of one event. Pure |
//! | `account.rs` | from facts to balance. Pure |
//! | `stranded.rs` | the same judgement for a part of the stream, for redrive |
//! | `balance.rs` | counts and findings |
//! | `report.rs` | the result as text and as JSON |

mod account;
mod archived;
mod balance;
mod cases;
mod deep;
mod facts;
mod gather;
mod needed;
mod objects;
mod partitions;
mod report;
mod saved;
mod stranded;
#[cfg(test)]
mod tests;

use std::time::Duration;

use anyhow::bail;
use shared::config::Config;
use shared::time::Timestamp;

use crate::OnProgress;
use crate::archive::{Span, earlier};
use crate::deployment::Deployment;
pub use report::AuditReport;
pub(crate) use stranded::Elsewhere;

/// Audits the events that were received from `from` on and before `to`. By default these are all that the stream still
/// has, up to now. `deep` also reads and compares the contents of all that is stored.
pub async fn audit(
    deployment: &impl Deployment,
    config: &Config,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    deep: bool,
    progress: OnProgress<'_>,
) -> anyhow::Result<AuditReport> {
    let now = deployment.clock().now();
    let retention = deployment.retention().await?;
    let span = Span {
        from: from.unwrap_or_else(|| earlier(now, retention)),
        to: to.unwrap_or_else(|| now.plus(Duration::from_millis(1))),
    };
    if span.from >= span.to {
        bail!("nothing was received yet from {} on: it is not before {}", span.from, span.to);
    }
    let (facts, mut balance) = gather::gather(deployment, config, span, now, progress).await?;
    if deep {
        let stream_from = facts.stream_from;
        balance.findings.extend(deep::compare(deployment, config, span, stream_from, progress).await?);
    }
    // Of an erasure in progress, or one that was interrupted, some copies are gone and others are not.
    balance.findings.retain(|finding| {
        let name = finding.tenant.as_ref().zip(finding.id.as_ref());
        name.is_none_or(|(tenant, id)| !facts.erased.is_open(tenant, id, finding.origin.as_ref()))
    });
    balance.sort();
    Ok(AuditReport::new(deployment.name(), &facts, balance))
}
