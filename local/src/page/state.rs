//! How the pipeline stands now: health, the shards' backlog, and the metrics since the page asked last.

use std::time::Duration;

use ingest_fn::health::Reason;
use serde_json::{Value, json};
use shared::health::Thresholds;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::{Failure, Shown, shows_data};
use crate::embedded::{Overview, ShardBacklog};

/// The backlog is read at most so often. A look that took long is followed by a pause in proportion.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);
const PAUSE_RATIO: u32 = 20;
const LONGEST_LOOK: Duration = Duration::from_secs(5);

/// What was seen last, and when to look again.
#[derive(Default)]
pub(super) struct Backlogs(Mutex<Option<(Instant, Vec<ShardBacklog>)>>);

impl Backlogs {
    /// All pages that are open share a look.
    async fn look(&self, overview: &Overview) -> anyhow::Result<Vec<ShardBacklog>> {
        let mut seen = self.0.lock().await;
        if let Some((again, shards)) = &*seen
            && Instant::now() < *again
        {
            return Ok(shards.clone());
        }
        let started = Instant::now();
        let shards = timeout(LONGEST_LOOK, overview.shards()).await??;
        let pause = BETWEEN_LOOKS.max(started.elapsed() * PAUSE_RATIO);
        *seen = Some((Instant::now() + pause, shards.clone()));
        Ok(shards)
    }
}

impl Shown {
    pub(super) async fn state(&self, after: Option<i64>) -> Result<Value, Failure> {
        let page = &self.page;
        let mut report = self.live.reports.borrow().clone();
        report.set_fault(page.guard.look().as_ref());
        let now = page.clock.now();
        // A stream that cannot be read is a reason of the report already.
        let shards = self.backlogs.look(&self.overview).await.unwrap_or_default();
        let shards: Vec<_> = shards
            .into_iter()
            .map(|ShardBacklog { shard, waiting, oldest }| {
                let age = oldest.map(|oldest| now.since(oldest).as_secs_f64());
                json!({ "id": shard, "waiting": waiting, "oldest_age_seconds": age })
            })
            .collect();
        let config = &page.config;
        let thresholds = Thresholds::new(config, shared::health::MINUTE);
        Ok(json!({
            "version": env!("CARGO_PKG_VERSION"),
            "started": self.started.unix_ms(),
            "now": now.unix_ms(),
            "status": report.status(),
            "reasons": report.reasons.iter().map(reason).collect::<Vec<_>>(),
            "shards": shards,
            "settings": {
                "auth": config.auth.mode,
                "tiers": config.tiers.allowed,
                "dispatch": config.dispatch.enabled,
                "shows_data": shows_data(config),
                "freshness_ms": thresholds.freshness.as_secs_f64() * 1_000.0,
            },
            "history": self.history.after(after),
        }))
    }
}

fn reason(reason: &Reason) -> Value {
    json!({
        "code": reason.concern.name(),
        "status": reason.status,
        "message": reason.message,
        "runbook": reason.concern.runbook(),
    })
}
