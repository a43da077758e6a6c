//! "Serverless HTTP Event Ingestion".

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::ensure;
use operate::deployment::Deployment;
use serde_json::{Value, json};
use shared::time::Timestamp;

use super::observed::{self, NEEDS_LOG, NEEDS_METRICS};
use super::{check, check_stored, refused};
use crate::client::Call;
use crate::load::Load;
use crate::stored::{Stored, text, time};
use crate::{NEEDS_DATA, Run};

/// Requests of a burst, all at the same moment.
const BURST: usize = 500;

pub(super) async fn run<D: Deployment>(run: &mut Run<'_, D>) {
    let before = observed::sums(run).await;
    let tenant =
        run.config.tenants.default.as_ref().map_or_else(|| "default".to_owned(), ToString::to_string);
    let id = run.new_name("page-view-1");
    let event = json!({
        "event_id": id, "timestamp": 1_704_937_370, "type": "page_view",
        "user": {"id": 7, "phone": "555-0199"}, "tags": ["a", null, 1.5],
    });
    check!(run, "External system sends an HTTP POST /events request", post(run, &event));
    check!(run, "Validates the payload", validated(run));
    check!(run, "Enriches it with metadata (timestamp, event_id)", enriched(run, &tenant));
    let within = run.soon();
    check_stored!(run, stored, "Amazon DynamoDB stores the raw event and metadata", async {
        let item = stored.item(&tenant, &id, within).await?;
        let fields: Value = serde_json::from_str(text(&item, "fields")?)?;
        for member in ["type", "user", "tags"] {
            ensure!(
                fields[member] == event[member],
                "`{member}` was {}, stored is {}",
                event[member],
                fields[member]
            );
        }
        ensure!(text(&item, "event_time")? == "2024-01-11T01:42:50Z", "event_time is {}", item["event_time"]);
        ensure!(text(&item, "original_text")? == text(&item, "modified_data")?, "the text was changed");
        anyhow::Ok(format!(
            "item {} {}: fields {fields}, event_time {}, received_at {}, processed_at {}",
            item["pk"], item["sk"], item["event_time"], item["received_at"], item["processed_at"]
        ))
    });
    check!(run, "Third-party webhooks", webhook(run));
    check!(run, "IoT / telemetry ingestion", telemetry(run));
    check!(run, "Audit and logging pipelines", audit_log(run));
    let accepted = burst(run).await;
    let what = "Observability: metrics are required to verify correct behavior";
    match before {
        Ok(None) => run.report.skip(what, NEEDS_METRICS),
        Ok(Some(before)) => {
            // The refused requests are those of `validated`, each of which has one event or none.
            let expected =
                [("events_accepted", accepted), ("events_stored", accepted), ("requests_received", accepted)];
            check!(run, what, observed::counted(run, &before, &expected));
        }
        Err(error) => run.report.check(what, Err(error)),
    }
    let what = "Observability: logs are required to debug issues";
    if run.process.is_some() {
        check!(run, what, observed::logged(run, "/events"));
    } else {
        run.report.skip(what, NEEDS_LOG);
    }
    run.not_run(&[
        ("Amazon CloudWatch collects logs, metrics, and errors", "needs AWS: the stack's dashboard and log groups"),
        ("Amazon API Gateway (HTTP API) receives the request", "needs AWS: a Function URL takes its place, see docs/recipes/http-ingestion.md"),
        ("Without managing any continuously active servers", "needs AWS: Lambda, see docs/recipes/http-ingestion.md for what is billed while nothing arrives"),
        ("Cost must scale with usage", "needs AWS: see docs/cost.md"),
        ("Reproducible deployments, clear separation of concerns", "not a request: cdk/, docs/deploy.md, ARCHITECTURE.md"),
        ("All infrastructure is defined using Terraform", "not a request: it is AWS CDK, see docs/recipes/http-ingestion.md"),
        ("Least-privilege IAM permissions, explicit tagging for cost visibility", "not a request: cdk/test/security.test.ts; `tidegate doctor --stack NAME` compares a deployed stack"),
    ]);
}

async fn post<D>(run: &Run<'_, D>, event: &Value) -> anyhow::Result<String> {
    let answer = run.client.expect(202, Call::json("/events", event)).await?;
    ensure!(answer.event_id()? == event["event_id"], "another id: {answer}");
    Ok(format!("{answer}, after {:.1?}", answer.took))
}

async fn validated<D>(run: &Run<'_, D>) -> anyhow::Result<String> {
    let json = |body: &'static [u8]| Call::post("/events", "application/json", body);
    let cases = [
        (json(b""), 400, "body_empty"),
        (json(b"{\"type\":"), 400, "malformed_json"),
        (json(b"\"text\""), 400, "not_an_object"),
        (json(b"[]"), 400, "batch_empty"),
        (json(b"{\"event_id\":true}"), 400, "event_id_invalid"),
        (json(b"{\"tenant_id\":\"no/slash\"}"), 400, "tenant_invalid"),
        (Call::post("/events", "image/png", "x"), 415, "media_type_unsupported"),
        (Call::get("/nowhere"), 404, "not_found"),
    ];
    let mut seen = Vec::new();
    for (call, status, code) in cases {
        refused(&run.client, call, status, code).await?;
        seen.push(format!("{status} {code}"));
    }
    // NDJSON, because a Function URL replaces bytes that are not UTF-8 in a body that it takes for text.
    let not_utf8 = Call::post("/events", "application/x-ndjson", &b"{\"type\":\"\xff\"}"[..]);
    let answer = refused(&run.client, not_utf8, 422, "batch_rejected").await?;
    ensure!(answer.json()["events"][0]["code"] == "not_utf8", "`not_utf8` was expected: {answer}");
    seen.push("422 not_utf8".to_owned());
    Ok(seen.join(", "))
}

/// An event without an id gets one, each another; its item has times, which are those of this request.
async fn enriched<D: Deployment>(run: &Run<'_, D>, tenant: &str) -> anyhow::Result<String> {
    let event = json!({"type": "signup"});
    let id = run.client.expect(202, Call::json("/events", &event)).await?.event_id()?;
    let other = run.client.expect(202, Call::json("/events", &event)).await?.event_id()?;
    ensure!(id != other, "two events have the id {id}");
    let Some(stored) = &run.stored else { return Ok(format!("event_id {id}; the times: {NEEDS_DATA}")) };
    let item = stored.item(tenant, &id, run.soon()).await?;
    stored.item(tenant, &other, run.soon()).await?;
    let (received, processed) = (time(&item, "received_at")?, time(&item, "processed_at")?);
    are_now([received, processed], stored.began(), stored.now())?;
    Ok(format!("event_id {id}, received_at {received}, processed_at {processed}"))
}

/// Other machines' clocks may differ from ours.
const SKEW: Duration = Duration::from_secs(30);

fn are_now([received, processed]: [Timestamp; 2], began: Timestamp, now: Timestamp) -> anyhow::Result<()> {
    ensure!(received <= processed, "received at {received}, processed at {processed}");
    ensure!(began <= received.plus(SKEW), "received at {received}, but sent after {began}");
    ensure!(processed <= now.plus(SKEW), "processed at {processed}, but it is {now}");
    Ok(())
}

/// Webhooks are sent again until they are answered.
async fn webhook<D: Deployment>(run: &mut Run<'_, D>) -> anyhow::Result<String> {
    let (tenant, id) = (run.new_name("accept-webhooks"), "msg_1");
    let call = Call::json(&format!("/v1/webhooks/{tenant}/events/new"), &json!({"type": "invoice.paid"}));
    let call = call.header("webhook-id", id);
    for _ in 0..2 {
        let answer = run.client.expect(202, call.clone()).await?;
        ensure!(answer.event_id()? == id, "another id: {answer}");
    }
    let within = run.soon();
    let Some(stored) = &mut run.stored else { return Ok("202 twice, with the same id".to_owned()) };
    let item = stored.item(&tenant, id, within).await?;
    stored.archived_alone(&[tenant], &BTreeSet::from([id.to_owned()]), within).await?;
    Ok(format!(
        "sent twice with webhook-id {id}, answered 202 twice: one item of {}, one line in the archive",
        item["pk"]
    ))
}

/// Several readings in one request.
async fn telemetry<D: Deployment>(run: &Run<'_, D>) -> anyhow::Result<String> {
    let tenant = run.new_name("accept-telemetry");
    let readings: Vec<_> = (0..3)
        .map(|number| json!({"event_id": format!("r{number}"), "celsius": 20.5 + f64::from(number)}))
        .collect();
    let lines: Vec<_> = readings.iter().map(ToString::to_string).collect();
    let call = Call::post("/events", "application/x-ndjson", lines.join("\n"));
    run.client.expect(202, call.header("X-Tenant-ID", &tenant)).await?;
    let Some(stored) = &run.stored else {
        return Ok(format!("202 for three readings in one request; {NEEDS_DATA}"));
    };
    for reading in &readings {
        let id = reading["event_id"].as_str().unwrap_or_default();
        let fields = fields(stored, &tenant, id, run.soon()).await?;
        ensure!(fields["celsius"] == reading["celsius"], "{id} was sent as {reading}, stored is {fields}");
    }
    Ok("three readings in one request of JSON lines: 202, each is an item".to_owned())
}

/// A line of text.
async fn audit_log<D: Deployment>(run: &Run<'_, D>) -> anyhow::Result<String> {
    let tenant = run.new_name("accept-audit");
    let line = "2026-11-27T09:30:00Z alice deleted invoice 17";
    let call = Call::text("/events", line).header("X-Tenant-ID", &tenant);
    let id = run.client.expect(202, call).await?.event_id()?;
    let Some(stored) = &run.stored else { return Ok(format!("202 for a line of text; {NEEDS_DATA}")) };
    let item = stored.item(&tenant, &id, run.soon()).await?;
    ensure!(text(&item, "original_text")? == line, "the line became {}", item["original_text"]);
    Ok(format!("a line of text: 202, and stored unchanged as {}", item["original_text"]))
}

/// An item's other members of the client's object.
async fn fields<D: Deployment>(
    stored: &Stored<'_, D>,
    tenant: &str,
    id: &str,
    within: Duration,
) -> anyhow::Result<Value> {
    let item = stored.item(tenant, id, within).await?;
    Ok(serde_json::from_str(text(&item, "fields")?)?)
}

/// Returns how many were accepted.
async fn burst<D: Deployment>(run: &mut Run<'_, D>) -> u64 {
    let tenant = run.new_name("accept-burst");
    let count = run.at_once(BURST);
    let load = Load::at_once(
        &run.client,
        (0..count).map(|number| {
            let event = json!({"event_id": format!("e{number}"), "type": "reading", "celsius": number});
            Call::json("/events", &event).header("X-Tenant-ID", &tenant)
        }),
    );
    let load = load.await;
    run.report.check("Traffic is bursty", load.accepted());
    let ids: BTreeSet<_> = (0..count).map(|number| format!("e{number}")).collect();
    let within = run.soon();
    check_stored!(run, stored, "Events must be stored reliably for later consumption", async {
        let found = stored.archived_alone(std::slice::from_ref(&tenant), &ids, within).await?;
        for id in &ids {
            let fields = fields(stored, &tenant, id, within).await?;
            let celsius = fields["celsius"].to_string();
            ensure!(id[1..] == celsius, "the item of {id} has {fields}");
        }
        anyhow::Ok(format!("{} events of the burst, each in the archive once, and as an item", found.len()))
    });
    load.answers.iter().flatten().filter(|answer| answer.status == 202).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_that_are_not_those_of_the_request_are_wrong() {
        let at = |seconds: i64| Timestamp::from_unix_ms(seconds * 1_000);
        let check =
            |received, processed| are_now([at(received), at(processed)], at(1_000), at(1_010)).is_ok();
        assert!(check(1_001, 1_004) && check(995, 1_000));
        assert!(!check(1_004, 1_001), "processed before it was received");
        assert!(!check(0, 1_004), "a constant, or the client's");
        assert!(!check(1_001, 2_000));
    }
}
