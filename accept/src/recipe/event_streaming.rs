//! "Event Streaming Application".

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, ensure};
use operate::deployment::Deployment;
use serde_json::{Value, json};

use super::{check, check_stored, fresh, health, refused};
use crate::Run;
use crate::client::{Answer, Call};
use crate::load::Load;
use crate::stored::{Archived, text, time};

/// More than 100 events a second, each sent without waiting for the one before: the document names no number.
const EVERY: Duration = Duration::from_millis(9);
const FULL: f64 = 100.0;
/// From accepted to published.
const FRESHNESS: Duration = Duration::from_secs(5);
/// Requests at the same moment; each event is sent by so many of them.
const AT_ONCE: usize = 200;
const SENDERS: usize = 4;
/// How long events are sent before it is stopped, and after.
const STOP_AFTER: Duration = Duration::from_millis(500);
/// A load that is shorter than this may be over before its first events are published.
const OVERLAPS_FROM: Duration = Duration::from_secs(15);

pub(super) async fn run<D: Deployment>(run: &mut Run<'_, D>) {
    let tenant =
        run.config.tenants.default.as_ref().map_or_else(|| "default".to_owned(), ToString::to_string);
    let id = run.new_name("event-123");
    let event = json!({"id": id, "timestamp": 1_625_097_600, "payload": "example payload"});
    let mut answered_after = Duration::ZERO;
    check!(run, "POST /events: submit a new event (ID string, timestamp int64, payload string)", async {
        let answer = run.client.expect(202, Call::json("/events", &event)).await?;
        answered_after = answer.took;
        ensure!(answer.event_id()? == id, "another id: {answer}");
        anyhow::Ok(format!("{event}\n{answer}, after {:.1?}", answer.took))
    });
    check!(run, "GET /health: health check endpoint", health(&run.client));
    let within = run.soon();
    let metadata = run.config.transform.enrich.clone();
    check_stored!(
        run,
        stored,
        "Background worker(s) concurrently consume events, apply a simple transformation (uppercase payload, add metadata)",
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
            // The worker begins after the answer: it gathers events for some seconds.
            let waited = time(&item, "processed_at")?.since(time(&item, "received_at")?);
            ensure!(
                waited > answered_after,
                "it was processed {waited:?} after it came in, before its answer"
            );
            anyhow::Ok(format!(
                "modified_data {}, fields {fields}; answered after {answered_after:.1?}, processed after {waited:.1?}",
                item["modified_data"]
            ))
        }
    );
    read_back(run, &id).await;
    concurrency(run).await;
    load(run).await;
    shutdown(run).await;
    run.not_run(&[
        ("Meaningful unit tests verifying core logic", "not a request: `make test`"),
        (
            "Infrastructure & hosting considerations (AWS): services, scaling, high availability, deployment strategies",
            "not a request: docs/recipes/event-streaming.md, docs/deploy.md",
        ),
        (
            "Showcase system under stress/load: bottlenecks, concurrency strategy, increased event throughput",
            "not a request: docs/recipes/event-streaming.md, docs/performance.md; `make bench` measures this machine",
        ),
        (
            "Observability & monitoring considerations: logging, metrics, alerting, troubleshooting",
            "not a request: docs/recipes/event-streaming.md, docs/logging.md, docs/runbooks",
        ),
    ]);
}

/// `GET /events` and `GET /events/{id}`, where they are on.
async fn read_back<D: Deployment>(run: &mut Run<'_, D>, id: &str) {
    let (list, single) =
        ("GET /events: retrieve all events", "GET /events/{id}: retrieve a specific event by ID");
    match run.client.send(Call::get("/events")).await {
        Ok(answer) if answer.status != 200 && answer.to_string().contains("reads.") => {
            let why = format!("needs `reads.enabled`, on AWS deploy with `-c reads=true`: {answer}");
            run.not_run(&[(list, &why), (single, &why)]);
        }
        _ => {
            check!(run, list, listed(run, id));
            check!(run, single, single_event(run, id));
        }
    }
}

async fn single_event<D>(run: &Run<'_, D>, id: &str) -> anyhow::Result<String> {
    let found = eventually(run.soon(), async || {
        let answer = run.client.send(Call::get(format!("/events/{id}"))).await?;
        Ok(if answer.status == 404 { Err(anyhow::anyhow!("{answer}")) } else { Ok(answer) })
    });
    let answer = found.await?;
    ensure!(answer.status == 200, "{answer}");
    let event = answer.json();
    ensure!(event["event_id"] == id && event["text"] == "EXAMPLE PAYLOAD", "{answer}");
    ensure!(event["event_time"] == "2021-07-01T00:00:00Z", "the time became {}", event["event_time"]);
    let unknown = run.new_name("no-such-event");
    refused(&run.client, Call::get(format!("/events/{unknown}")), 404, "event_not_found").await?;
    Ok(format!("{answer}\n404 for an unknown one"))
}

/// The document's request finds the document's event. A tenant of its own finds its events on several pages, newest first.
async fn listed<D>(run: &Run<'_, D>, id: &str) -> anyhow::Result<String> {
    let tenant = run.new_name("accept-list");
    let sent: Vec<_> = (0..5).map(|number| format!("list-{number}")).collect();
    for id in &sent {
        let event = json!({"id": id, "payload": "in a list"});
        run.client.expect(202, Call::json("/events", &event).header("X-Tenant-ID", &tenant)).await?;
        // Lists are ordered by the millisecond of receipt.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let pages = eventually(run.soon(), async || {
        let first = run.client.expect(200, Call::get("/events")).await?;
        if !ids_of(&first)?.iter().any(|found| found == id) {
            return Ok(Err(anyhow::anyhow!("{id} is not in GET /events")));
        }
        let (mut path, mut pages) = ("/events?limit=2".to_owned(), Vec::new());
        // Further pages than there can be show a cursor that does not advance.
        while pages.len() <= sent.len() {
            let page = run.client.expect(200, Call::get(path).header("X-Tenant-ID", &tenant)).await?;
            pages.push(ids_of(&page)?);
            let Some(cursor) = page.json()["next_cursor"].as_str().map(str::to_owned) else { break };
            path = format!("/events?limit=2&cursor={cursor}");
        }
        Ok(are_listed(&pages, &sent).map(|()| pages.len()))
    });
    Ok(format!(
        "GET /events has {id}; the {} events of a tenant, newest first, in {} pages of two",
        sent.len(),
        pages.await?
    ))
}

fn ids_of(page: &Answer) -> anyhow::Result<Vec<String>> {
    let page_json = page.json();
    let events = page_json["events"].as_array().with_context(|| format!("no `events`: {page}"))?;
    Ok(events.iter().map(|event| event["event_id"].as_str().unwrap_or_default().to_owned()).collect())
}

/// The pages have each event once, the last that was sent first, and at most two on each.
fn are_listed(pages: &[Vec<String>], sent: &[String]) -> anyhow::Result<()> {
    ensure!(pages.iter().all(|page| page.len() <= 2), "a page of two has more: {pages:?}");
    let found: Vec<_> = pages.iter().flatten().collect();
    let expected: Vec<_> = sent.iter().rev().collect();
    ensure!(found == expected, "the pages are {pages:?}, expected in this order: {expected:?}");
    Ok(())
}

/// Many clients at the same moment, several of them with the same event.
async fn concurrency<D: Deployment>(run: &mut Run<'_, D>) {
    let tenant = run.new_name("accept-at-once");
    let event = |number: usize| {
        let event = json!({"id": format!("e{number}"), "payload": format!("payload {number}")});
        Call::json("/events", &event).header("X-Tenant-ID", &tenant)
    };
    let count = run.at_once(AT_ONCE).next_multiple_of(SENDERS);
    let load = Load::at_once(&run.client, (0..count).map(|number| event(number / SENDERS))).await;
    let within = run.soon();
    check_stored!(run, stored, "Store events safely for concurrent use", async {
        let seen = load.accepted()?;
        ensure!(
            load.most_open() > SENDERS,
            "this client had no more than {} requests open",
            load.most_open()
        );
        let ids: BTreeSet<_> = (0..count / SENDERS).map(|number| format!("e{number}")).collect();
        let found = stored.archived_alone(std::slice::from_ref(&tenant), &ids, within).await?;
        have_own_payloads(&found)?;
        anyhow::Ok(format!(
            "{seen}\neach event by {SENDERS} clients at once: {} events, each stored once, with its own payload",
            found.len()
        ))
    });
}

fn have_own_payloads(found: &[Archived]) -> anyhow::Result<()> {
    for archived in found {
        let payload = archived.id().replacen('e', "PAYLOAD ", 1);
        ensure!(archived.line.text == payload, "{} is {:?}", archived.id(), archived.line.text);
    }
    Ok(())
}

/// A steady load.
async fn load<D: Deployment>(run: &mut Run<'_, D>) {
    let tenant = run.new_name("accept-stream");
    let load = Load::send(&run.client, run.pace(EVERY, FULL), run.load, |number| {
        let event = json!({"id": format!("e{number}"), "timestamp": 1_625_097_600, "payload": format!("payload {number}")});
        Call::json("/events", &event).header("X-Tenant-ID", &tenant)
    });
    let load = load.await;
    run.report.check("High volumes of incoming events", load.accepted());
    let ids: BTreeSet<_> = (0..load.answers.len()).map(|number| format!("e{number}")).collect();
    let (within, limit, is_long) =
        (run.soon(), run.limit(FRESHNESS), run.load >= OVERLAPS_FROM * run.patience);
    check_stored!(run, stored, "\"Publish\" transformed events", async {
        let found = stored.archived_alone(std::slice::from_ref(&tenant), &ids, within).await?;
        have_own_payloads(&found)?;
        let seen = fresh(&found, limit)?;
        let meanwhile = published_meanwhile(&found);
        ensure!(!is_long || meanwhile > 0, "no event was published before the last one came in");
        anyhow::Ok(format!(
            "to the archive, of which `tidegate tail --tenant {tenant}` prints the lines; {seen}; {meanwhile} of them \
             while others were still coming in"
        ))
    });
}

/// How many events were published before the last one was received: workers and requests at the same time.
fn published_meanwhile(found: &[Archived]) -> usize {
    let last = found.iter().map(|event| event.line.facts.received_at).max();
    found.iter().filter(|event| last.is_some_and(|last| event.written < last)).count()
}

/// Stops it in the middle of a load. It is the last line: nothing runs after it.
async fn shutdown<D: Deployment>(run: &mut Run<'_, D>) {
    let requirement = "Graceful shutdown: clean shutdown upon interrupt";
    if run.process.is_none() {
        return run
            .report
            .skip(requirement, "needs the process: without --url this command starts it, and stops it");
    }
    let tenant = run.new_name("accept-last");
    let within = run.soon();
    // A loaded machine is slow to interrupt it.
    let (pace, after) = (run.pace(EVERY, FULL), run.limit(STOP_AFTER));
    check_stored!(run, stored, requirement, async {
        let (client, to) = (run.client.clone(), tenant.clone());
        let sending = tokio::spawn(async move {
            Load::send(&client, pace, STOP_AFTER + after, |number| {
                let event = json!({"id": format!("last-{number}"), "payload": "on its way"});
                Call::json("/events", &event).header("X-Tenant-ID", &to)
            })
            .await
        });
        tokio::time::sleep(STOP_AFTER).await;
        let process = run.process.as_mut().context("checked above")?;
        let (status, printed) = process.stop().await?;
        ensure!(status.success(), "it ended with {status}: {printed}");
        let (ids, refused) = interrupted(&sending.await?.answers)?;
        // A request whose connection was closed may have been accepted as well.
        let found = stored.archived_once(std::slice::from_ref(&tenant), &ids, within).await?;
        let last = printed.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default().to_owned();
        anyhow::Ok(format!(
            "SIGINT in the middle of a load: {status}; {} requests were answered 202 and all of them are stored, {refused} \
             found it closed, none was answered otherwise. It printed: {last}",
            found.len()
        ))
    });
}

/// The events that were accepted, and how many requests had no answer. There must be some of each, and no other answers.
fn interrupted(answers: &[anyhow::Result<Answer>]) -> anyhow::Result<(BTreeSet<String>, usize)> {
    let mut accepted = BTreeSet::new();
    for (number, answer) in answers.iter().enumerate() {
        let Ok(answer) = answer else { continue };
        ensure!(answer.status == 202, "a request was answered {answer}");
        accepted.insert(format!("last-{number}"));
    }
    let refused = answers.len() - accepted.len();
    ensure!(!accepted.is_empty(), "no request was accepted before the interrupt");
    ensure!(refused > 0, "all requests were accepted, also after it had ended");
    Ok((accepted, refused))
}

/// Tries again while the inner result says: not yet. An outer error is final.
async fn eventually<T>(
    within: Duration,
    mut attempt: impl AsyncFnMut() -> anyhow::Result<anyhow::Result<T>>,
) -> anyhow::Result<T> {
    let end = tokio::time::Instant::now() + within;
    loop {
        let found = attempt().await?;
        if found.is_ok() || tokio::time::Instant::now() > end {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::tests::answer;
    use crate::stored::tests::archived;

    #[test]
    fn a_list_that_repeats_omits_or_reorders_events_is_wrong() {
        let sent = ["a", "b", "c"].map(str::to_owned);
        let check = |pages: &[&[&str]]| {
            let own = |page: &&[&str]| page.iter().copied().map(str::to_owned).collect();
            are_listed(&pages.iter().map(own).collect::<Vec<_>>(), &sent).is_ok()
        };
        assert!(check(&[&["c", "b"], &["a"]]));
        assert!(check(&[&["c"], &["b"], &["a"], &[]]));
        for wrong in [
            &[&["a", "b"][..], &["c"]][..],
            &[&["c", "b"], &["b", "a"]],
            &[&["c", "b"]],
            &[&["c", "b", "a"]],
            &[&["c", "b"], &["a", "of another tenant"]],
        ] {
            assert!(!check(wrong), "{wrong:?}");
        }
    }

    #[test]
    fn an_interrupt_must_come_in_the_middle_and_nothing_may_be_answered_but_202() {
        let accepted = || Ok(answer(202, "{}", Duration::ZERO));
        let closed = || Err(anyhow::anyhow!("connection refused"));
        let (ids, refused) = interrupted(&[accepted(), closed(), accepted()]).unwrap();
        assert_eq!((ids, refused), (["last-0", "last-2"].map(str::to_owned).into(), 1));
        assert!(interrupted(&[accepted(), accepted()]).is_err());
        assert!(interrupted(&[closed()]).is_err());
        assert!(interrupted(&[accepted(), Ok(answer(500, "", Duration::ZERO)), closed()]).is_err());
    }

    #[test]
    fn an_event_with_the_payload_of_another_is_wrong() {
        let mut event = archived("acme", "e1", "events/1", Duration::ZERO);
        assert_eq!(have_own_payloads(&[event.clone()]).unwrap_err().to_string(), "e1 is \"x\"");
        event.line.text = "PAYLOAD 1".into();
        have_own_payloads(&[event]).unwrap();
    }
}
