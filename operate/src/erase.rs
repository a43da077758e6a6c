//! Erases a tenant's events, or one of them, from everything that is stored: queues, failures, archive, items, claim checks and
//! large lines. No byte of another tenant changes or moves. What an operator cannot reach is in the report.
//!
//! | file | holds |
//! |---|---|
//! | `note.rs` | the note of an erasure: which events, up to where on each shard. Audit and redrive read it, too |
//! | `plan.rs` | when an erasure may begin, and what to do with a line. Pure |
//! | `member.rs` | an archive object without the events. Pure |
//! | `saved.rs` | quarantine objects, failed batches and messages without the events. Pure |
//! | `port.rs` | what only an erasure may do with a deployment |
//! | `ends.rs` | up to where each shard is done, and no late writer can come |
//! | `archive.rs`, `failures.rs`, `queues.rs`, `items.rs` | one store each: finds, and removes |
//! | `report.rs` | what was found, removed and left, as JSON and as text |
//!
//! **The order.** First the note is written: which events, and the end of what is done on each shard. From then on no redrive
//! brings these events back, and an audit does not miss them. Then it waits until no attempt can be alive that began before the
//! note. Only then something is deleted, and only what is before the note's ends: no writer comes back to it. Each step can be
//! repeated, and finds what the last run has left. At last the note is marked as finished: from then on, what is stored and
//! should be erased is a finding of the audit.

mod archive;
mod ends;
mod failures;
mod items;
mod member;
mod note;
mod plan;
mod port;
mod queues;
mod report;
mod saved;

use std::collections::HashSet;

use anyhow::Context;
use shared::config::Config;
use shared::id::{EventId, TenantId};
use shared::time::Timestamp;

use crate::OnProgress;
pub(crate) use note::{Erasure, Erasures};
use plan::{Phase, phase};
pub use port::{Erasable, Hold, Remaining};
use report::Counts;
pub use report::EraseReport;

/// What is to be erased.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub tenant: TenantId,
    /// One event. `None`: all of the tenant.
    pub event: Option<EventId>,
}

/// Erases it. Without `apply` it only finds out what there is. There is a report even if an error ended it; if the report says
/// [`EraseReport::again_at`], it is to be run again then.
pub async fn erase(
    deployment: &impl Erasable,
    config: &Config,
    wanted: &Wanted,
    apply: bool,
    progress: OnProgress<'_>,
) -> (EraseReport, anyhow::Result<()>) {
    let mut report = EraseReport::new(deployment.name(), wanted, apply);
    let ended = begin(deployment, config, wanted, apply, progress, &mut report).await;
    (report, ended)
}

async fn begin<D: Erasable>(
    deployment: &D,
    config: &Config,
    wanted: &Wanted,
    apply: bool,
    progress: OnProgress<'_>,
    report: &mut EraseReport,
) -> anyhow::Result<()> {
    let hold = deployment.hold(config, apply).await?;
    let now = deployment.clock().now();
    let open = Erasures::read(deployment).await?.open(wanted);
    let begun = open.as_ref().map(|(_, erasure)| erasure.begun);
    let (key, mut erasure) = match open {
        Some((key, erasure)) if apply && phase(begun, now, hold.settle) != Phase::Begin => (key, erasure),
        open => {
            let ends = ends::ends(deployment, config, wanted, apply, progress).await?;
            let erasure = Erasure::new(wanted, now, ends);
            let key = open.map_or_else(|| erasure.key(), |(key, _)| key);
            if apply {
                erasure.write(&key, deployment).await?;
            }
            (key, erasure)
        }
    };
    if let (true, Phase::Wait(until)) = (apply, phase(Some(erasure.begun), now, hold.settle)) {
        report.begun(&key, &erasure, until);
        return Ok(());
    }
    let mut eraser = Eraser {
        deployment,
        config,
        erasure: &erasure,
        event: wanted.event.as_ref(),
        is_exclusive: hold.settle.is_zero(),
        apply,
        needed: HashSet::new(),
        report: &mut *report,
        progress,
    };
    eraser.everything().await?;
    let backups = deployment.backups().await.context("what backups there are")?;
    report.remains(backups, now, deployment.retention().await?, config);
    if apply {
        deployment.scrub().await?;
        erasure.finished = Some(deployment.clock().now());
        erasure.removed.add(&report.removed);
        erasure.write(&key, deployment).await?;
        report.finished(&key, &erasure);
    }
    Ok(())
}

/// Goes through the stores, one after the other.
struct Eraser<'a, D> {
    deployment: &'a D,
    config: &'a Config,
    erasure: &'a Erasure,
    /// The one event, if it is not all of the tenant.
    event: Option<&'a EventId>,
    /// Nothing else writes to the deployment.
    is_exclusive: bool,
    apply: bool,
    /// Events of the erasure that are left for the next one: their claim checks and large lines are needed.
    needed: HashSet<EventId>,
    report: &'a mut EraseReport,
    progress: OnProgress<'a>,
}

impl<D: Erasable> Eraser<'_, D> {
    /// With the direction of the data, so that nothing moves from a store that was not read to one that was. Large lines and claim
    /// checks come last: until then it is not known which of them are needed.
    async fn everything(&mut self) -> anyhow::Result<()> {
        self.queues().await?;
        self.stream().await?;
        self.failures().await?;
        self.archive().await?;
        self.items().await?;
        self.stored_lines().await
    }

    fn found(&mut self, count: impl Fn(&mut Counts) -> &mut u64, found: u64) {
        *count(&mut self.report.found) += found;
    }

    fn removed(&mut self, count: impl Fn(&mut Counts) -> &mut u64, removed: u64) {
        *count(&mut self.report.removed) += removed;
    }

    /// Something that was written since the erasure began is not its own.
    fn is_older(&self, written: Timestamp) -> bool {
        self.is_exclusive || written < self.erasure.begun
    }
}
