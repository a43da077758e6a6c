//! "Event Streaming Application".

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, ensure};
use operate::deployment::Deployment;
use serde_json::{Value, json};

use super::{check, check_stored, fresh, health};
use crate::Run;
use crate::client::Call;
use crate::load::Load;
use crate::stored::{Archived, SOON, text};

/// 100 events a second, each sent without waiting for the one before.
const EVERY: Duration = Duration::from_millis(10);
/// From accepted to published.
const FRESHNESS: Duration = Duration::from_secs(5);
/// Events that are on their way when it is stopped.
const LAST: usize = 20;

pub(super) async fn run<D: Deployment>(run: &mut Run<'_, D>) {
    let tenant =
        run.config.tenants.default.as_ref().map_or_else(|| "default".to_owned(), ToString::to_string);
    let id = run.new_name("event-123");
    let event = json!({"id": id, "timestamp": 1_625_097_600, "payload": "example payload"});
    check!(run, "POST /events: submit a new event (ID string, timestamp int64, payload string)", async {
        let answer = run.client.expect(202, Call::json("/events", &event)).await?;
        ensure!(answer.event_id()? == id, "another id: {answer}");
        anyhow::Ok(format!("{event}\n{answer}, after {:.1?}", answer.took))
    });
    check!(run, "GET /health: health check endpoint", health(&run.client));
    let within = run.limit(SOON);
    let metadata = run.config.transform.enrich.clone();
    check_stored!(
        run,
        stored,
        "Background worker(s) apply a simple transformation (uppercase payload, add metadata)",
        async {
            let item = stored.item(&tenant, &id, within).await?;
            ensure!(
                text(&item, "modified_data")? == "EXAMPLE PAYLOAD",
                "the payload became {}",
                item["modified_data"]
            );
            ensure!(
                text(&item, "event_time")? == "2021-07-01T00:00:00Z",
                "the time became {}",
                item["event_time"]
            );
            let fields: Value = serde_json::from_str(text(&item, "fields")?)?;
            for (name, value) in &metadata {
                ensure!(fields[name] == *value, "`{name}` should be {value}: {fields}");
            }
            anyhow::Ok(format!(
                "modified_data {}, fields {fields}, processed_at {}",
                item["modified_data"], item["processed_at"]
            ))
        }
    );
    read_back(run, &id).await;
    load(run).await;
    shutdown(run).await;
    run.not_run(&[
        ("Meaningful unit tests", "not a request: `make test`"),
        ("Infrastructure and hosting considerations (AWS), scaling, high availability, deployment strategies", "not a request: docs/recipes/event-streaming.md"),
        ("Bottlenecks, concurrency, higher throughput", "not a request: docs/recipes/event-streaming.md, docs/benchmarks.md"),
        ("Observability and monitoring considerations", "not a request: docs/recipes/event-streaming.md, docs/logging.md, docs/runbooks"),
    ]);
}

/// `GET /events` and `GET /events/{id}`, where they are on.
async fn read_back<D: Deployment>(run: &mut Run<'_, D>, id: &str) {
    let (list, single) =
        ("GET /events: retrieve all events", "GET /events/{id}: retrieve a specific event by ID");
    match run.client.send(Call::get("/events")).await {
        Ok(answer) if answer.status == 405 => {
            for requirement in [list, single] {
                run.report.skip(requirement, "needs `reads`: this build answers 405 to GET /events");
            }
        }
        Ok(answer) if answer.status != 200 && answer.to_string().contains("reads.") => {
            for requirement in [list, single] {
                run.report.skip(requirement, &format!("needs `reads.enabled`: {answer}"));
            }
        }
        _ => {
            let within = run.limit(SOON);
            check!(run, list, listed(run, id, within));
            check!(run, single, single_event(run, id, within));
        }
    }
}

async fn single_event<D>(run: &Run<'_, D>, id: &str, within: Duration) -> anyhow::Result<String> {
    let end = tokio::time::Instant::now() + within;
    let answer = loop {
        let answer = run.client.send(Call::get(format!("/events/{id}"))).await?;
        if answer.status != 404 || tokio::time::Instant::now() > end {
            break answer;
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    };
    ensure!(answer.status == 200, "{answer}");
    let event = answer.json();
    ensure!(event["event_id"] == id && event["text"] == "EXAMPLE PAYLOAD", "{answer}");
    Ok(answer.to_string())
}

/// All pages.
async fn listed<D>(run: &Run<'_, D>, id: &str, within: Duration) -> anyhow::Result<String> {
    single_event(run, id, within).await?;
    let (mut path, mut ids, mut pages) = ("/events?limit=2".to_owned(), Vec::new(), 0);
    loop {
        let answer = run.client.expect(200, Call::get(path)).await?;
        let page = answer.json();
        let events = page["events"].as_array().with_context(|| format!("no `events`: {answer}"))?;
        ids.extend(events.iter().filter_map(|event| event["event_id"].as_str().map(str::to_owned)));
        pages += 1;
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/events?limit=2&cursor={cursor}");
    }
    ensure!(ids.iter().any(|found| found == id), "{id} is not among {ids:?}");
    Ok(format!("{} events in {pages} pages of two, {id} among them", ids.len()))
}

/// Many clients at once.
async fn load<D: Deployment>(run: &mut Run<'_, D>) {
    let tenant = run.new_name("accept-stream");
    let load = Load::send(&run.client, EVERY, run.rate, run.load, |number| {
        let event = json!({"id": format!("e{number}"), "timestamp": 1_625_097_600, "payload": format!("payload {number}")});
        Call::json("/events", &event).header("X-Tenant-ID", &tenant)
    });
    let load = load.await;
    run.report.check("High volumes of incoming events", load.all_answered(202));
    let ids: BTreeSet<_> = (0..load.answers.len()).map(|number| format!("e{number}")).collect();
    let (within, limit) = (run.limit(SOON), run.limit(FRESHNESS));
    let mut found = Vec::new();
    check_stored!(run, stored, "Store events safely for concurrent use", async {
        found = stored.archived_once(std::slice::from_ref(&tenant), &ids, within).await?;
        for archived in &found {
            let payload = archived.id().replacen('e', "PAYLOAD ", 1);
            ensure!(archived.line.text == payload, "{} is {:?}", archived.id(), archived.line.text);
        }
        anyhow::Ok(format!("{} events at once, each stored once, with its own payload", found.len()))
    });
    check_stored!(run, _stored, "\"Publish\" transformed events", async {
        fresh(&found, limit).map(|seen| {
            format!("to the archive, of which `tidegate tail --tenant {tenant}` prints the lines; {seen}")
        })
    });
}

/// Stops it while events are on their way. It is the last line: nothing runs after it.
async fn shutdown<D: Deployment>(run: &mut Run<'_, D>) {
    let requirement = "Graceful shutdown: clean shutdown upon interrupt";
    if run.process.is_none() {
        return run
            .report
            .skip(requirement, "needs the process: without --url this command starts it, and stops it");
    }
    let tenant = run.new_name("accept-last");
    let within = run.limit(SOON);
    check_stored!(run, stored, requirement, async {
        for number in 0..LAST {
            let event = json!({"id": format!("last-{number}"), "payload": "on its way"});
            run.client.expect(202, Call::json("/events", &event).header("X-Tenant-ID", &tenant)).await?;
        }
        let process = run.process.as_mut().context("checked above")?;
        let (status, printed) = process.stop().await?;
        ensure!(status.success(), "it ended with {status}: {printed}");
        let ids: BTreeSet<_> = (0..LAST).map(|number| format!("last-{number}")).collect();
        let found: Vec<Archived> = stored.archived_once(std::slice::from_ref(&tenant), &ids, within).await?;
        let last = printed.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default().to_owned();
        anyhow::Ok(format!(
            "SIGINT after {LAST} answers: {status}; all {} are stored. It printed: {last}",
            found.len()
        ))
    });
}
