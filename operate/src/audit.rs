//! Checks that each event is stored once, from the stored data alone: the stream, the archive, the items, the manifest,
//! quarantine, the failure destination and the queues. It does not read metrics, which count attempts.
//!
//! | file | holds |
//! |---|---|
//! | `gather.rs` | reads the facts from a deployment |
//! | `facts.rs` | what was found in each store |
//! | `objects.rs` | compares an archive object with its manifest row. Pure |
//! | `cases.rs` | all lines of one admission. Pure |
//! | `account.rs` | from facts to balance. Pure |
//! | `stranded.rs` | the same judgement for a part of the stream, for redrive |
//! | `balance.rs` | counts and findings |
//! | `report.rs` | the result as text and as JSON |
//!
//! All events of the span are in memory at once, about 1 KB each. Audit a long time in parts.

mod account;
mod balance;
mod cases;
mod facts;
mod gather;
mod objects;
mod report;
mod stranded;
#[cfg(test)]
mod tests;

use std::time::Duration;

use shared::config::Config;
use shared::time::Timestamp;

use crate::OnProgress;
use crate::archive::{Span, earlier};
use crate::deployment::Deployment;
pub use report::AuditReport;
pub(crate) use stranded::Elsewhere;

/// Audits the events that were received from `from` on and before `to`. By default these are all that the stream still
/// has, up to now.
pub async fn audit(
    deployment: &impl Deployment,
    config: &Config,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    progress: OnProgress<'_>,
) -> anyhow::Result<AuditReport> {
    let now = deployment.clock().now();
    let retention = deployment.retention().await?;
    let span = Span {
        from: from.unwrap_or_else(|| earlier(now, retention)),
        to: to.unwrap_or_else(|| now.plus(Duration::from_millis(1))),
    };
    let facts = gather::gather(deployment, config, span, now, progress).await?;
    Ok(AuditReport::new(deployment.name(), &facts, account::account(&facts)))
}
