//! The acceptance run (`make accept`): minutes of load in real time, on the release build of `tidegate local` at the
//! pace of a deployment. Prints a transcript, and fails if a promise is broken.

#![expect(clippy::unwrap_used, reason = "a run that cannot continue has failed")]

use std::collections::BTreeMap;
use std::io::Read;
use std::time::{Duration, Instant, SystemTime};

use flate2::read::MultiGzDecoder;
use serde_json::{Value, json};
use shared::noise::noise;
use tests::site::{LocalRun, Site, answer, eventually};
use tests::stored::StoredData;

/// Time from accepted to durable, for 99 of 100 events.
const FRESHNESS: Duration = Duration::from_secs(5);
/// Time to an answer at the 99th percentile, even without the stream.
const DEADLINE: Duration = Duration::from_millis(500);
/// The batching window: a shard writes at most one object in each.
const WINDOW: Duration = Duration::from_secs(3);
const OBJECT_BYTES: usize = 5_000_000;
const MINUTE: Duration = Duration::from_mins(1);

#[tokio::main]
async fn main() {
    let program = std::env::current_exe().unwrap().with_file_name("tidegate");
    assert!(program.exists(), "{} is not built: use `make accept`", program.display());

    println!(
        "# A source of 50 events a second for a minute, a target that takes 20 calls a second, fails and goes away"
    );
    tests::bridge::run(&program).await;
    if std::env::args().nth(1).as_deref() == Some("dispatch") {
        return;
    }
    println!("\n# 1,000 requests a minute, JSON and text, for a minute");
    load(&Site::at_deployed_pace(&program), Duration::from_millis(60)).await;
    println!("\n# 200 events a second for a minute, over 2 shards");
    load(&Site::at_deployed_pace(&program).shards(2), Duration::from_millis(5)).await;
    println!("\n# 200 requests a second for a minute, 30 s of it without the stream: refusing, then hanging");
    outage(&Site::at_deployed_pace(program.with_file_name("tidegate-with-faults")).shards(2)).await;
    println!("\n# 60 events of 1 MB that do not compress");
    incompressible(&Site::at_deployed_pace(&program)).await;
    println!("\n# 40 events of 320 kB that do not compress, objects limited to 1,000,000 bytes");
    let site = Site::at_deployed_pace(&program).configuration("[archive]\nobject_bytes = 1_000_000\n");
    rolling(&site).await;
    println!("\nAll promises kept.");
}

/// One request every `interval` for a minute.
async fn load(site: &Site, interval: Duration) {
    let pipeline = std::sync::Arc::new(site.start());
    let begun = Instant::now();
    let answers = requests(&pipeline, interval).await;
    let took = begun.elapsed();
    let accepted = answered(&answers, took);
    let data = site.stored();
    stored_once(&data, accepted.len()).await;

    let freshness = freshness(&data, site, &accepted);
    println!(
        "freshness     p50 {:?}, p99 {:?}, worst {:?} (accepted to durable object)",
        at(&freshness, 50),
        at(&freshness, 99),
        at(&freshness, 100)
    );
    assert!(at(&freshness, 99) <= FRESHNESS, "99 of 100 events are durable within {FRESHNESS:?}");

    let mut by_shard: BTreeMap<String, u64> = BTreeMap::new();
    for key in data.objects("events").keys() {
        let name = key.rsplit('/').next().unwrap();
        *by_shard.entry(name[..20].to_owned()).or_default() += 1;
    }
    let windows = took.as_secs().div_ceil(WINDOW.as_secs()) + 1;
    println!("objects       {by_shard:?}, of {windows} windows");
    assert!(
        by_shard.values().all(|objects| *objects <= windows),
        "at most one object for each shard and window"
    );
    stop(pipeline);
}

/// The same, while the stream is unavailable from second 15 to second 45.
async fn outage(site: &Site) {
    const PHASE: Duration = Duration::from_secs(15);
    let pipeline = std::sync::Arc::new(site.start());
    let faults = async {
        for fault in [Some("refuse"), Some("hang"), None] {
            tokio::time::sleep(PHASE).await;
            site.fault_now("StreamPut", fault);
        }
    };
    let begun = Instant::now();
    let (answers, ()) = futures::join!(requests(&pipeline, Duration::from_millis(5)), faults);
    let accepted = answered(&answers, begun.elapsed());
    let spilled = pipeline.metric("events_spilled").await;
    println!("spilled       {spilled}");
    assert!(spilled > 0, "the stream was unavailable, so events must spill");
    assert!(latency(&answers, 99) <= DEADLINE, "99 of 100 requests are answered within {DEADLINE:?}");
    stored_once(&site.stored(), accepted.len()).await;
    println!("redelivered   {}", pipeline.metric("events_redelivered").await);
    stop(pipeline);
}

/// Sends one request every `interval` for a minute, and does not wait for answers in between.
async fn requests(pipeline: &std::sync::Arc<LocalRun>, interval: Duration) -> Vec<TimedAnswer> {
    let begun = Instant::now();
    let mut requests = Vec::new();
    let mut next = tokio::time::interval(interval);
    for n in 0.. {
        next.tick().await;
        if begun.elapsed() >= MINUTE {
            break;
        }
        let pipeline = pipeline.clone();
        requests.push(tokio::spawn(async move { send(&pipeline, n).await }));
    }
    let mut answers = Vec::new();
    for request in requests {
        answers.push(request.await.unwrap());
    }
    answers
}

/// Prints how the requests were answered, which must be 202. Returns when each event was accepted, by its id.
fn answered(answers: &[TimedAnswer], took: Duration) -> BTreeMap<String, SystemTime> {
    println!("requests      {} in {:.1} s", answers.len(), took.as_secs_f64());
    let refused = answers.iter().filter(|answer| answer.status != 202).count();
    println!("answered 202  {}", answers.len() - refused);
    let [half, most, worst] = [50, 99, 100].map(|percent| latency(answers, percent));
    println!("answer        p50 {half:?}, p99 {most:?}, worst {worst:?}");
    assert_eq!(refused, 0, "every request is answered 202");
    answers.iter().map(|answer| (answer.id.clone(), answer.accepted_at)).collect()
}

/// Waits until `accepted` events are stored, each once.
async fn stored_once(data: &StoredData, accepted: usize) {
    eventually("every event in the archive", || (data.archived().len() == accepted).then_some(())).await;
    let doubled = data.archived().values().filter(|count| **count != 1).count();
    let (items, lines) = (data.items().len(), data.lines().len());
    println!("stored        {items} items, {lines} archive lines, {doubled} doubled");
    assert_eq!((items, doubled), (accepted, 0), "every event is stored once");
}

fn latency(answers: &[TimedAnswer], percent: usize) -> Duration {
    let mut latencies: Vec<_> = answers.iter().map(|answer| answer.latency).collect();
    latencies.sort_unstable();
    at(&latencies, percent)
}

fn stop(pipeline: std::sync::Arc<LocalRun>) {
    let printed = std::sync::Arc::into_inner(pipeline).unwrap().stop();
    println!("stopped       {}", printed.lines().last().unwrap_or_default());
}

struct TimedAnswer {
    id: String,
    status: u16,
    latency: Duration,
    accepted_at: SystemTime,
}

/// Request number `n`: JSON or text, of one of ten tenants.
async fn send(pipeline: &LocalRun, n: usize) -> TimedAnswer {
    let (tenant, id) = (format!("tenant-{}", n % 10), format!("e{n}"));
    let text = format!("User {n} called 555-0199 and wrote to user{n}@example.com about request {n}");
    let request = if n.is_multiple_of(2) {
        pipeline.post("/ingest").json(&json!({"tenant_id": tenant, "log_id": id, "text": text}))
    } else {
        let request = pipeline.post("/ingest").header("Content-Type", "text/plain");
        request.header("X-Tenant-ID", tenant).header("Idempotency-Key", &id).body(text)
    };
    let begun = Instant::now();
    let (status, _) = answer(request).await;
    TimedAnswer { id, status, latency: begun.elapsed(), accepted_at: now() }
}

/// The time from the 202 to the object's file, for each event, sorted.
fn freshness(data: &StoredData, site: &Site, accepted: &BTreeMap<String, SystemTime>) -> Vec<Duration> {
    let mut freshness = Vec::new();
    for (key, bytes) in data.objects("events") {
        let durable =
            std::fs::metadata(site.data().join("s3/tidegate-local").join(key)).unwrap().modified().unwrap();
        let mut lines = String::new();
        MultiGzDecoder::new(&bytes[..]).read_to_string(&mut lines).unwrap();
        for line in lines.lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            let accepted = accepted[line["id"].as_str().unwrap()];
            freshness.push(durable.duration_since(accepted).unwrap_or_default());
        }
    }
    freshness.sort_unstable();
    freshness
}

async fn incompressible(site: &Site) {
    let pipeline = site.start();
    for n in 0..60_u64 {
        let request =
            pipeline.post("/ingest").header("Content-Type", "text/plain").header("X-Tenant-ID", "acme");
        let (status, body) =
            answer(request.header("Idempotency-Key", n.to_string()).body(noise(1_000_000, n))).await;
        assert_eq!(status, 202, "{body}");
    }
    let data = site.stored();
    eventually("every event in the archive", || (data.archived().len() == 60).then_some(())).await;
    for prefix in ["events", "texts", "claims"] {
        let objects = data.objects(prefix);
        let largest = objects.values().map(Vec::len).max().unwrap_or_default();
        println!("{prefix:<13} {} objects, the largest of {largest} bytes", objects.len());
        assert!(largest <= OBJECT_BYTES, "no object exceeds {OBJECT_BYTES} bytes");
    }
    println!("stopped       {}", pipeline.stop().lines().last().unwrap_or_default());
}

/// Lines below the limit of a claim check. They fill one archive object after the other.
async fn rolling(site: &Site) {
    let pipeline = site.start();
    for n in 0..40_u64 {
        let event = json!({"tenant_id": format!("t{}", n % 3), "id": n, "text": noise(320_000, n)});
        assert_eq!(pipeline.send(&event).await.0, 202);
    }
    let data = site.stored();
    eventually("every event in the archive", || (data.archived().len() == 40).then_some(())).await;
    let objects = data.objects("events");
    let sizes: Vec<_> = objects.values().map(Vec::len).collect();
    println!("events        {} objects, the largest of {} bytes", sizes.len(), sizes.iter().max().unwrap());
    assert!(sizes.len() >= 10 && sizes.iter().all(|size| *size <= 1_000_000), "{sizes:?}");
    assert!(data.archived().values().all(|count| *count == 1), "every event is stored once");
    println!("stopped       {}", pipeline.stop().lines().last().unwrap_or_default());
}

/// The percentile `percent` of the sorted values.
fn at(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() * percent).div_ceil(100).clamp(1, sorted.len()) - 1]
}

#[expect(clippy::disallowed_methods, reason = "this run is in real time")]
fn now() -> SystemTime {
    SystemTime::now()
}
