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

use std::process::ExitCode;
use std::time::Duration;

use shared::config::Config;
use shared::time::Clock;

use crate::archive::{Span, earlier};
use crate::arguments::AuditOptions;
use crate::deployment::{Deployment, Opened};
use report::Report;
pub(crate) use stranded::Elsewhere;

/// For scripts: the books do not balance. (Unreachable, or wrongly asked, is 2.)
const UNBALANCED: u8 = 1;

/// Audits, and prints what came out.
pub(crate) async fn run(options: AuditOptions) -> anyhow::Result<ExitCode> {
    let config = crate::config(options.config.as_deref())?;
    let report = match options.deployment.open().await? {
        Opened::Embedded(deployment) => audit(&*deployment, &config, &options).await?,
        #[cfg(feature = "aws")]
        Opened::Aws(deployment) => audit(&*deployment, &config, &options).await?,
    };
    let text = if options.json { serde_json::to_string_pretty(&report)? + "\n" } else { report.to_string() };
    crate::print(text.as_bytes())?;
    Ok(if report.is_balanced() { ExitCode::SUCCESS } else { ExitCode::from(UNBALANCED) })
}

async fn audit(
    deployment: &impl Deployment,
    config: &Config,
    options: &AuditOptions,
) -> anyhow::Result<Report> {
    let clock = Clock::system();
    let now = clock.now();
    let retained = i64::try_from(deployment.retention().await?.as_millis()).unwrap_or(i64::MAX);
    let span = Span {
        from: options.from.unwrap_or_else(|| earlier(now, retained)),
        to: options.to.unwrap_or_else(|| now.plus(Duration::from_millis(1))),
    };
    let facts = gather::gather(deployment, config, span, now, &clock).await?;
    Ok(Report::new(deployment.name(), &facts, account::account(&facts)))
}
