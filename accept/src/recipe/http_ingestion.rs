//! "Serverless HTTP Event Ingestion".

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::ensure;
use operate::deployment::Deployment;
use serde_json::{Value, json};

use super::{NEEDS_METRICS, check, check_stored, refused};
use crate::client::Call;
use crate::load::Load;
use crate::stored::{SOON, text, time};
use crate::{NEEDS_DATA, Run};

/// Requests of a burst, and how many a second: as fast as one client sends.
const BURST: usize = 500;
const EVERY: Duration = Duration::from_millis(1);

pub(super) async fn run<D: Deployment>(run: &mut Run<'_, D>) {
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
    let within = run.limit(SOON);
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
    burst(run).await;
    let what = "Amazon CloudWatch collects logs, metrics, and errors";
    match run.metric("events_accepted").await {
        Ok(None) => run.report.skip(what, NEEDS_METRICS),
        Ok(Some(count)) if count > 0 => {
            run.report.skip(what, &format!("needs AWS: CloudWatch; the same metrics are at /metrics here, tidegate_events_accepted_total is {count}"));
        }
        found => run.report.check(
            what,
            found.and_then(|count| anyhow::bail!("tidegate_events_accepted_total is {count:?}")),
        ),
    }
    run.not_run(&[
        ("Amazon API Gateway (HTTP API) receives the request", "needs AWS: a Function URL takes its place, see docs/recipes/http-ingestion.md"),
        ("Without managing any continuously active servers", "needs AWS: Lambda, see docs/recipes/http-ingestion.md for what is billed while nothing arrives"),
        ("Cost must scale with usage", "needs AWS: see docs/cost.md"),
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

/// An event without an id gets one; its item has times.
async fn enriched<D: Deployment>(run: &Run<'_, D>, tenant: &str) -> anyhow::Result<String> {
    let answer = run.client.expect(202, Call::json("/events", &json!({"type": "signup"}))).await?;
    let id = answer.event_id()?;
    let Some(stored) = &run.stored else { return Ok(format!("event_id {id}; the times: {NEEDS_DATA}")) };
    let item = stored.item(tenant, &id, run.limit(SOON)).await?;
    let (received, processed) = (time(&item, "received_at")?, time(&item, "processed_at")?);
    ensure!(received <= processed, "received at {received}, processed at {processed}");
    Ok(format!("event_id {id}, received_at {received}, processed_at {processed}"))
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
    let within = run.limit(SOON);
    let Some(stored) = &mut run.stored else { return Ok("202 twice, with the same id".to_owned()) };
    let item = stored.item(&tenant, id, within).await?;
    stored.archived_once(&[tenant], &BTreeSet::from([id.to_owned()]), within).await?;
    Ok(format!(
        "sent twice with webhook-id {id}, answered 202 twice: one item of {}, one line in the archive",
        item["pk"]
    ))
}

async fn burst<D: Deployment>(run: &mut Run<'_, D>) {
    let tenant = run.new_name("accept-burst");
    // A burst at a lowered rate takes as long as any other load.
    let during = run.rate.map_or_else(|| EVERY * u32::try_from(BURST).unwrap_or(u32::MAX), |_| run.load);
    let load = Load::send(&run.client, EVERY, run.rate, during, |number| {
        let event = json!({"event_id": format!("e{number}"), "type": "reading", "celsius": number});
        Call::json("/events", &event).header("X-Tenant-ID", &tenant)
    });
    let load = load.await;
    run.report.check("Traffic is bursty", load.all_answered(202));
    let ids: BTreeSet<_> = (0..load.answers.len()).map(|number| format!("e{number}")).collect();
    let within = run.limit(SOON);
    check_stored!(run, stored, "Events must be stored reliably for later consumption", async {
        let found = stored.archived_once(std::slice::from_ref(&tenant), &ids, within).await?;
        for id in ids.iter().step_by(50) {
            stored.item(&tenant, id, within).await?;
        }
        anyhow::Ok(format!("{} events of the burst, each in the archive once, and as an item", found.len()))
    });
}
