//! The documents' requirements, one file a document, in the document's order and words.

mod event_bridge;
mod event_receiver;
mod event_streaming;
mod http_ingestion;
mod observed;
mod robust_data_processor;

use std::time::Duration;

use anyhow::{Context, ensure};
use operate::deployment::Deployment;
use shared::config::Recipe;

use crate::Run;
use crate::client::{Answer, Call, Client};
use crate::load::Spread;
use crate::report::Summary;
use crate::stored::Archived;

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
    /// Requirements that no request can show.
    fn not_run(&mut self, requirements: &[(&str, &str)]) {
        for (requirement, why) in requirements {
            self.report.skip(requirement, why);
        }
    }
}

/// `GET /health`.
async fn health(client: &Client) -> anyhow::Result<String> {
    let answer = client.expect(200, Call::get("/health")).await?;
    ensure!(answer.json()["status"] == "ok", "it is not ok: {answer}");
    Ok(answer.to_string())
}

/// The answer must be a problem with this status and code, and name its request.
async fn refused(client: &Client, call: Call, status: u16, code: &str) -> anyhow::Result<Answer> {
    let answer = client.expect(status, call).await?;
    ensure!(answer.code() == code, "`{code}` was expected: {answer}");
    ensure!(is_problem(&answer), "it is no problem document: {answer}");
    request_id(&answer)?;
    Ok(answer)
}

/// The id by which a request is in the log.
fn request_id(answer: &Answer) -> anyhow::Result<&str> {
    let id = answer.headers.get("x-request-id").and_then(|id| id.to_str().ok());
    id.with_context(|| format!("the answer has no `X-Request-Id`: {answer}"))
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
    use crate::stored::tests::archived;

    #[test]
    fn without_events_nothing_is_fresh() {
        let error = fresh(&[], Duration::from_secs(5)).unwrap_err();
        assert_eq!(error.to_string(), "no event was found in the archive");
    }

    #[test]
    fn events_that_are_durable_too_late_are_not_fresh() {
        let of = |late: usize| -> Vec<_> {
            let seconds = |number| if number < late { 6 } else { 4 };
            (0..200).map(|number| archived("acme", "1", "x", Duration::from_secs(seconds(number)))).collect()
        };
        assert!(fresh(&of(2), Duration::from_secs(5)).is_ok(), "99 of 100 are");
        let error = fresh(&of(3), Duration::from_secs(5)).unwrap_err().to_string();
        assert!(error.contains("within 5s: p50 4.0s, p99 6.0s"), "{error}");
    }
}
