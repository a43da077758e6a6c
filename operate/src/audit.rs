//! `tidegate audit`: what became of each admission, from what lies in the stream, the archive, the items, the manifest
//! and the places where failures are kept; never from metrics, which count attempts.
//!
//! | file | holds |
//! |---|---|
//! | `gather.rs` | reads the facts from a deployment |
//! | `facts.rs` | what was found in each place |
//! | `objects.rs` | an archive object against its manifest row. Pure |
//! | `cases.rs` | all that was found of one admission. Pure |
//! | `account.rs` | facts to verdict. Pure |
//! | `stranded.rs` | the same judgement over a part of the stream, for `tidegate redrive` |
//! | `verdict.rs` | counts and findings |
//! | `report.rs` | the verdict for people, and as JSON |
//!
//! All of the span's events are held in memory at once, about a kilobyte each: a longer time is audited in parts.

mod account;
mod cases;
mod facts;
mod gather;
mod objects;
mod report;
mod stranded;
#[cfg(test)]
mod tests;
mod verdict;

use std::time::Duration;

use shared::config::Config;
use shared::time::{Clock, Timestamp};

use crate::archive::{Span, earlier};
use crate::deployment::Deployment;
use crate::progress::Progress;
pub use report::Report;
pub(crate) use stranded::Elsewhere;

/// Audits the events that were received from `from` on and before `to`. By default these are all that the stream still
/// has, up to now.
pub async fn audit(
    deployment: &impl Deployment,
    config: &Config,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    progress: Progress<'_>,
) -> anyhow::Result<Report> {
    let clock = Clock::system();
    let now = clock.now();
    let retained = i64::try_from(deployment.retention().await?.as_millis()).unwrap_or(i64::MAX);
    let span = Span {
        from: from.unwrap_or_else(|| earlier(now, retained)),
        to: to.unwrap_or_else(|| now.plus(Duration::from_millis(1))),
    };
    let facts = gather::gather(deployment, config, span, now, &clock, progress).await?;
    Ok(Report::new(deployment.name(), &facts, account::account(&facts)))
}
