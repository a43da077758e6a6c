//! What an operator sees of a run: sums of metrics, and lines of the log.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::{refused, request_id};
use crate::Run;
use crate::client::Call;

/// Why a line about metrics is skipped.
pub(super) const NEEDS_METRICS: &str =
    "needs AWS: this URL has no /metrics; the metrics are in CloudWatch (dashboard, alarms)";
/// Why a line about the log is skipped.
pub(super) const NEEDS_LOG: &str =
    "needs the process's log: without --url this command starts it; on AWS it is in CloudWatch Logs";

/// Sums, by the names of their metrics.
pub(super) type Sums = BTreeMap<String, u64>;

/// `None` where there is no such page.
pub(super) async fn sums<D>(run: &Run<'_, D>) -> anyhow::Result<Option<Sums>> {
    let answer = run.client.send(Call::get("/metrics")).await?;
    if answer.status == 404 {
        return Ok(None);
    }
    ensure!(answer.status == 200, "GET /metrics: {answer}");
    Ok(Some(read(&String::from_utf8_lossy(&answer.body))))
}

fn read(page: &str) -> Sums {
    let sum = |line: &str| {
        let (name, value) = line.strip_prefix("tidegate_")?.split_once("_total ")?;
        Some((name.to_owned(), value.parse().ok()?))
    };
    page.lines().filter_map(sum).collect()
}

/// Waits until each sum has risen by as much as was sent: the consumer reports its sums after an invocation.
pub(super) async fn counted<D>(
    run: &Run<'_, D>,
    before: &Sums,
    expected: &[(&str, u64)],
) -> anyhow::Result<String> {
    let end = Instant::now() + run.soon();
    loop {
        let now = sums(run).await?.context("the page is gone")?;
        let found = risen(before, &now, expected);
        if found.is_ok() || Instant::now() > end {
            return found;
        }
        sleep(Duration::from_millis(250)).await;
    }
}

fn risen(before: &Sums, now: &Sums, expected: &[(&str, u64)]) -> anyhow::Result<String> {
    let value = |sums: &Sums, name: &str| sums.get(name).copied().unwrap_or(0);
    let mut seen = Vec::new();
    for (name, least) in expected {
        let rise = value(now, name).saturating_sub(value(before, name));
        ensure!(rise >= *least, "tidegate_{name}_total rose by {rise}, expected: {least} or more");
        seen.push(format!("tidegate_{name}_total rose by {rise} (at least {least} were expected)"));
    }
    Ok(seen.join("\n"))
}

/// Makes requests fail in each way, and finds a line for each; and one for the events that were stored.
pub(super) async fn logged<D>(run: &Run<'_, D>, path: &str) -> anyhow::Result<String> {
    let process = run.process.as_ref().context("only a local run has a log")?;
    let tenant = run.new_name("accept-log");
    let with_tier = |call: Call| call.header("X-Customer-Tier", "pro").header("X-Tenant-ID", &tenant);
    let mut expected = Vec::new();
    let gold = Call::json(path, &json!({"text": "x"})).header("X-Customer-Tier", "gold");
    let broken = with_tier(Call::post(path, "application/json", "{\"text\":"));
    for (call, status, code) in [(gold, 403, "tier_not_allowed"), (broken, 400, "malformed_json")] {
        let answer = refused(&run.client, call, status, code).await?;
        expected.push(vec![request_id(&answer)?.to_owned(), code.to_owned()]);
    }
    // The second one is accepted, since ingest does not know the first; the consumer finds it.
    for text in ["first", "second"] {
        run.client.expect(202, with_tier(Call::json(path, &json!({"id": "reused", "text": text})))).await?;
    }
    expected.push(vec!["lines went to quarantine".to_owned(), "id_reused".to_owned()]);
    expected.push(vec!["archive object written".to_owned(), "object.key=events/".to_owned()]);
    let end = Instant::now() + run.soon();
    loop {
        let found = has_lines(&process.log(), &expected);
        if found.is_ok() || Instant::now() > end {
            return found;
        }
        sleep(Duration::from_millis(250)).await;
    }
}

/// For each expectation a line that has all of its words. The lines, shortened, are the evidence.
fn has_lines(log: &str, expected: &[Vec<String>]) -> anyhow::Result<String> {
    let mut seen = Vec::new();
    for words in expected {
        let line = log.lines().find(|line| words.iter().all(|word| line.contains(word)));
        let line = line.with_context(|| format!("no line of the log has {}", words.join(" and ")))?;
        // A function's line begins with its invocation, up to `}: `.
        let level = line.split_whitespace().nth(1).unwrap_or_default();
        let message = line.split_once("}: ").map(|(_, message)| message);
        let message = message.or_else(|| line.split_once(level).map(|(_, message)| message.trim()));
        let message: String = message.unwrap_or(line).chars().take(90).collect();
        seen.push(format!("{level} {message}"));
    }
    Ok(seen.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_that_did_not_rise_by_what_was_sent_is_wrong() {
        let before = read("# TYPE tidegate_a_total counter\ntidegate_a_total 5\n\ntidegate_b_total 1\n");
        let now = read("tidegate_a_total 8\ntidegate_b_total 1\ntidegate_b_total{x=\"1\"} 9\n");
        assert!(risen(&before, &now, &[("a", 3), ("b", 0)]).is_ok());
        let wrong = |expected| risen(&before, &now, &[expected]).unwrap_err().to_string();
        assert_eq!(wrong(("a", 4)), "tidegate_a_total rose by 3, expected: 4 or more");
        assert_eq!(wrong(("b", 1)), "tidegate_b_total rose by 0, expected: 1 or more");
        assert_eq!(wrong(("missing", 1)), "tidegate_missing_total rose by 0, expected: 1 or more");
    }

    #[test]
    fn each_failure_must_have_a_line_of_its_own_request() {
        let log = "2026-11-27T23:18:43Z DEBUG a request was refused: tier_not_allowed request_id=\"r-1\" code=\"tier_not_allowed\"\n\
                   2026-11-27T23:18:46Z  WARN Lambda runtime invoke{requestId=\"x\"}: lines went to quarantine quarantine.reasons={\"id_reused\": 1}";
        let expected = |words: &[&str]| vec![words.iter().copied().map(str::to_owned).collect()];
        let found = has_lines(log, &expected(&["id_reused", "quarantine"])).unwrap();
        assert_eq!(found, "WARN lines went to quarantine quarantine.reasons={\"id_reused\": 1}");
        let found = has_lines(log, &expected(&["r-1", "tier_not_allowed"])).unwrap();
        assert!(found.starts_with("DEBUG a request was refused: tier_not_allowed"), "{found}");
        let error = has_lines(log, &expected(&["r-2", "tier_not_allowed"])).unwrap_err();
        assert_eq!(error.to_string(), "no line of the log has r-2 and tier_not_allowed");
    }
}
