//! "Event Processing System": a source and a target application.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, ensure};
use operate::deployment::Deployment;
use serde_json::{Value, json};
use shared::format::item::{DELIVERED, DISPATCH_ATTEMPTS, DISPATCH_REASON, FAILED};
use tokio::time::{Instant, sleep};

use super::{check, check_stored, refused};
use crate::Run;
use crate::client::Call;
use crate::load::Load;
use crate::stored::{SOON, text, time};
use crate::target::{self, GraphqlTarget};

/// 50 events a second.
const EVERY: Duration = Duration::from_millis(20);
/// "Requires 2xx response within 500ms".
const ANSWER: Duration = Duration::from_millis(500);

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
    check!(run, "Proper error handling and visibility: validates", async {
        for (body, code) in [("", "body_empty"), ("{\"id\":", "malformed_json"), ("7", "not_an_object")] {
            refused(&run.client, Call::post("/events", "application/json", body), 400, code).await?;
        }
        anyhow::Ok(
            "400 body_empty, malformed_json, not_an_object, each with a request id that is in the log"
                .to_owned(),
        )
    });
    if let Some(target) = &target {
        dispatched(run, &tenant, target, &sent).await;
    } else {
        let lines = [TARGET, LIMITED, PROCESSED, RETRIED, DEAD];
        run.not_run(&lines.map(|line| (line, NEEDS_TARGET)));
    }
    run.not_run(&[
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

/// The ids of the events that the target should get.
async fn load<D: Deployment>(
    run: &mut Run<'_, D>,
    tenant: &str,
    target: Option<&GraphqlTarget>,
) -> BTreeSet<String> {
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
    let load = Load::send(&run.client, EVERY, run.rate, run.load, |number| {
        Call::json("/events", &event(&format!("{prefix}-{number}"), &format!("test body {number}")))
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
    ids.extend((0..load.answers.len()).map(|number| format!("{prefix}-{number}")));
    let within = run.limit(SOON);
    check_stored!(run, stored, "Sends each event only once, no retries on failure: none is lost", async {
        let found = stored.archived_once(&[tenant.to_owned()], &ids, within).await?;
        anyhow::Ok(format!("{} events, each stored once", found.len()))
    });
    ids
}

/// What the target saw of `sent` and of the events that fail, and what is noted of them.
async fn dispatched<D: Deployment>(
    run: &mut Run<'_, D>,
    tenant: &str,
    target: &GraphqlTarget,
    sent: &BTreeSet<String>,
) {
    let soon = run.limit(SOON);
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
        let (most, rate) = (seen.most_in_a_second(), seen.rate());
        ensure!(most <= rate, "{most} calls in a sliding second, allowed: {rate}");
        ensure!(seen.refused == 0, "{} calls were above the rate of {rate} a second", seen.refused);
        let source = 1_000 / u32::try_from(EVERY.as_millis())?;
        let source = run.rate.map_or(source, |rate| rate.min(source));
        anyhow::Ok(format!(
            "the source sent {source} a second; the target got at most {most} in any sliding second, allowed: {rate}"
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
        let waits: Vec<_> =
            calls.windows(2).map(|pair| format!("{:.1}", (pair[1] - pair[0]).as_secs_f64())).collect();
        let failures = target.seen().failures.clone();
        for kind in [target::RATE, target::STATUS, target::CODE, target::TIME_OUT, target::AWAY] {
            ensure!(failures.contains_key(kind), "no call failed by `{kind}`: {failures:?}");
        }
        anyhow::Ok(format!(
            "calls that failed on purpose: {failures:?}\nbetween calls for an event that always fails, at random up to a \
             limit that doubles: {} s",
            waits.join(", ")
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
