//! The acceptance run (`make accept`): minutes of load in real time, on the release build of `tidegate local` at the
//! pace of a deployment. Prints a transcript, and fails if a promise is broken. With an argument, only the runs whose
//! titles contain it.

#![expect(clippy::unwrap_used, reason = "a run that cannot continue has failed")]

use std::collections::BTreeMap;
use std::io::Read;
use std::time::{Duration, Instant, SystemTime};

use flate2::read::MultiGzDecoder;
use serde_json::{Value, json};
use shared::noise::noise;
use tests::site::{DEADLINE, LocalRun, Site, answer, eventually, signal, within};
use tests::stored::StoredData;
use tests::timed::{TimedAnswer, at, now};

/// Time from accepted to durable, for 99 of 100 events.
const FRESHNESS: Duration = Duration::from_secs(5);
/// Time to an answer at the 99th percentile, even without the stream.
const ANSWER: Duration = Duration::from_millis(500);
/// The batching window: a shard writes at most one object in each.
const WINDOW: Duration = Duration::from_secs(3);
const OBJECT_BYTES: usize = 5_000_000;
const MINUTE: Duration = Duration::from_mins(1);
/// Between two requests, for 1,000 a minute.
const EVERY: Duration = Duration::from_millis(60);
/// The longest time-out that a function may have.
const SIMULATED_WORK: &str = "[transform]\nsimulate_work = 0.05\n[consumer]\ntimeout_seconds = 900\n";

#[tokio::main]
async fn main() {
    let program = std::env::current_exe().unwrap().with_file_name("tidegate");
    assert!(program.exists(), "{} is not built: use `make accept`", program.display());

    let only = std::env::args().nth(1).unwrap_or_default();
    let begins = |title: &str| {
        let begins = title.contains(&only);
        if begins {
            println!("\n# {title}");
        }
        begins
    };
    let site = || Site::at_deployed_pace(&program);
    if begins("1,000 requests a minute, JSON and text, for a minute") {
        load(&site(), EVERY).await;
    }
    if begins("200 events a second for a minute, over 2 shards") {
        load(&site().shards(2), Duration::from_millis(5)).await;
    }
    if begins("200 requests a second for a minute, 30 s of it without the stream: refusing, then hanging") {
        outage(&Site::at_deployed_pace(program.with_file_name("tidegate-with-faults")).shards(2)).await;
    }
    if begins("60 events of 1 MB that do not compress") {
        incompressible(&site()).await;
    }
    if begins("40 events of 320 kB that do not compress, objects limited to 1,000,000 bytes") {
        rolling(&site().configuration("[archive]\nobject_bytes = 1_000_000\n")).await;
    }
    if begins("1,000 requests a minute for a minute, 0.05 s of simulated work a character, one shard") {
        simulated_work(&site().configuration(SIMULATED_WORK)).await;
    }
    if begins(
        "the same for 20 s with texts of at most 200 characters, the consumer killed twice at its simulated work",
    ) {
        killed_at_work(&site().configuration(SIMULATED_WORK)).await;
    }
    if begins(
        "dispatch: a source of 50 events a second for a minute, a target of 20 calls a second that fails and goes away",
    ) {
        tests::bridge::run(&program).await;
    }
    println!("\nAll promises kept.");
}

/// One request every `interval` for a minute.
async fn load(site: &Site, interval: Duration) {
    let pipeline = std::sync::Arc::new(site.start());
    let begun = Instant::now();
    let answers = requests(&pipeline, interval, MINUTE, short_text).await;
    let took = begun.elapsed();
    let accepted = answered(&answers, took);
    let data = site.stored();
    stored_once(&data, accepted.len()).await;

    let freshness = freshness(&data, site, &accepted);
    print_freshness(&freshness);
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
    let (answers, ()) =
        futures::join!(requests(&pipeline, Duration::from_millis(5), MINUTE, short_text), faults);
    let accepted = answered(&answers, begun.elapsed());
    let spilled = pipeline.metric("events_spilled").await;
    println!("spilled       {spilled}");
    assert!(spilled > 0, "the stream was unavailable, so events must spill");
    assert!(latency(&answers, 99) <= ANSWER, "99 of 100 requests are answered within {ANSWER:?}");
    stored_once(&site.stored(), accepted.len()).await;
    println!("redelivered   {}", pipeline.metric("events_redelivered").await);
    stop(pipeline);
}

/// 1,000 requests a minute with texts of up to 1,000 characters. What bounds the time until an event is stored: the mapping
/// sends a shard's next batch when the one before is done. So an event waits for at most one batch before its own, and each
/// takes as long as its longest text. To that come a poll, the window, and the writes.
async fn simulated_work(site: &Site) {
    let pipeline = std::sync::Arc::new(site.start());
    let begun = Instant::now();
    let answers = requests(&pipeline, EVERY, MINUTE, mixed_text).await;
    let accepted = answered(&answers, begun.elapsed());
    assert!(latency(&answers, 99) <= ANSWER, "99 of 100 requests are answered within {ANSWER:?}");
    let texts: Vec<_> = (0..answers.len()).map(|n| mixed_text(n).len()).collect();
    let of = |length| texts.iter().filter(|text| **text == length).count();
    println!("texts         {} of 500 characters, {} of 1,000", of(500), of(1_000));

    // Half of 900 s, at most a minute, is reserved.
    let request = pipeline.post("/ingest").header("Content-Type", "text/plain").header("X-Tenant-ID", "acme");
    let (status, problem) = answer(request.body("x".repeat(16_801))).await;
    println!("one too many  {status} {}", problem["detail"].as_str().unwrap());
    assert_eq!((status, &problem["code"], &problem["limit"]), (413, &"work_too_long".into(), &16_800.into()));

    let longest = work(texts.into_iter().max().unwrap());
    let limit = 2 * longest + Duration::from_secs(10);
    let data = site.stored();
    stored_once_within(limit, &data, accepted.len()).await;
    let freshness = freshness(&data, site, &accepted);
    print_freshness(&freshness);
    println!("limit         {limit:?}: twice the longest work ({longest:?}) and 10 s");
    assert!(at(&freshness, 100) <= limit, "every event is stored within {limit:?}");
    stop(pipeline);
    balanced(site);
}

/// What a killed batch did is lost. It is split in two halves, which are worked on one after the other.
async fn killed_at_work(site: &Site) {
    const KILLS: [Duration; 2] = [Duration::from_secs(9), Duration::from_secs(14)];
    let pipeline = std::sync::Arc::new(site.start());
    let begun = Instant::now();
    let kills = async {
        for at in KILLS {
            tokio::time::sleep_until((begun + at).into()).await;
            for consumer in pipeline.consumers() {
                signal(consumer, "KILL");
            }
        }
    };
    let short = |n| "x".repeat(1 + n * 37 % 200);
    let (answers, ()) = futures::join!(requests(&pipeline, EVERY, Duration::from_secs(20), short), kills);
    let accepted = answered(&answers, begun.elapsed());
    // Each kill costs at most the work that was done, and that of one more half.
    let limit = 6 * work(200) + Duration::from_secs(10);
    let data = site.stored();
    stored_once_within(limit, &data, accepted.len()).await;
    print_freshness(&freshness(&data, site, &accepted));
    let log = std::sync::Arc::into_inner(pipeline).unwrap().stop_and_read_log();
    let failed = log.lines().filter(|line| line.contains("a batch failed; it is split")).count();
    println!("killed        {failed} batches at work");
    assert_eq!(failed, KILLS.len(), "the consumer was killed while it worked: {log}");
    balanced(site);
}

/// Sends one request every `interval` for `duration`, and does not wait for answers in between.
async fn requests(
    pipeline: &std::sync::Arc<LocalRun>,
    interval: Duration,
    duration: Duration,
    text: fn(usize) -> String,
) -> Vec<TimedAnswer> {
    let begun = Instant::now();
    let mut requests = Vec::new();
    let mut next = tokio::time::interval(interval);
    for n in 0.. {
        next.tick().await;
        if begun.elapsed() >= duration {
            break;
        }
        let pipeline = pipeline.clone();
        requests.push(tokio::spawn(async move { send(&pipeline, n, text(n)).await }));
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
    stored_once_within(DEADLINE, data, accepted).await;
}

async fn stored_once_within(limit: Duration, data: &StoredData, accepted: usize) {
    within(limit, "every event in the archive", || (data.archived().len() == accepted).then_some(())).await;
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

fn short_text(n: usize) -> String {
    format!("User {n} called 555-0199 and wrote to user{n}@example.com about request {n}")
}

/// Nearly all texts have up to 200 characters, six of a thousand have 500 or 1,000.
fn mixed_text(n: usize) -> String {
    let length = match n % 500 {
        250 => 1_000,
        100 | 400 => 500,
        short => 1 + short * 37 % 200,
    };
    short_text(n).chars().cycle().take(length).collect()
}

/// The simulated work on a text of so many characters.
fn work(characters: usize) -> Duration {
    Duration::from_millis(50) * u32::try_from(characters).unwrap()
}

fn balanced(site: &Site) {
    let (code, report) = site.audit();
    println!(
        "audit         {} stored, {} missing",
        report["total"]["ingest"]["stored"], report["total"]["ingest"]["missing"]
    );
    assert_eq!(code, 0, "the audit finds nothing: {report:#}");
}

fn print_freshness(freshness: &[Duration]) {
    let [half, most, worst] = [50, 99, 100].map(|percent| at(freshness, percent));
    println!("freshness     p50 {half:?}, p99 {most:?}, worst {worst:?} (accepted to durable object)");
}

/// Request number `n`: JSON or text, of one of ten tenants.
async fn send(pipeline: &LocalRun, n: usize, text: String) -> TimedAnswer {
    let (tenant, id) = (format!("tenant-{}", n % 10), format!("e{n}"));
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
