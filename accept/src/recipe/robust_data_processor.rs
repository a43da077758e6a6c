//! "Robust Data Processor".

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, ensure};
use operate::deployment::{Attributes, Deployment};
use serde_json::json;
use tokio::time::sleep;

use super::{check, check_stored, refused};
use crate::client::Call;
use crate::load::{Load, Spread};
use crate::stored::{Archived, Stored, text, time};
use crate::{NEEDS_DATA, Run};

/// More than the document's 1,000 requests a minute.
const EVERY: Duration = Duration::from_millis(58);
const DOCUMENT: f64 = 1_000.0 / 60.0;
/// "API responds instantly".
const INSTANTLY: Duration = Duration::from_millis(500);
/// A load that is shorter than this has no long texts.
const LONG_TEXTS_FROM: Duration = Duration::from_secs(30);
/// The worker is in the middle of a text of the first length when it is killed after the second: a batch begins within
/// five seconds.
const CRASH_WORK: Duration = Duration::from_secs(9);
const CRASH_AFTER: Duration = Duration::from_secs(6);

pub(super) async fn run<D: Deployment>(run: &mut Run<'_, D>) {
    let work = Duration::from_secs_f64(run.config.transform.simulate_work);
    let scenarios = Scenarios::new(run);
    check!(run, "Scenario 1: structured data (JSON), with tenant_id, log_id and text", scenarios.json(run));
    check!(run, "Scenario 2: unstructured data (raw text), with the header X-Tenant-ID", scenarios.text(run));
    check!(run, "You must extract the tenant from here", super::refused_text(run));
    check!(run, "One single endpoint: POST /ingest", single_endpoint(run));
    check!(run, "Action: validate", validated(run));
    let flat = scenarios.flat(run).await;
    let within = run.limit(run.wait + work * 500);
    let mut items = None;
    check_stored!(
        run,
        stored,
        "Normalizes data: both JSON and TXT into a single internal, flat txt format",
        async {
            flat?;
            let found = scenarios.items(stored, within).await?;
            let texts = found.each_ref().map(|item| text(item, "original_text").map(str::to_owned));
            let [json, raw, flat] = texts;
            let (json, raw, flat) = (json?, raw?, flat?);
            ensure!(json == JSON_TEXT && raw == RAW_TEXT, "the texts are stored as {json:?} and {raw:?}");
            ensure!(flat == "level=3\nuser.name=Ada", "an object without a text is stored as {flat:?}");
            items = Some(found);
            anyhow::Ok(format!("JSON {json:?}, TXT {raw:?}, an object without a text {flat:?}"))
        }
    );
    match &items {
        Some(items) => {
            run.report.check("Publish to the same broker topic used in scenario 1", same_stream(items));
            run.report.check("Schema: tenants/{tenant_id}/processed_logs/{log_id}", scenarios.schema(items));
            run.report.check("Document: source, original_text, modified_data, processed_at", document(items));
        }
        None => {
            for requirement in [
                "Publish to the same broker topic used in scenario 1",
                "Schema: tenants/{tenant_id}/processed_logs/{log_id}",
                "Document: source, original_text, modified_data, processed_at",
            ] {
                match run.stored {
                    Some(_) => {
                        run.report
                            .check(requirement, Err(anyhow::anyhow!("the three events are not stored")));
                    }
                    None => run.report.skip(requirement, NEEDS_DATA),
                }
            }
        }
    }
    slow_worker(run, work).await;
    flood(run, work).await;
    too_long(run).await;
    check_stored!(run, stored, "The isolation check: the same log_id of acme_corp and of beta_inc", async {
        isolated(&run.client, stored, within).await
    });
    crash(run, work).await;
    check!(run, "No authentication required for the API", async {
        let call = Call::json("/ingest", &json!({"tenant_id": "acme", "text": "x"}));
        let answer = run.client.expect(202, call).await?;
        anyhow::Ok(format!("{answer}; no request of this run had credentials"))
    });
    run.not_run(&[
        (
            "Must be live on the public internet",
            "needs AWS: `cdk deploy -c recipe=robust-data-processor`, then this command with --url",
        ),
        (
            "Use GCP free tier or AWS free tier",
            "needs AWS: Kinesis has no free tier, see docs/recipes/robust-data-processor.md for its price",
        ),
        (
            "Managed message broker, serverless compute, NoSQL DB",
            "needs AWS: Kinesis with SQS, Lambda, DynamoDB; see docs/recipes/robust-data-processor.md",
        ),
        (
            "Scale to zero: do not use always-on VMs",
            "needs AWS: see docs/recipes/robust-data-processor.md for what is billed while nothing arrives",
        ),
        (
            "Architecture diagram: how TXT and JSON paths merge",
            "not a request: docs/recipes/robust-data-processor.md",
        ),
        (
            "Short explanation of how you handled the crash simulation",
            "not a request: docs/recipes/robust-data-processor.md",
        ),
        ("Video walkthrough", "not a request: there is none"),
    ]);
}

const JSON_TEXT: &str = "User 555-0199 accessed /reports";
const RAW_TEXT: &str = "disk full on node-7\ncall 555-0199";

/// The document's two requests, and an object without a text.
struct Scenarios {
    tenant: String,
    /// Of the JSON, the text and the object.
    ids: [String; 3],
}

impl Scenarios {
    fn new<D>(run: &Run<'_, D>) -> Self {
        Self { tenant: "acme".to_owned(), ids: ["123", "log-file", "flat"].map(|id| run.new_name(id)) }
    }

    async fn json<D>(&self, run: &Run<'_, D>) -> anyhow::Result<String> {
        let event = json!({"tenant_id": self.tenant, "log_id": self.ids[0], "text": JSON_TEXT});
        let answer = run.client.expect(202, Call::json("/ingest", &event)).await?;
        ensure!(answer.event_id()? == self.ids[0], "another id: {answer}");
        Ok(format!("{event}\n{answer}, after {:.1?}", answer.took))
    }

    async fn text<D>(&self, run: &Run<'_, D>) -> anyhow::Result<String> {
        let call = Call::text("/ingest", RAW_TEXT).header("X-Tenant-ID", &self.tenant);
        let answer = run.client.expect(202, call.header("Idempotency-Key", &self.ids[1])).await?;
        Ok(format!("{RAW_TEXT:?}\n{answer}, after {:.1?}", answer.took))
    }

    async fn flat<D>(&self, run: &Run<'_, D>) -> anyhow::Result<()> {
        let event =
            json!({"tenant_id": self.tenant, "log_id": self.ids[2], "user": {"name": "Ada"}, "level": 3});
        run.client.expect(202, Call::json("/ingest", &event)).await.map(drop)
    }

    async fn items<D: Deployment>(
        &self,
        stored: &Stored<'_, D>,
        within: Duration,
    ) -> anyhow::Result<[Attributes; 3]> {
        let [json, raw, flat] = &self.ids;
        Ok([
            stored.item(&self.tenant, json, within).await?,
            stored.item(&self.tenant, raw, within).await?,
            stored.item(&self.tenant, flat, within).await?,
        ])
    }

    fn schema(&self, items: &[Attributes; 3]) -> anyhow::Result<String> {
        for (item, id) in items.iter().zip(&self.ids) {
            let (pk, sk) = (format!("tenants/{}", self.tenant), format!("processed_logs/{id}"));
            ensure!(item["pk"] == pk && item["sk"] == sk, "the keys are {} and {}", item["pk"], item["sk"]);
        }
        Ok(format!(
            "partition key {}, sort keys {}",
            items[0]["pk"],
            items.each_ref().map(|item| item["sk"].to_string()).join(", ")
        ))
    }
}

fn same_stream(items: &[Attributes; 3]) -> anyhow::Result<String> {
    let [json, raw, _] = items;
    Ok(format!("both on one stream: {} and {}", text(json, "origin")?, text(raw, "origin")?))
}

fn document(items: &[Attributes; 3]) -> anyhow::Result<String> {
    let [json, raw, _] = items;
    ensure!(text(json, "source")? == "json_upload", "the source of JSON is {}", json["source"]);
    ensure!(text(raw, "source")? == "text_upload", "the source of text is {}", raw["source"]);
    let modified = text(json, "modified_data")?;
    ensure!(modified == "User [REDACTED] accessed /reports", "modified_data is {modified:?}");
    time(json, "processed_at")?;
    let members = ["source", "original_text", "modified_data", "processed_at"];
    Ok(members.map(|member| format!("{member}: {}", json[member])).join(", "))
}

/// "100 chars = 5s sleep", and the answer that does not wait for it.
async fn slow_worker<D: Deployment>(run: &mut Run<'_, D>, work: Duration) {
    let requirement = "Sleep for 0.05s per character of text (e.g., 100 chars = 5s sleep)";
    let (within, instantly) = (run.limit(run.wait + work * 100), run.limit(INSTANTLY));
    let [id, begun] = ["hundred", "one"].map(|name| run.new_name(name));
    let event = |id: &str, text: &str| json!({"tenant_id": "acme", "log_id": id, "text": text});
    // Worked on at the same time.
    let both = json!([event(&begun, "x"), event(&id, &"x".repeat(100))]);
    let answered = run.client.expect(202, Call::json("/ingest", &both)).await;
    let mut waited = Ok(Duration::ZERO);
    check_stored!(run, stored, "Non-blocking (Async): the answer does not wait for the worker", async {
        let took = answered?.took;
        ensure!(took <= instantly, "100 characters were answered after {took:.1?}, allowed: {instantly:?}");
        ensure!(
            !stored.has_item("acme", &id).await?,
            "the item was there with the answer: the work was done before it"
        );
        waited = async {
            stored.item("acme", &id, within).await?;
            let (now, short) = (stored.now(), stored.item("acme", &begun, within).await?);
            // Not from when they came in: the window before the work does not count as work. The short text is done one
            // character after the worker began.
            anyhow::Ok(now.since(time(&short, "processed_at")?) + work)
        }
        .await;
        ensure!(waited.is_ok(), "the item did not come after the answer either");
        anyhow::Ok(format!("answered after {took:.1?}, without the item, which came later"))
    });
    check_stored!(run, _stored, requirement, async {
        let took = waited?;
        has_slept(took, work * 100)?;
        anyhow::Ok(format!("100 characters at {work:?} each: stored {took:.1?} after the worker began"))
    });
}

fn has_slept(took: Duration, least: Duration) -> anyhow::Result<()> {
    ensure!(took >= least, "100 characters were stored {took:?} after the worker began, not {least:?}");
    Ok(())
}

fn is_instant(latency: Spread, limit: Duration) -> anyhow::Result<()> {
    ensure!(latency.most <= limit, "99 of 100 should be answered within {limit:?}: {latency}");
    Ok(())
}

/// JSON and text go to the same path. It takes nothing but POST.
async fn single_endpoint<D>(run: &Run<'_, D>) -> anyhow::Result<String> {
    let answer = refused(&run.client, Call::get("/ingest"), 405, "method_not_allowed").await?;
    Ok(format!("JSON and text were sent to /ingest; GET /ingest: {} {}", answer.status, answer.code()))
}

async fn validated<D>(run: &Run<'_, D>) -> anyhow::Result<String> {
    let json = |body: &'static str| Call::post("/ingest", "application/json", body);
    let text = |tenant: &str| Call::text("/ingest", "x").header("X-Tenant-ID", tenant);
    let cases = [
        (json("{\"tenant_id\":"), 400, "malformed_json"),
        (json("{\"log_id\":\"1\",\"text\":\"of no tenant\"}"), 400, "tenant_missing"),
        (json("{\"tenant_id\":\"a/b\",\"text\":\"x\"}"), 400, "tenant_invalid"),
        (json("\"text\""), 400, "not_an_object"),
        (text("../beta"), 400, "tenant_invalid"),
        (
            Call::post("/ingest", "text/csv", "a,b").header("X-Tenant-ID", "acme"),
            415,
            "media_type_unsupported",
        ),
    ];
    let mut seen = Vec::new();
    for (call, status, code) in cases {
        refused(&run.client, call, status, code).await?;
        seen.push(format!("{status} {code}"));
    }
    Ok(seen.join(", "))
}

/// How long after it came in an item was there, which has just been found.
fn stored_after<D: Deployment>(stored: &Stored<'_, D>, item: &Attributes) -> anyhow::Result<Duration> {
    Ok(stored.now().since(time(item, "received_at")?))
}

/// The texts of the flood, of two tenants.
struct Flood {
    tenants: [String; 2],
    has_long_texts: bool,
}

impl Flood {
    fn characters(&self, number: usize) -> usize {
        match number {
            100 if self.has_long_texts => 500,
            200 if self.has_long_texts => 1_000,
            _ => 20 + number * 7 % 41,
        }
    }

    /// Each event is stored for the tenant that sent it.
    fn are_apart(&self, found: &[Archived]) -> anyhow::Result<()> {
        for archived in found {
            let number: usize = archived.id().trim_start_matches('e').parse()?;
            let (tenant, of) = (&self.tenants[number % 2], &archived.line.facts.tenant);
            ensure!(of.as_str() == tenant, "{} was sent for {tenant}, and is stored for {of}", archived.id());
        }
        Ok(())
    }

    fn call(&self, number: usize) -> Call {
        let (tenant, id) = (&self.tenants[number % 2], format!("e{number}"));
        let text: String =
            format!("request {number} of {tenant} ").chars().cycle().take(self.characters(number)).collect();
        if (number / 2).is_multiple_of(2) {
            Call::json("/ingest", &json!({"tenant_id": tenant, "log_id": id, "text": text}))
        } else {
            Call::text("/ingest", text).header("X-Tenant-ID", tenant).header("Idempotency-Key", id)
        }
    }
}

async fn flood<D: Deployment>(run: &mut Run<'_, D>, work: Duration) {
    let tenants = [run.new_name("acme_corp"), run.new_name("beta_inc")];
    let flood = Flood { tenants, has_long_texts: run.load >= LONG_TEXTS_FROM };
    let pace = run.pace(EVERY, DOCUMENT);
    let load = Load::send(&run.client, pace, run.load, |number| flood.call(number)).await;
    let instantly = run.limit(INSTANTLY);
    run.report.check(
        "The flood: 1,000 requests per minute, mixed JSON and TXT: API responds instantly (202 Accepted)",
        {
            load.accepted().and_then(|seen| {
                is_instant(load.latency(), instantly)?;
                Ok(seen)
            })
        },
    );
    let count = load.answers.len();
    let longest = (0..count).map(|number| flood.characters(number)).max().unwrap_or_default();
    let longest_work = work * u32::try_from(longest).unwrap_or(u32::MAX);
    // A batch that has begun, the batch with this text, and the window between them.
    let limit = run.limit(2 * longest_work + Duration::from_secs(10));
    let within = run.limit(2 * longest_work) + run.soon();
    let ids: BTreeSet<_> = (0..count).map(|number| format!("e{number}")).collect();
    let mut found = Vec::new();
    check_stored!(
        run,
        stored,
        "Handles heavy traffic loads: everything is processed, and saved once",
        async {
            found = stored.archived_alone(&flood.tenants, &ids, within).await?;
            let stored_after = Spread::of(found.iter().map(Archived::freshness));
            ensure!(
                stored_after.worst <= limit,
                "everything should be stored within {limit:?}, twice the longest text's work and 10 s: {stored_after}"
            );
            anyhow::Ok(format!(
                "{count} events, texts of up to {longest} characters ({longest_work:?}), stored after: {stored_after}"
            ))
        }
    );
    check_stored!(
        run,
        stored,
        "acme_corp data is physically separated from beta_inc data in the path/collection structure",
        async {
            let [first, second] = &flood.tenants;
            ensure!(!found.is_empty(), "no event was found in the archive");
            flood.are_apart(&found)?;
            for number in (0..count).step_by(20) {
                let id = format!("e{number}");
                let (own, other) = if number % 2 == 0 { (first, second) } else { (second, first) };
                let item = stored.item(own, &id, within).await?;
                ensure!(item["pk"] == format!("tenants/{own}"), "{id} of {own} is in {}", item["pk"]);
                ensure!(
                    !stored.has_item(other, &id).await?,
                    "{id} of {own} is also in the partition of {other}"
                );
            }
            anyhow::Ok(format!(
                "partition keys tenants/{first} and tenants/{second}; each tenant's archive lines are a gzip member of their own"
            ))
        }
    );
}

/// A text that the worker has no time for.
async fn too_long<D: Deployment>(run: &mut Run<'_, D>) {
    let requirement = "API does not hang or time out: a text that the worker has no time for is refused";
    let Some(work) = run.config.simulated_work() else {
        return run
            .report
            .skip(requirement, "needs `transform.simulate_work`: without it the worker has time for all");
    };
    let characters = work.longest_text() + 1;
    check!(run, requirement, async {
        let call = Call::text("/ingest", "x".repeat(characters)).header("X-Tenant-ID", "acme");
        let answer = refused(&run.client, call, 413, "work_too_long").await?;
        let detail = answer.json()["detail"].as_str().unwrap_or_default().to_owned();
        ensure!(detail.contains(&work.longest_text().to_string()), "the detail has no limit: {detail}");
        anyhow::Ok(format!("413 work_too_long: {detail}"))
    });
}

/// One id, two tenants: two items.
async fn isolated<D: Deployment>(
    client: &crate::client::Client,
    stored: &Stored<'_, D>,
    within: Duration,
) -> anyhow::Result<String> {
    let id = format!("shared-{}", stored.now().unix_ms());
    for tenant in ["acme_corp", "beta_inc"] {
        let event = json!({"tenant_id": tenant, "log_id": id, "text": format!("of {tenant}")});
        client.expect(202, Call::json("/ingest", &event)).await?;
    }
    for tenant in ["acme_corp", "beta_inc"] {
        let item = stored.item(tenant, &id, within).await?;
        ensure!(
            item["original_text"] == format!("of {tenant}"),
            "the item of {tenant} has {}",
            item["original_text"]
        );
    }
    Ok(format!("{id} is an item of tenants/acme_corp and another one of tenants/beta_inc"))
}

/// Kills the worker in the middle of a text.
async fn crash<D: Deployment>(run: &mut Run<'_, D>, work: Duration) {
    let requirement = "Recovers gracefully if the worker crashes mid-process";
    if work.is_zero() {
        return run.report.skip(
            requirement,
            "needs `transform.simulate_work`: without it the worker is never in the middle",
        );
    }
    let Some(process) = &run.process else {
        return run.report.skip(
            requirement,
            "needs the worker's process: without --url this command starts it, and kills it",
        );
    };
    let (tenant, within) = (run.new_name("accept-crash"), run.soon() * 2);
    let characters = CRASH_WORK.as_nanos().div_ceil(work.as_nanos());
    let Some(stored) = &mut run.stored else { return run.report.skip(requirement, NEEDS_DATA) };
    let found = async {
        let text: String = "x".repeat(usize::try_from(characters)?);
        let id = format!("crash-{}", stored.now().unix_ms());
        let event = json!({"tenant_id": tenant, "log_id": id, "text": text});
        run.client.expect(202, Call::json("/ingest", &event)).await?;
        sleep(CRASH_AFTER).await;
        ensure!(!stored.has_item(&tenant, &id).await?, "it was stored before the worker was killed");
        let before = process.log().len();
        let killed = process.crash("consumer-fn")?;
        let item = stored.item(&tenant, &id, within).await.context("after the crash")?;
        let took = stored_after(stored, &item)?;
        was_interrupted(process.log().get(before..).unwrap_or_default())?;
        stored.archived_alone(&[tenant], &BTreeSet::from([id]), within).await?;
        anyhow::Ok(format!(
            "kill -9 of process {killed:?} {CRASH_AFTER:?} after a text of {characters} characters came in; the log says that its \
             batch failed; stored once, {took:.1?} after it came in"
        ))
    };
    let found = found.await;
    run.report.check(requirement, found);
}

/// The worker was in the middle: its invocation failed, and the event source mapping says so.
fn was_interrupted(log: &str) -> anyhow::Result<()> {
    ensure!(log.contains("a batch failed"), "the worker was idle when it was killed: no batch failed");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stored::tests::archived;

    #[test]
    fn an_event_of_another_tenant_is_a_leak() {
        let flood = Flood { tenants: ["a", "b"].map(str::to_owned), has_long_texts: false };
        let event = |tenant, id| archived(tenant, id, "events/1", Duration::ZERO);
        assert!(flood.are_apart(&[event("a", "e0"), event("b", "e1")]).is_ok());
        let error = flood.are_apart(&[event("a", "e0"), event("a", "e1")]).unwrap_err();
        assert_eq!(error.to_string(), "e1 was sent for b, and is stored for a");
    }

    #[test]
    fn a_worker_that_hurries_and_an_api_that_waits_are_wrong() {
        let seconds = Duration::from_secs;
        assert!(has_slept(seconds(5), seconds(5)).is_ok() && has_slept(seconds(4), seconds(5)).is_err());
        let latency = |slow: usize| {
            Spread::of((0..200).map(move |number| if number < slow { seconds(1) } else { Duration::ZERO }))
        };
        assert!(is_instant(latency(2), INSTANTLY).is_ok() && is_instant(latency(3), INSTANTLY).is_err());
    }

    #[test]
    fn a_worker_that_was_idle_when_it_was_killed_has_not_recovered() {
        assert!(was_interrupted("WARN a batch failed; its unfinished records are retried").is_ok());
        assert!(was_interrupted("INFO started an environment").is_err());
    }

    #[test]
    fn items_need_their_keys_their_members_and_one_stream() {
        let scenarios = Scenarios { tenant: "acme".to_owned(), ids: ["1", "2", "3"].map(str::to_owned) };
        let item = |id: &str, source: &str| -> Attributes {
            let item = json!({
                "pk": "tenants/acme", "sk": format!("processed_logs/{id}"), "source": source, "original_text": JSON_TEXT,
                "modified_data": "User [REDACTED] accessed /reports", "processed_at": "2026-11-27T09:30:00Z",
                "origin": "0:1",
            });
            serde_json::from_value(item).unwrap()
        };
        let good = [item("1", "json_upload"), item("2", "text_upload"), item("3", "json_upload")];
        assert!(scenarios.schema(&good).is_ok() && document(&good).is_ok() && same_stream(&good).is_ok());
        let with = |name: &str, value: &str| {
            let mut items = good.clone();
            for item in &mut items {
                item.insert(name.to_owned(), value.into());
            }
            items
        };
        assert!(scenarios.schema(&with("pk", "all_logs")).is_err());
        for (name, value) in [("source", "upload"), ("modified_data", JSON_TEXT), ("processed_at", "soon")] {
            assert!(document(&with(name, value)).is_err(), "{name}");
        }
        let mut without = good.clone();
        without[1].remove("origin");
        assert!(same_stream(&without).is_err());
    }
}
