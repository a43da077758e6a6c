//! "Event Processing System": a source and a target application.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::ensure;
use operate::deployment::Deployment;
use serde_json::{Value, json};

use super::{check, check_stored, refused};
use crate::Run;
use crate::client::Call;
use crate::load::Load;
use crate::stored::{SOON, text, time};

/// 50 events a second.
const EVERY: Duration = Duration::from_millis(20);
/// "Requires 2xx response within 500ms".
const ANSWER: Duration = Duration::from_millis(500);

pub(super) async fn run<D: Deployment>(run: &mut Run<'_, D>) {
    let tenant = run.config.tenants.default.as_ref().map_or_else(|| "source".to_owned(), ToString::to_string);
    let id = run.new_name("randomId");
    let event =
        json!({"id": id, "name": "test event", "body": "test body", "timestamp": "2026-11-27T09:30:00.5Z"});
    check!(run, "Sends events with structure id, name, body, timestamp", async {
        let answer = run.client.expect(202, Call::json("/events", &event)).await?;
        ensure!(answer.event_id()? == id, "another id: {answer}");
        anyhow::Ok(format!("{event}\n{answer}, after {:.1?}", answer.took))
    });
    let within = run.limit(SOON);
    check_stored!(run, stored, "Store payload (DynamoDB)", async {
        let item = stored.item(&tenant, &id, within).await?;
        let fields: Value = serde_json::from_str(text(&item, "fields")?)?;
        ensure!(fields["name"] == event["name"], "the name became {}", fields["name"]);
        ensure!(text(&item, "original_text")? == "test body", "the body became {}", item["original_text"]);
        time(&item, "received_at")?;
        anyhow::Ok(format!(
            "item {} {}, name {}, event_time {}",
            item["pk"], item["sk"], fields["name"], item["event_time"]
        ))
    });
    check_stored!(
        run,
        stored,
        "Enhanced event structure with additional field \"brand\": \"testBrand\"",
        async {
            let item = stored.item(&tenant, &id, within).await?;
            let fields: Value = serde_json::from_str(text(&item, "fields")?)?;
            ensure!(fields["brand"] == "testBrand", "fields are {fields}");
            anyhow::Ok(format!("fields {fields}"))
        }
    );
    load(run, &tenant).await;
    check!(run, "Proper error handling and visibility: validates", async {
        for (body, code) in [("", "body_empty"), ("{\"id\":", "malformed_json"), ("7", "not_an_object")] {
            refused(&run.client, Call::post("/events", "application/json", body), 400, code).await?;
        }
        anyhow::Ok(
            "400 body_empty, malformed_json, not_an_object, each with a request id that is in the log"
                .to_owned(),
        )
    });
    let dispatch = "needs `[dispatch]`: this build sends to no target";
    run.not_run(&[
        ("Target application: GraphQL API", dispatch),
        ("Rate-limited: events from source may flow more frequently than target can process", dispatch),
        ("Mark event as processed in DB", dispatch),
        ("Failure (rate limit, error, timeout): retry with exponential backoff", dispatch),
        ("Max retries reached: dead letter queue", dispatch),
        ("CI/CD pipeline", "not a request: .github/workflows"),
        ("Secure authentication", "not a request: `-c auth=iam`, or `[auth] mode` for keys and signatures, see docs/recipes/event-bridge.md"),
        (
            "High availability",
            "needs AWS: Lambda, Kinesis, SQS and DynamoDB use several zones, see docs/reliability.md",
        ),
        (
            "Full event visibility and tracing: CloudWatch for monitoring, X-Ray for tracing",
            "needs AWS: dashboard, alarms and tracing are part of the stack",
        ),
        ("Comprehensive test coverage", "not a request: `make test`"),
        ("Complete documentation (HLD/LLD)", "not a request: ARCHITECTURE.md, docs/recipes/event-bridge.md"),
        (
            "Terraform, Ansible, TypeScript",
            "not a request: AWS CDK is the deployment, see docs/recipes/event-bridge.md",
        ),
    ]);
}

async fn load<D: Deployment>(run: &mut Run<'_, D>, tenant: &str) {
    let prefix = run.new_name("source");
    let load = Load::send(&run.client, EVERY, run.load, |number| {
        let event = json!({
            "id": format!("{prefix}-{number}"), "name": "test event", "body": format!("test body {number}"),
            "timestamp": "2026-11-27T09:30:00Z",
        });
        Call::json("/events", &event)
    });
    let load = load.await;
    let limit = run.limit(ANSWER);
    run.report.check(
        "Requires 2xx response within 500ms",
        load.all_answered(202).and_then(|seen| {
            let latency = load.latency();
            ensure!(latency.worst <= limit, "every answer should come within {limit:?}: {latency}");
            Ok(seen)
        }),
    );
    let mut ids: BTreeSet<_> = (0..load.answers.len()).map(|number| format!("{prefix}-{number}")).collect();
    // It was sent before the load.
    ids.insert(run.new_name("randomId"));
    let within = run.limit(SOON);
    check_stored!(run, stored, "Sends each event only once, no retries on failure: none is lost", async {
        let found = stored.archived_once(&[tenant.to_owned()], &ids, within).await?;
        for archived in &found {
            ensure!(archived.line.fields.as_json().contains("testBrand"), "{} has no brand", archived.id());
        }
        anyhow::Ok(format!("{} events, each stored once, with the brand", found.len()))
    });
}
