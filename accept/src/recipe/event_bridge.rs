//! "Event Processing System": a source and a target application.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, ensure};
use operate::deployment::Deployment;
use serde_json::{Value, json};
use shared::config::Dispatch;
use shared::digest::sha256;
use shared::format::item::{DELIVERED, DISPATCH_ATTEMPTS, DISPATCH_REASON, FAILED};
use tokio::time::{Instant, sleep};

use super::{check, check_stored, observed, refused};
use crate::client::{Call, Client};
use crate::load::{Load, Spread};
use crate::stored::{text, time};
use crate::target::{self, GraphqlTarget, Seen};
use crate::{LocalRun, Run};

/// 50 events a second, twice as many as the target of a local run takes.
const EVERY: Duration = Duration::from_millis(20);
/// "Requires 2xx response within 500ms".
const ANSWER: Duration = Duration::from_millis(500);

/// Follows the first event.
const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

const BRAND: &str = "Enhanced event structure with additional field \"brand\": \"testBrand\"";
const TARGET: &str = "Target application: GraphQL API";
const LIMITED: &str = "Rate-limited: events from source may flow more frequently than target can process";
const PROCESSED: &str = "Mark event as processed in DB";
const RETRIED: &str = "Failure (rate limit, error, timeout): retry with exponential backoff";
const DEAD: &str = "Max retries reached: dead letter queue";
const NEEDS_TARGET: &str = "needs the target, which counts calls and fails some: --target ADDRESS starts it where the deployment sends to";

pub(super) async fn run<D: Deployment>(run: &mut Run<'_, D>) {
    let tenant = run.config.tenants.default.as_ref().map_or_else(|| "source".to_owned(), ToString::to_string);
    let id = run.new_name("randomId");
    let event =
        json!({"id": id, "name": "test event", "body": "test body", "timestamp": "2026-11-27T09:30:00.5Z"});
    check!(run, "Sends events with structure id, name, body, timestamp", async {
        let call = Call::json("/events", &event).header("traceparent", TRACE);
        let answer = run.client.expect(202, call).await?;
        ensure!(answer.event_id()? == id, "another id: {answer}");
        anyhow::Ok(format!("{event}\n{answer}, after {:.1?}", answer.took))
    });
    let within = run.soon();
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
    check_stored!(run, stored, "S3 for long-term storage", async {
        let ids = BTreeSet::from([id.clone()]);
        let found = stored.archived_once(std::slice::from_ref(&tenant), &ids, within).await?;
        let line = &found.first().context("no line")?.line;
        ensure!(line.text == "test body", "the body became {:?}", line.text);
        anyhow::Ok(format!("its archive line is in {}", found[0].object))
    });
    check_stored!(run, stored, "Full event visibility and tracing", async {
        let item = stored.item(&tenant, &id, within).await?;
        ensure!(text(&item, "trace")? == TRACE, "its trace is {}", item["trace"]);
        let log = run.process.as_deref().map(LocalRun::log);
        ensure!(log.as_ref().is_none_or(|log| log.contains(TRACE)), "its trace is not in the log");
        let places = if log.is_some() { "item and log" } else { "item (the log: needs the process)" };
        anyhow::Ok(format!("traceparent {TRACE}, sent with the event, is in {places}"))
    });
    let target = run.dispatch_target.clone();
    if let Some(target) = &target {
        check!(run, BRAND, async {
            let key = format!("{tenant}/{id}");
            let taken = until("the target has no event", within, || target.seen().taken.get(&key).cloned());
            let taken = taken.await?.swap_remove(0);
            let mut expected = event.clone();
            expected["brand"] = "testBrand".into();
            // Tidegate writes times to the millisecond.
            expected["timestamp"] = "2026-11-27T09:30:00.500Z".into();
            ensure!(taken == expected, "the target got {taken}");
            anyhow::Ok(format!("the target got {taken}"))
        });
    } else {
        run.report.skip(BRAND, NEEDS_TARGET);
    }
    let sent = load(run, &tenant, target.as_ref()).await;
    check!(run, "Proper error handling and visibility", errors(run));
    authentication(run, &event).await;
    if let Some(target) = &target {
        dispatched(run, &tenant, target, &sent).await;
    } else {
        let lines = [TARGET, LIMITED, PROCESSED, RETRIED, DEAD];
        run.not_run(&lines.map(|line| (line, NEEDS_TARGET)));
    }
    run.not_run(&[
        ("CI/CD pipeline", "not a request: .github/workflows"),
        ("Cloud-based solution (AWS): API Gateway, Lambda, DynamoDB, SQS", "needs AWS: `cdk deploy -c recipe=event-bridge`; docs/recipes/event-bridge.md says what replaces API Gateway"),
        (
            "High availability",
            "needs AWS: Lambda, Kinesis, SQS and DynamoDB use several zones, see docs/reliability.md",
        ),
        (
            "CloudWatch for monitoring, X-Ray for tracing",
            "needs AWS: dashboard, alarms and tracing are part of the stack",
        ),
        ("Comprehensive test coverage", "not a request: `make test`"),
        ("Maintainable and supportable", "not a request: CONTRIBUTING.md, docs/operate.md, docs/runbooks"),
        ("Complete documentation (HLD/LLD)", "not a request: ARCHITECTURE.md, docs/design, docs/recipes/event-bridge.md"),
        (
            "Terraform, Ansible, TypeScript",
            "not a request: AWS CDK is the deployment, see docs/recipes/event-bridge.md",
        ),
    ]);
}

/// The ids of the events that the target should get.
async fn load<D: Deployment>(run: &mut Run<'_, D>, tenant: &str, target: Option<&GraphqlTarget>) -> Sent {
    let prefix = run.new_name("source");
    let event = |id: &str, body: &str| json!({"id": id, "name": "test event", "body": body, "timestamp": "2026-11-27T09:30:00Z"});
    // It was sent before the load.
    let mut ids = BTreeSet::from([run.new_name("randomId")]);
    if target.is_some() {
        for (id, body) in [("refused", target::REFUSED), ("fails", target::FAILS), ("stalls", target::STALLS)]
        {
            let id = run.new_name(id);
            // If it is not accepted, its line fails.
            let _answer = run.client.send(Call::json("/events", &event(&id, body))).await;
            if body == target::STALLS {
                ids.insert(id);
            }
        }
    }
    let pace = run.pace(EVERY, run.config.dispatch.rate_per_second);
    let load = Load::send(&run.client, pace, run.load, |number| {
        Call::json("/events", &event(&format!("{prefix}-{number}"), &format!("test body {number}")))
    });
    let load = load.await;
    let limit = run.limit(ANSWER);
    run.report.check(
        "Requires 2xx response within 500ms",
        load.accepted().and_then(|seen| {
            are_in_time(load.latency(), limit)?;
            Ok(seen)
        }),
    );
    ids.extend((0..load.answers.len()).map(|number| format!("{prefix}-{number}")));
    let within = run.soon();
    check_stored!(run, stored, "Sends each event only once, no retries on failure: none is lost", async {
        let found = stored.archived_once(&[tenant.to_owned()], &ids, within).await?;
        anyhow::Ok(format!("{} events, each stored once", found.len()))
    });
    Sent { ids, rate: load.rate() }
}

/// What the target should get.
struct Sent {
    ids: BTreeSet<String>,
    /// Events a second.
    rate: f64,
}

fn are_in_time(latency: Spread, limit: Duration) -> anyhow::Result<()> {
    ensure!(latency.worst <= limit, "every answer should come within {limit:?}: {latency}");
    Ok(())
}

async fn errors<D: Deployment>(run: &Run<'_, D>) -> anyhow::Result<String> {
    for (body, code) in [("", "body_empty"), ("{\"id\":", "malformed_json"), ("7", "not_an_object")] {
        refused(&run.client, Call::post("/events", "application/json", body), 400, code).await?;
    }
    let seen = "400 body_empty, malformed_json, not_an_object, each with a request id";
    Ok(if run.process.is_some() {
        format!("{seen}; in the log:\n{}", observed::logged(run, "/events").await?)
    } else {
        format!("{seen}; the log: {}", observed::NEEDS_LOG)
    })
}

/// The recipe has no credentials, so that the document's request is accepted. A second run has.
async fn authentication<D>(run: &mut Run<'_, D>, event: &Value) {
    let requirement = "Secure authentication";
    let Some(process) = run.process.as_deref() else {
        let why = "needs credentials: this command has none for this URL; deploy with `-c auth=iam` or `[auth] mode`, \
                   see docs/recipes/event-bridge.md; without --url it starts a run with keys";
        return run.report.skip(requirement, why);
    };
    let found = with_keys(process, event).await;
    run.report.check(requirement, found);
}

async fn with_keys(process: &LocalRun, event: &Value) -> anyhow::Result<String> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("credentials.json");
    let tenant = json!({"tenant": "source", "tier": "standard", "api_keys_sha256": [sha256(b"the-key")]});
    std::fs::write(&file, json!({"tenants": [tenant]}).to_string())?;
    let variables = [
        ("TIDEGATE__AUTH__MODE", "api_key".to_owned()),
        ("TIDEGATE__AUTH__CREDENTIALS_FILE", file.display().to_string()),
        ("TIDEGATE__DISPATCH__ENABLED", "false".to_owned()),
    ];
    let mut run = process.another(&variables).await?;
    let client = Client::new(run.url())?;
    let call = || Call::json("/events", event);
    refused(&client, call(), 401, "credential_missing").await?;
    refused(&client, call().header("X-Api-Key", "another-key"), 401, "credential_invalid").await?;
    client.expect(202, call().header("X-Api-Key", "the-key")).await?;
    let other = call().header("X-Api-Key", "the-key").header("X-Tenant-ID", "another");
    refused(&client, other, 403, "credential_mismatch").await?;
    run.stop().await?;
    Ok("a run with `auth.mode = \"api_key\"`: 401 without a key and with a wrong one, 202 with the key, 403 with it for another \
        tenant".to_owned())
}

/// What the target saw of `sent` and of the events that fail, and what is noted of them.
async fn dispatched<D: Deployment>(run: &mut Run<'_, D>, tenant: &str, target: &GraphqlTarget, sent: &Sent) {
    let (soon, Sent { ids: sent, rate: source }) = (run.soon(), sent);
    // Three times as long as the rate allows, since some calls fail.
    #[expect(clippy::cast_precision_loss, reason = "a number of events is small")]
    let most = soon + Duration::from_secs_f64(3.0 * sent.len() as f64 / run.config.dispatch.rate_per_second);
    check!(run, TARGET, async {
        target.seen().is_away = true;
        let closed = until("no call was made while the target was away", soon, || {
            (target.seen().failed(target::AWAY) > 2).then_some(())
        });
        let closed = closed.await;
        target.seen().is_away = false;
        closed?;
        let keys: BTreeSet<_> = sent.iter().map(|id| format!("{tenant}/{id}")).collect();
        let all = || keys.iter().all(|key| target.seen().taken.contains_key(key)).then_some(());
        until("some events are not at the target", most, all).await?;
        let seen = target.seen();
        let repeated = seen.taken.values().filter(|events| events.len() > 1).count();
        let calls: usize = seen.calls.values().map(Vec::len).sum();
        anyhow::Ok(format!(
            "{} events in {calls} calls by `mutation`, each event once by its idempotency key; {repeated} keys came again",
            keys.len()
        ))
    });
    check!(run, LIMITED, async {
        let seen = target.seen();
        let rate = seen.rate();
        let most = within_the_rate(&seen)?;
        #[expect(clippy::cast_precision_loss, reason = "a rate is small")]
        let faster = *source > rate as f64;
        ensure!(faster, "the source sent {source:.1} a second, no more than the target takes, {rate}");
        anyhow::Ok(format!(
            "the source sent {source:.1} a second; the target got at most {most} in any sliding second, allowed: {rate}"
        ))
    });
    check_stored!(run, stored, PROCESSED, async {
        for id in sent {
            stored.dispatched(tenant, id, DELIVERED, soon).await?;
        }
        anyhow::Ok(format!("the dispatch_status of {} items is {DELIVERED}", sent.len()))
    });
    let (fails, refused) = (run.new_name("fails"), run.new_name("refused"));
    let attempts = run.config.dispatch.max_attempts;
    check!(run, RETRIED, async {
        let key = format!("{tenant}/{fails}");
        let calls = until("the event that always fails was not called often enough", soon, || {
            target.seen().calls.get(&key).filter(|calls| calls.len() >= attempts as usize).cloned()
        });
        let calls = calls.await?;
        let gaps: Vec<_> = calls.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let waited = match run.process.as_deref() {
            Some(process) => {
                let waits = waits(&process.log(), &fails);
                backs_off(&waits, &gaps, &run.config.dispatch)?;
                format!(
                    "waits for an event that always fails, at random up to a limit that doubles: {waits:.1?}"
                )
            }
            None => "how long it waited for an event that always fails is in the dispatcher's log".to_owned(),
        };
        let failures = target.seen().failures.clone();
        for kind in [target::RATE, target::STATUS, target::CODE, target::TIME_OUT, target::AWAY] {
            ensure!(failures.contains_key(kind), "no call failed by `{kind}`: {failures:?}");
        }
        anyhow::Ok(format!(
            "calls that failed on purpose: {failures:?}\n{waited}\nbetween its calls: {gaps:.1?}"
        ))
    });
    check_stored!(run, stored, DEAD, async {
        let mut found = Vec::new();
        for (id, attempts, reason) in [(&fails, attempts, "503"), (&refused, 1, "BAD_USER_INPUT")] {
            let item = stored.dispatched(tenant, id, FAILED, soon).await?;
            let noted = text(&item, DISPATCH_REASON)?;
            ensure!(item[DISPATCH_ATTEMPTS] == attempts, "{id} has {} attempts", item[DISPATCH_ATTEMPTS]);
            let letters = stored.undelivered().await?;
            let letter = letters.get(id).with_context(|| format!("{id} is no dead letter"))?;
            ensure!(letter.reason.contains(reason), "the reason of {id} is `{}`", letter.reason);
            ensure!(noted.contains(reason), "the reason on the item of {id} is `{noted}`");
            found.push(format!("{id} after {attempts} calls: {}", letter.reason));
        }
        let unexpected = stored.undelivered().await?.into_keys().find(|id| sent.contains(id));
        ensure!(unexpected.is_none(), "{unexpected:?} is a dead letter");
        anyhow::Ok(found.join("\n"))
    });
}

/// What `look` finds, once it finds something.
async fn until<T>(missing: &str, within: Duration, look: impl Fn() -> Option<T>) -> anyhow::Result<T> {
    let end = Instant::now() + within;
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        ensure!(Instant::now() < end, "{missing} after {} s", within.as_secs());
        sleep(Duration::from_millis(50)).await;
    }
}

fn within_the_rate(seen: &Seen) -> anyhow::Result<usize> {
    let (most, rate) = (seen.most_in_a_second(), seen.rate());
    ensure!(most <= rate, "{most} calls in a sliding second, allowed: {rate}");
    ensure!(seen.refused == 0, "{} calls were above the rate of {rate} a second", seen.refused);
    Ok(most)
}

/// The waits after the event's failed calls, as the dispatcher logs them.
fn waits(log: &str, id: &str) -> Vec<Duration> {
    let id = format!("event.id={id} ");
    let wait = |line: &str| {
        let (_, rest) = line.split_once("the next is in ")?;
        rest.split_once(" ms")?.0.parse().ok().map(Duration::from_millis)
    };
    log.lines().filter(|line| line.contains(&id)).filter_map(wait).collect()
}

/// Each wait is at most its limit, which doubles; some are longer than the first limit; and no call came before its wait was
/// over.
fn backs_off(waits: &[Duration], gaps: &[Duration], dispatch: &Dispatch) -> anyhow::Result<()> {
    let attempts = dispatch.max_attempts as usize;
    ensure!(
        waits.len() == attempts - 1 && gaps.len() >= waits.len(),
        "{} waits and {attempts} calls were expected: {waits:?}",
        attempts - 1
    );
    let [first, most] = [dispatch.backoff_ms, dispatch.backoff_most_ms].map(Duration::from_millis);
    let mut limit = first;
    for (number, (wait, gap)) in waits.iter().zip(gaps).enumerate() {
        ensure!(
            *wait <= limit,
            "wait {} is {wait:?}, at most {limit:?} were expected: {waits:?}",
            number + 1
        );
        ensure!(*gap + ROUNDED >= *wait, "the call after wait {} of {wait:?} came after {gap:?}", number + 1);
        limit = (limit * 2).min(most);
    }
    let longest = waits.iter().max().copied().unwrap_or_default();
    // That all nine are by chance this short happens once in a hundred million runs.
    ensure!(longest > first, "the waits do not become longer: {waits:?}");
    Ok(())
}

/// A wait is logged in whole milliseconds, and begins before the next call is timed.
const ROUNDED: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_answer_that_comes_too_late_is_one_too_many() {
        let slowest = |worst| Spread::of([1, 2, worst].map(Duration::from_millis).into_iter());
        assert!(are_in_time(slowest(500), ANSWER).is_ok());
        assert!(are_in_time(slowest(501), ANSWER).is_err());
    }

    #[test]
    fn waits_that_are_constant_or_not_waited_for_are_no_backoff() {
        let ms = |all: [u64; 9]| all.map(Duration::from_millis);
        let mut dispatch = Dispatch::default();
        target::retry_fast(&mut dispatch);
        let backs_off = |waits: &[Duration], gaps: &[Duration]| backs_off(waits, gaps, &dispatch);
        let good = ms([250, 100, 900, 2_000, 4_000, 10, 4_000, 3_000, 1]);
        backs_off(&good, &good).unwrap();
        let error = |waits: &[Duration], gaps: &[Duration]| backs_off(waits, gaps).unwrap_err().to_string();
        let constant = ms([200; 9]);
        assert!(error(&constant, &constant).starts_with("the waits do not become longer"));
        let linear = ms([250, 600, 900, 900, 900, 900, 900, 900, 900]);
        assert!(error(&linear, &linear).starts_with("wait 2 is 600ms, at most 500ms"));
        let at_once = ms([20; 9]);
        assert_eq!(error(&good, &at_once), "the call after wait 1 of 250ms came after 20ms");
        assert!(error(&good[..3], &good).starts_with("9 waits and 10 calls were expected"));
    }

    #[test]
    fn waits_are_those_of_one_event() {
        let log = "INFO a call failed, the next is in 187 ms: 503 tenant.id=source event.id=fails attempts=1\n\
                   INFO a call failed, the next is in 44 ms: 503 tenant.id=source event.id=fails-2 attempts=1\n\
                   INFO a call failed, the next is in 301 ms: 503 tenant.id=source event.id=fails attempts=2";
        assert_eq!(waits(log, "fails"), [187, 301].map(Duration::from_millis));
    }
}
