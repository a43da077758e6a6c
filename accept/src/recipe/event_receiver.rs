//! "High-Throughput Event Receiver Service".

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::Bytes;
use operate::deployment::Deployment;
use serde_json::json;
use shared::config::Config;
use shared::gzip;
use shared::limits::{BODY_BYTES, OBJECT_BYTES};

use super::observed::{self, NEEDS_LOG, NEEDS_METRICS, Sums};
use super::{check, check_stored, fresh, is_problem, refused, tenants};
use crate::client::{Answer, Call, Client};
use crate::load::{Load, Pace};
use crate::stored::{Archived, Stored, text};
use crate::writes::{Bound, Parts, Writes, batched};
use crate::{LocalRun, Run};

/// 125 requests a second, since the document wants more than 100.
const EVERY: Duration = Duration::from_millis(8);
const DOCUMENT: f64 = 100.0;
/// "Flushed … after a max delay of 5 seconds".
const FLUSH: Duration = Duration::from_secs(5);
const SMALLEST: usize = 1_024;
const TIERS: [&str; 3] = ["free", "pro", "enterprise"];
/// A Function URL takes less than this.
const COMPRESS_FROM: usize = 4_000_000;
/// Texts that do not compress, and fill two objects.
const NOISE_EVENTS: u32 = 16;
const NOISE_BYTES: usize = 1_000_000;
/// All within the window of three seconds.
const NOISE_EVERY: Duration = Duration::from_millis(125);

/// How many requests the lines about tiers have refused.
const FILTERED: u64 = 6;

const FILTERS: &str =
    "Filters incoming requests by allowing only a predefined set of header values, loaded at service startup";
const METRICS: &str = "Metrics (req/sec, S3 writes/sec, filtered reqs)";
const LOGGING: &str = "Logging for success/failure cases";
const FLUSHED: &str = "Batches are flushed either on size threshold or after a max delay of 5 seconds";

pub(super) async fn run<D: Deployment>(run: &mut Run<'_, D>) {
    let before = observed::sums(run).await;
    let bodies = Bodies::new(run).await;
    check!(
        run,
        "Exposes a public HTTP endpoint to receive POST requests with a body size between 1KB and 10MB",
        bodies.sizes(run)
    );
    check!(run, "Reads a custom HTTP header (X-Customer-Tier) from each request", tier_is_read(run));
    check!(run, FILTERS, filtered(run));
    check!(run, "Handle invalid headers gracefully", invalid_headers(run));
    let tenant =
        run.config.tenants.default.as_ref().map_or_else(|| "default".to_owned(), ToString::to_string);
    check!(
        run,
        "POST /ingest with event_timestamp and body is answered {\"status\":\"success\"}",
        example(run, "/ingest", &tenant)
    );
    let tenant = run.new_name("tenant_name");
    let webhook = format!("/v1/webhooks/{tenant}/events/new");
    check!(run, "The same to /v1/webhooks/{tenant_name}/events/new", example(run, &webhook, &tenant));

    let sent = throughput(run, &bodies).await;
    match before {
        Ok(None) => run.report.skip(METRICS, NEEDS_METRICS),
        Ok(Some(before)) => check!(run, METRICS, counted(run, &before, sent)),
        Err(error) => run.report.check(METRICS, Err(error)),
    }
    if run.process.is_some() {
        check!(run, LOGGING, observed::logged(run, "/ingest"));
    } else {
        run.report.skip(LOGGING, NEEDS_LOG);
    }
    run.not_run(&[
        (
            "Is deployed on AWS in the account that is shared",
            "needs AWS: `cdk deploy -c recipe=event-receiver`, then this command with --url and --stack",
        ),
        (
            "README with build and deployment instructions, sample configuration file, how to run locally and on AWS",
            "not a request: README.md, docs/recipes/event-receiver.md, docs/deploy.md, tidegate.toml",
        ),
        ("Dockerfile is required", "not a request: Dockerfile, with the targets `local` and `ingest`"),
        (
            "Terraform is optional but a plus",
            "not a request: the deployment is AWS CDK, see docs/recipes/event-receiver.md",
        ),
        ("Include tests covering core logic", "not a request: `make test`"),
        (
            "Sample output: sample data stored in S3, logs and metrics",
            "not a request: docs/samples; --data DIR keeps the data of this run",
        ),
        (
            "Make reasonable trade-offs and document them",
            "not a request: docs/recipes/event-receiver.md, docs/decisions",
        ),
    ]);
}

/// The load, and what is stored of it. Returns how many requests and archive objects there were at least.
async fn throughput<D: Deployment>(run: &mut Run<'_, D>, bodies: &Bodies) -> [usize; 2] {
    let tenants = tenants(run, 10);
    let begun = shared::time::Clock::system().now();
    let pace = run.pace(EVERY, DOCUMENT);
    let load = Load::send(&run.client, pace, run.load, |number| bodies.call(number, &tenants)).await;
    let count = load.answers.len();
    run.report.check(
        "High throughput (> 100 requests/sec)",
        load.accepted().map(|seen| {
            format!(
                "{seen}\nbodies of {SMALLEST} to {BODY_BYTES} bytes, {:.1} MB in all",
                Bodies::sent(count)
            )
        }),
    );
    let ids: BTreeSet<_> = (0..count).map(|number| format!("e{number}")).collect();
    let (within, limit) = (run.soon(), run.limit(FLUSH));
    let mut found = Vec::new();
    check_stored!(run, stored, "Process and store events correctly in S3", async {
        found = stored.archived_alone(&tenants, &ids, within).await?;
        bodies.are_stored(&found, &tenants)?;
        anyhow::Ok(format!(
            "{} events accepted, each in the archive once, with its tenant, tier and text",
            found.len()
        ))
    });
    let late = fresh(&found, limit);
    check_stored!(run, _stored, "Data reaches S3 near real time (within a few seconds)", async {
        late.as_ref().map(Clone::clone).map_err(|error| anyhow::anyhow!("{error:#}"))
    });
    let mut objects = 0;
    let large = bodies.large(count, &run.config);
    check_stored!(run, stored, "Reduce the number of S3 writes as much as possible", async {
        ensure!(!found.is_empty(), "the events are not stored");
        let (shards, took) = (stored.shards().await?, load.took());
        let writes = Writes::since(stored, begun).await?;
        objects = writes.archive.len();
        writes.are_few(&Bound { tenants: tenants.clone(), events: count, took, shards, large })
    });
    let ours = "Each batch can contain multiple events but should not exceed 5MB per file";
    check_stored!(run, stored, ours, async {
        let seen = batched(&found)?;
        let writes = Writes::since(stored, begun).await?;
        anyhow::Ok(format!("{seen}; {}", writes.are_small()?))
    });
    let what = "Demonstrate basic batching and throughput optimization";
    check_stored!(run, _stored, what, async { batched(&found) });
    let object_bytes = run.config.archive.object_bytes;
    let (client, tenant, patience) = (run.client.clone(), run.new_name("accept-noise"), run.patience);
    check_stored!(run, stored, FLUSHED, async {
        let late = late?;
        let full = flushed_by_size(&client, stored, tenant, object_bytes, within, patience).await?;
        anyhow::Ok(format!("after a delay: {late}\non size: {full}"))
    });
    [count, objects]
}

/// Sends more within a window than one object holds.
async fn flushed_by_size<D: Deployment>(
    client: &Client,
    stored: &mut Stored<'_, D>,
    tenant: String,
    object_bytes: usize,
    within: Duration,
    patience: u32,
) -> anyhow::Result<String> {
    let begun = stored.now();
    let noise = noise();
    let ids: Vec<_> = (0..NOISE_EVENTS).map(|number| format!("n{number}")).collect();
    let calls = ids.iter().map(|id| {
        let call = Call::text("/ingest", format!("{id} {noise}")).header("Idempotency-Key", id);
        call.header("X-Customer-Tier", "pro").header("X-Tenant-ID", &tenant)
    });
    let calls: Vec<_> = calls.collect();
    let pace = Pace::new(NOISE_EVERY, 1.0 / NOISE_EVERY.as_secs_f64(), None, patience);
    let load = Load::send(client, pace, NOISE_EVERY * NOISE_EVENTS, |number| calls[number].clone()).await;
    // As a 503 asks for. Under the same id an event counts once.
    let is_busy = |answer: &anyhow::Result<Answer>| answer.as_ref().is_ok_and(|answer| answer.status == 503);
    let mut again = 0;
    for (call, answer) in calls.iter().zip(load.answers).filter(|(_, answer)| is_busy(answer)) {
        again += 1;
        client.expect(202, call.clone()).await.with_context(|| format!("sent again after {answer:?}"))?;
    }
    let ids = ids.into_iter().collect();
    let found = stored.archived_alone(&[tenant], &ids, within).await?;
    let seen = Writes::since(stored, begun).await?.closed_by_size(&found, object_bytes)?;
    Ok(if again > 0 { format!("{seen}; {again} were sent again after a 503") } else { seen })
}

/// A text that gzip makes a quarter smaller, not more, and that has nothing to redact.
fn noise() -> String {
    const LETTERS: &[u8; 64] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-!?,;:+*/()";
    let mut state = 1_u64;
    let mut letter = |_| {
        // Knuth's generator, whose high bits are the random ones.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(LETTERS[usize::try_from(state >> 58).unwrap_or(0)])
    };
    (0..NOISE_BYTES).map(&mut letter).collect()
}

/// Log text of which each body is a part.
struct Bodies {
    text: Bytes,
    /// Large bodies must be compressed: this URL refuses them otherwise.
    compresses: bool,
}

impl Bodies {
    async fn new<D>(run: &Run<'_, D>) -> Self {
        let mut text = String::with_capacity(BODY_BYTES + 100);
        for line in 0_u32.. {
            let hash = line.wrapping_mul(2_654_435_761);
            writeln!(
                text,
                "INFO request {hash:08x} of user u{:04} GET /reports/{line:x} {} ms",
                hash % 9_973,
                line % 997
            )
            .expect("writing to a string does not fail");
            if text.len() >= BODY_BYTES {
                break;
            }
        }
        text.truncate(BODY_BYTES);
        let mut bodies = Self { text: text.into(), compresses: false };
        let plain = run.client.send(bodies.of(BODY_BYTES, "probe").header("X-Customer-Tier", "pro")).await;
        bodies.compresses = is_refused_before_ingest(&plain);
        bodies
    }

    /// A body of `bytes` bytes.
    fn of(&self, bytes: usize, id: &str) -> Call {
        let text = self.text.slice(..bytes);
        let call = if self.compresses && bytes >= COMPRESS_FROM {
            // NDJSON, because a Function URL takes a compressed `text/plain` for text and damages it.
            let (begin, end) = (r#"{"text":""#, "\"}\n");
            let text = String::from_utf8_lossy(&text[..bytes - begin.len() - end.len()]).replace('\n', " ");
            let line = format!("{begin}{text}{end}");
            let packed = gzip::compress(line.as_bytes(), gzip::Level::FAST);
            Call::post("/ingest", "application/x-ndjson", packed).header("Content-Encoding", "gzip")
        } else {
            Call::text("/ingest", text)
        };
        call.header("Idempotency-Key", id)
    }

    async fn sizes<D>(&self, run: &Run<'_, D>) -> anyhow::Result<String> {
        let mut seen = Vec::new();
        for (id, bytes) in [("smallest", SMALLEST), ("largest", BODY_BYTES)] {
            let call = self.of(bytes, &run.new_name(id)).header("X-Customer-Tier", "pro");
            let answer = run.client.expect(202, call).await?;
            seen.push(format!("{bytes} bytes: 202 after {:.1?}", answer.took));
        }
        if self.compresses {
            seen.push("the larger compressed: a Function URL takes a request event of 6 MiB".to_owned());
        }
        let call = Call::text("/ingest", vec![b'x'; BODY_BYTES + 1]).header("X-Customer-Tier", "pro");
        if !self.compresses {
            refused(&run.client, call, 413, "body_too_large").await?;
            seen.push("one byte more: 413 body_too_large".to_owned());
        }
        Ok(seen.join("; "))
    }

    /// The size of body number `number`. Ten times larger bodies are ten times rarer, so that all sizes have the same
    /// share of the bytes; a few have the largest size.
    fn size(number: usize) -> usize {
        if number % 1_500 == 250 {
            return BODY_BYTES;
        }
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "sizes are small"
        )]
        {
            let (smallest, largest) = (SMALLEST as f64, BODY_BYTES as f64);
            // The golden ratio spreads the numbers evenly.
            let share = (number as f64 * 0.618_033_988_75).fract();
            (smallest / (1.0 - share * (1.0 - smallest / largest))) as usize
        }
    }

    /// Megabytes of the first bodies.
    #[expect(clippy::cast_precision_loss, reason = "it is for people")]
    fn sent(count: usize) -> f64 {
        (0..count).map(Self::size).sum::<usize>() as f64 / 1e6
    }

    /// Those of the first `count` that may not fit a stream record, or an archive object, and in how many parts they may be
    /// stored beside it.
    fn large(&self, count: usize, config: &Config) -> BTreeMap<String, Parts> {
        // The text is as compressible everywhere. A tenth more is for what is stored with it.
        let whole = gzip::compress(&self.text, gzip::Level::FAST).len();
        let stored = |number: usize| Self::size(number) * whole / BODY_BYTES * 11 / 10;
        let parts = |bytes: usize, from: usize| if bytes > from { bytes.div_ceil(OBJECT_BYTES) } else { 0 };
        let all = (0..count).map(|number| {
            let bytes = stored(number);
            let (record, object) = (config.publish.record_bytes, config.archive.object_bytes);
            (number, Parts { claims: parts(bytes, record), texts: parts(bytes, object) })
        });
        let large = all.filter(|(_, parts)| *parts != Parts::default());
        large.map(|(number, parts)| (format!("e{number}"), parts)).collect()
    }

    /// Each event has what was sent under its number. Large texts that are stored apart are not read.
    fn are_stored(&self, found: &[Archived], tenants: &[String]) -> anyhow::Result<()> {
        for event in found {
            let (id, line) = (event.id(), &event.line);
            let number: usize = id.trim_start_matches('e').parse()?;
            let (tenant, tier) = (&tenants[number % tenants.len()], TIERS[number % TIERS.len()]);
            ensure!(
                line.facts.tenant.as_str() == tenant,
                "{id} of {tenant} is stored as {}'s",
                line.facts.tenant
            );
            ensure!(line.facts.tier.as_str() == tier, "{id} was sent with tier {tier}: {}", line.facts.tier);
            // Compressed bodies are JSON around a shorter text.
            let is_whole = line.text.as_bytes() == &self.text[..Self::size(number)];
            ensure!(is_whole || line.claim_check.is_some() || self.compresses, "{id} has another text");
        }
        Ok(())
    }

    fn call(&self, number: usize, tenants: &[String]) -> Call {
        let call = self.of(Self::size(number), &format!("e{number}"));
        let call = call.header("X-Customer-Tier", TIERS[number % TIERS.len()]);
        call.header("X-Tenant-ID", &tenants[number % tenants.len()])
    }
}

/// Whether something before ingest refused a large body, or hung up. A refusal by ingest is a problem document: then large
/// bodies are not accepted, and compressing them would hide it.
fn is_refused_before_ingest(plain: &anyhow::Result<Answer>) -> bool {
    !plain.as_ref().is_ok_and(|answer| answer.status == 202 || is_problem(answer))
}

async fn tier_is_read<D: Deployment>(run: &Run<'_, D>) -> anyhow::Result<String> {
    let tenant = run.new_name("accept-tiers");
    for tier in TIERS {
        let call = Call::text("/ingest", format!("an event of {tier}")).header("X-Customer-Tier", tier);
        run.client.expect(202, call.header("X-Tenant-ID", &tenant).header("Idempotency-Key", tier)).await?;
    }
    let Some(stored) = &run.stored else {
        return Ok(format!("202 for each of {}", TIERS.join(", ")));
    };
    for tier in TIERS {
        let item = stored.item(&tenant, tier, run.soon()).await?;
        ensure!(text(&item, "tier")? == tier, "the item of the event with tier {tier} has {}", item["tier"]);
    }
    Ok(format!("202 for each of {}, and the tier is stored with the event", TIERS.join(", ")))
}

async fn filtered<D: Deployment>(run: &Run<'_, D>) -> anyhow::Result<String> {
    let event = |tier: &str| Call::text("/ingest", "x").header("X-Customer-Tier", tier);
    let gold = refused(&run.client, event("gold"), 403, "tier_not_allowed").await?;
    let allowed = run.config.tiers.listed();
    let detail = gold.json()["detail"].as_str().unwrap_or_default().to_owned();
    ensure!(detail.contains(&allowed), "the configuration allows {allowed}; the answer says: {detail}");
    let restarted = match run.process.as_deref() {
        Some(process) => started_with_gold(process).await?,
        None => "another configuration needs a start: without --url it is tried".to_owned(),
    };
    Ok(format!("403 tier_not_allowed: {detail}\n{restarted}"))
}

/// Another start with another set.
async fn started_with_gold(process: &LocalRun) -> anyhow::Result<String> {
    let mut other = process.another(&[("TIDEGATE__TIERS__ALLOWED", r#"["gold"]"#.to_owned())]).await?;
    let client = Client::new(other.url())?;
    let event = |tier: &str| Call::text("/ingest", "x").header("X-Customer-Tier", tier);
    client.expect(202, event("gold")).await?;
    refused(&client, event("free"), 403, "tier_not_allowed").await?;
    other.stop().await?;
    Ok("started again with only `gold` allowed: 202 for gold, 403 for free".to_owned())
}

async fn invalid_headers<D: Deployment>(run: &Run<'_, D>) -> anyhow::Result<String> {
    let client = &run.client;
    refused(client, Call::text("/ingest", "x"), 403, "tier_missing").await?;
    let long = "x".repeat(5_000);
    for tier in ["", "PRO", "prö", &long] {
        refused(client, Call::text("/ingest", "x").header("X-Customer-Tier", tier), 403, "tier_not_allowed")
            .await?;
    }
    refused(client, Call::text("/ingest", "x").header("X-Customer-Tier", "free, pro"), 400, "tier_conflict")
        .await?;
    let event = || Call::text("/ingest", "x").header("X-Customer-Tier", "pro");
    refused(client, event().header("X-Tenant-ID", "no/slash"), 400, "tenant_invalid").await?;
    refused(client, event().header("Content-Encoding", "br"), 415, "content_encoding_unsupported").await?;
    Ok("403 for a tier that is missing, empty, in capitals, not ASCII or 5,000 bytes long; 400 for two tiers; 400 and 415 for a bad tenant and coding".to_owned())
}

/// The document's request, and what is stored of it.
async fn example<D: Deployment>(run: &Run<'_, D>, path: &str, tenant: &str) -> anyhow::Result<String> {
    let event = json!({"event_timestamp": "2024-01-11T01:42:50.234200+00:00", "body": "what is the capital of India?"});
    let answer = run.client.expect(202, Call::json(path, &event).header("X-Customer-Tier", "pro")).await?;
    ensure!(answer.json()["status"] == "success", "{answer}");
    let Some(stored) = &run.stored else { return Ok(answer.to_string()) };
    let item = stored.item(tenant, &answer.event_id()?, run.soon()).await?;
    let found = [text(&item, "event_time")?, text(&item, "original_text")?];
    let expected = ["2024-01-11T01:42:50.234200Z", "what is the capital of India?"];
    ensure!(found == expected, "stored is {found:?}, expected: {expected:?}");
    Ok(format!("{answer}\nstored for {tenant} with this time and body"))
}

/// `sent` requests and archive objects of the load. Before it, [`filtered`] and [`invalid_headers`] had six refused.
async fn counted<D: Deployment>(run: &Run<'_, D>, before: &Sums, sent: [usize; 2]) -> anyhow::Result<String> {
    let [requests, objects] = sent.map(|count| count as u64);
    let expected = [
        ("requests_received", requests),
        ("objects_written", objects.max(1)),
        ("requests_filtered", FILTERED),
    ];
    observed::counted(run, before, &expected).await
}

#[cfg(test)]
mod tests {
    use http::header::CONTENT_TYPE;
    use http::{HeaderMap, HeaderValue};

    use super::*;

    #[test]
    fn large_bodies_are_compressed_only_if_something_before_ingest_refuses_them() {
        let answer = |status, media_type: &'static str| {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(media_type))]);
            Ok(Answer { status, headers, body: Bytes::new(), took: Duration::ZERO })
        };
        assert!(!is_refused_before_ingest(&answer(202, "application/json")));
        assert!(!is_refused_before_ingest(&answer(413, "application/problem+json")));
        assert!(!is_refused_before_ingest(&answer(503, "application/problem+json")));
        assert!(is_refused_before_ingest(&answer(413, "application/json")));
        assert!(is_refused_before_ingest(&Err(anyhow::anyhow!("connection reset"))));
    }

    #[test]
    fn bodies_have_every_size_and_the_larger_are_rarer() {
        let sizes: Vec<_> = (0..6_000).map(Bodies::size).collect();
        assert!(sizes.iter().all(|size| (SMALLEST..=BODY_BYTES).contains(size)));
        let between = |from: usize, to: usize| sizes.iter().filter(|size| (from..to).contains(size)).count();
        let counts = [1_000, 10_000, 100_000, 1_000_000, BODY_BYTES + 1]
            .windows(2)
            .map(|ends| between(ends[0], ends[1]))
            .collect::<Vec<_>>();
        assert!(counts.windows(2).all(|pair| pair[0] > 3 * pair[1]) && counts[3] > 3, "{counts:?}");
    }
}
