//! The documents' requirements, one file a document, in the document's order and words.

mod event_bridge;
mod event_receiver;
mod event_streaming;
mod http_ingestion;
mod robust_data_processor;

use std::time::Duration;

use anyhow::{Context, ensure};
use operate::deployment::Deployment;
use shared::config::Recipe;
use shared::limits;
use shared::mapping::Rules;

use crate::Run;
use crate::client::{Answer, Call, Client};
use crate::load::Spread;
use crate::report::Summary;
use crate::stored::{Archived, Stored};

/// Runs the acceptance of the recipe's document.
pub(crate) async fn run<D: Deployment>(recipe: Recipe, mut run: Run<'_, D>) -> Summary {
    let run = &mut run;
    match recipe {
        Recipe::EVENT_BRIDGE => event_bridge::run(run).await,
        Recipe::EVENT_RECEIVER => event_receiver::run(run).await,
        Recipe::EVENT_STREAMING => event_streaming::run(run).await,
        Recipe::HTTP_INGESTION => http_ingestion::run(run).await,
        _ => robust_data_processor::run(run).await,
    }
    run.report.summary()
}

/// Checks a requirement: what the future returns is the evidence.
macro_rules! check {
    ($run:ident, $requirement:expr, $found:expr) => {{
        let found = $found.await;
        $run.report.check($requirement, found);
    }};
}
use check;

/// The same, if stored data can be read. The future gets it as `$stored`.
macro_rules! check_stored {
    ($run:ident, $stored:ident, $requirement:expr, $found:expr) => {{
        match $run.stored.as_mut() {
            Some($stored) => {
                let found = $found.await;
                $run.report.check($requirement, found);
            }
            None => $run.report.skip($requirement, crate::NEEDS_DATA),
        }
    }};
}
use check_stored;

impl<D> Run<'_, D> {
    fn limit(&self, limit: Duration) -> Duration {
        limit * self.patience
    }

    /// Requirements that no request can show.
    fn not_run(&mut self, requirements: &[(&str, &str)]) {
        for (requirement, why) in requirements {
            self.report.skip(requirement, why);
        }
    }

    /// A sum from `/metrics`; `None` where there is no such page.
    async fn metric(&self, name: &str) -> anyhow::Result<Option<u64>> {
        let answer = self.client.send(Call::get("/metrics")).await?;
        if answer.status == 404 {
            return Ok(None);
        }
        ensure!(answer.status == 200, "GET /metrics: {answer}");
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let name = format!("tidegate_{name}_total ");
        let value = text.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok());
        Ok(Some(value.unwrap_or(0)))
    }
}

/// Why a line about metrics is skipped.
const NEEDS_METRICS: &str =
    "needs AWS: this URL has no /metrics; the metrics are in CloudWatch (dashboard, alarms)";

/// `GET /health`.
async fn health(client: &Client) -> anyhow::Result<String> {
    let answer = client.expect(200, Call::get("/health")).await?;
    ensure!(answer.json()["status"] == "ok", "it is not ok: {answer}");
    Ok(answer.to_string())
}

/// The answer must be a problem with this status and code.
async fn refused(client: &Client, call: Call, status: u16, code: &str) -> anyhow::Result<Answer> {
    let answer = client.expect(status, call).await?;
    ensure!(answer.code() == code, "`{code}` was expected: {answer}");
    ensure!(is_problem(&answer), "it is no problem document: {answer}");
    Ok(answer)
}

fn is_problem(answer: &Answer) -> bool {
    answer.headers.get("content-type").is_some_and(|value| value == "application/problem+json")
}

/// From received to durable, for 99 of 100 events.
fn fresh(found: &[Archived], limit: Duration) -> anyhow::Result<String> {
    ensure!(!found.is_empty(), "no event was found in the archive");
    let freshness = Spread::of(found.iter().map(Archived::freshness));
    ensure!(freshness.most <= limit, "99 of 100 should be durable within {limit:?}: {freshness}");
    Ok(format!("{} events, received to durable object: {freshness}", found.len()))
}

/// At most one object for each shard and window, and more only for what a full object cannot hold.
async fn few_writes<D: Deployment>(
    stored: &Stored<'_, D>,
    events: usize,
    took: Duration,
) -> anyhow::Result<String> {
    let objects = stored.objects("events/").await?;
    let bytes: u64 = objects.iter().map(|object| object.bytes).sum();
    let window = Rules::default().batching_window;
    // One window may have begun before the load, and one ends after it.
    let windows = took.as_secs_f64() / window.as_secs_f64() + 2.0;
    let shards = stored.shards().await?;
    let full = usize::try_from(bytes)? / (limits::OBJECT_BYTES / 2);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a number of windows is small"
    )]
    let most = shards * windows.ceil() as usize + full;
    ensure!(
        objects.len() <= most,
        "{} objects were written, at most {most} were expected: one for each of {shards} shards and window of {} s",
        objects.len(),
        window.as_secs()
    );
    let mut kinds = vec![format!("{} archive objects", objects.len())];
    let mut writes = objects.len();
    for (prefix, kind) in [("claims/", "parts of claim checks"), ("texts/", "parts of large lines")] {
        let count = stored.objects(prefix).await?.len();
        writes += count;
        kinds.push(format!("{count} {kind}"));
    }
    #[expect(clippy::cast_precision_loss, reason = "it is for people")]
    let per_second = writes as f64 / took.as_secs_f64();
    Ok(format!("{events} events, {}: {per_second:.2} S3 writes/s", kinds.join(", ")))
}

/// Every object that was written is at most this large.
async fn small_objects<D: Deployment>(stored: &Stored<'_, D>) -> anyhow::Result<String> {
    let mut objects = Vec::new();
    for prefix in ["events/", "texts/", "claims/"] {
        objects.extend(stored.objects(prefix).await?);
    }
    let largest = objects.iter().max_by_key(|object| object.bytes).context("there is no object")?;
    let limit = limits::OBJECT_BYTES as u64;
    ensure!(largest.bytes <= limit, "{} has {} bytes, more than {limit}", largest.key, largest.bytes);
    Ok(format!("{} objects, the largest has {} bytes: {}", objects.len(), largest.bytes, largest.key))
}

/// Names of tenants that no earlier run has used.
fn tenants<D>(run: &Run<'_, D>, count: usize) -> Vec<String> {
    (0..count).map(|number| run.new_name(&format!("accept-{number}"))).collect()
}

/// A text without a named tenant.
async fn refused_text<D>(run: &Run<'_, D>) -> anyhow::Result<String> {
    let answer = refused(&run.client, Call::text("/ingest", "x"), 400, "tenant_missing").await?;
    Ok(format!("a text without the header: {}", answer.json()["detail"].as_str().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_events_nothing_is_fresh() {
        let error = fresh(&[], Duration::from_secs(5)).unwrap_err();
        assert_eq!(error.to_string(), "no event was found in the archive");
    }
}
