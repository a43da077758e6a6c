//! "High-Throughput Event Receiver Service".

use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::Bytes;
use operate::deployment::Deployment;
use serde_json::json;
use shared::gzip;
use shared::limits::BODY_BYTES;
use tokio::time::{Instant, sleep};

use super::{
    NEEDS_METRICS, check, check_stored, few_writes, fresh, is_problem, refused, small_objects, tenants,
};
use crate::Run;
use crate::client::{Answer, Call};
use crate::load::Load;
use crate::stored::{SOON, text};

/// 100 requests a second.
const EVERY: Duration = Duration::from_millis(10);
/// "Flushed … after a max delay of 5 seconds".
const FLUSH: Duration = Duration::from_secs(5);
const SMALLEST: usize = 1_024;
const TIERS: [&str; 3] = ["free", "pro", "enterprise"];
/// A Function URL takes less than this.
const COMPRESS_FROM: usize = 4_000_000;

pub(super) async fn run<D: Deployment>(run: &mut Run<'_, D>) {
    let bodies = Bodies::new(run).await;
    check!(
        run,
        "Exposes a public HTTP endpoint to receive POST requests with a body size between 1KB and 10MB",
        bodies.sizes(run)
    );
    check!(run, "Reads a custom HTTP header (X-Customer-Tier) from each request", tier_is_read(run));
    check!(
        run,
        "Filters incoming requests by allowing only a predefined set of header values, loaded at service startup",
        filtered(run)
    );
    check!(run, "Handle invalid headers gracefully", invalid_headers(run));
    check!(
        run,
        "POST /ingest with event_timestamp and body is answered {\"status\":\"success\"}",
        example(run, "/ingest")
    );
    let webhook = format!("/v1/webhooks/{}/events/new", run.new_name("tenant_name"));
    check!(run, "The same to /v1/webhooks/{tenant_name}/events/new", example(run, &webhook));

    let tenants = tenants(run, 10);
    let load =
        Load::send(&run.client, EVERY, run.rate, run.load, |number| bodies.call(number, &tenants)).await;
    run.report.check(
        "High throughput (> 100 requests/sec)",
        load.all_answered(202).map(|seen| {
            format!(
                "{seen}\nbodies of {SMALLEST} to {BODY_BYTES} bytes, {:.1} MB in all",
                Bodies::sent(load.answers.len())
            )
        }),
    );
    let ids: BTreeSet<_> = (0..load.answers.len()).map(|number| format!("e{number}")).collect();
    let within = run.limit(SOON);
    let mut found = Vec::new();
    check_stored!(run, stored, "Process and store events correctly in S3", async {
        found = stored.archived_once(&tenants, &ids, within).await?;
        anyhow::Ok(format!("{} events accepted, each in the archive once", found.len()))
    });
    let limit = run.limit(FLUSH);
    check_stored!(run, _stored, "Data reaches S3 near real time (within a few seconds)", async {
        fresh(&found, limit)
    });
    check_stored!(
        run,
        stored,
        "Reduce the number of S3 writes as much as possible",
        few_writes(stored, ids.len(), load.took)
    );
    check_stored!(
        run,
        stored,
        "Each batch can contain multiple events but should not exceed 5MB per file",
        small_objects(stored)
    );
    check_stored!(
        run,
        _stored,
        "Batches are flushed either on size threshold or after a max delay of 5 seconds",
        async { fresh(&found, limit) }
    );

    match metrics(run).await {
        Ok(None) => run.report.skip("Metrics (req/sec, S3 writes/sec, filtered reqs)", NEEDS_METRICS),
        found => run
            .report
            .check("Metrics (req/sec, S3 writes/sec, filtered reqs)", found.map(Option::unwrap_or_default)),
    }
    match &run.process {
        Some(process) => {
            let found = logged(&process.log());
            run.report.check("Logging for success/failure cases", found);
        }
        None => run
            .report
            .skip("Logging for success/failure cases", "needs the process's log, or AWS: CloudWatch Logs"),
    }
    run.not_run(&[
        (
            "Is deployed on AWS in the account that is shared",
            "needs AWS: `cdk deploy -c recipe=event-receiver`, then this command with --url and --stack",
        ),
        (
            "README with build and deployment instructions, sample configuration file",
            "not a request: README.md, docs/recipes/event-receiver.md, tidegate.toml",
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
    ]);
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
        let item = stored.item(&tenant, tier, run.limit(SOON)).await?;
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
    Ok(format!("403 tier_not_allowed: {detail}"))
}

async fn invalid_headers<D: Deployment>(run: &Run<'_, D>) -> anyhow::Result<String> {
    let client = &run.client;
    refused(client, Call::text("/ingest", "x"), 403, "tier_missing").await?;
    let long = "x".repeat(5_000);
    for tier in ["", "PRO", "free, pro", "prö", &long] {
        refused(client, Call::text("/ingest", "x").header("X-Customer-Tier", tier), 403, "tier_not_allowed")
            .await?;
    }
    let event = || Call::text("/ingest", "x").header("X-Customer-Tier", "pro");
    refused(client, event().header("X-Tenant-ID", "no/slash"), 400, "tenant_invalid").await?;
    refused(client, event().header("Content-Encoding", "br"), 415, "content_encoding_unsupported").await?;
    Ok("403 for a tier that is missing, empty, in capitals, doubled, not ASCII or 5,000 bytes long; 400 and 415 for a bad tenant and coding".to_owned())
}

/// The document's request.
async fn example<D: Deployment>(run: &Run<'_, D>, path: &str) -> anyhow::Result<String> {
    let event = json!({"event_timestamp": "2024-01-11T01:42:50.234200+00:00", "body": "what is the capital of India?"});
    let answer = run.client.expect(202, Call::json(path, &event).header("X-Customer-Tier", "pro")).await?;
    ensure!(answer.json()["status"] == "success", "{answer}");
    Ok(answer.to_string())
}

/// `None` if this URL has no metrics.
async fn metrics<D: Deployment>(run: &Run<'_, D>) -> anyhow::Result<Option<String>> {
    let mut seen = Vec::new();
    for name in ["requests_received", "objects_written", "requests_filtered"] {
        // The consumer reports its sums after an invocation.
        let end = Instant::now() + run.limit(SOON);
        let value = loop {
            match run.metric(name).await? {
                None => return Ok(None),
                Some(0) if Instant::now() < end => sleep(Duration::from_millis(250)).await,
                Some(value) => break value,
            }
        };
        ensure!(value > 0, "tidegate_{name}_total is 0");
        seen.push(format!("tidegate_{name}_total {value}"));
    }
    Ok(Some(seen.join(", ")))
}

fn logged(log: &str) -> anyhow::Result<String> {
    let written = log.lines().find(|line| line.contains("archive object written"));
    let written = written.context("no line says that an archive object was written")?;
    Ok(format!(
        "one line for each object; failures are lines at WARN and ERROR. For example:\n{}",
        written.trim()
    ))
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
