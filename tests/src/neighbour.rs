//! A good tenant beside one bad client, in real time: 64 connections that send the same kind of request as fast as they are
//! answered. Prints the good tenant's latency and freshness, quiet and attacked, and fails if a promise is broken.
//!
//! The bad client is a process of its own with the lowest priority: elsewhere it has its own machine, and its own work does not
//! delay the good tenant's.

#![expect(clippy::unwrap_used, reason = "this is test code, though not in a test target")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use shared::noise::noise;

use crate::site::{LocalRun, Site, answer};
use crate::timed::{TimedAnswer, at, now};

const CONNECTIONS: usize = 64;
/// How long each attack is, and the quiet time to compare with.
const DURATION: Duration = Duration::from_secs(20);
/// Between two requests of the good tenant.
const EVERY: Duration = Duration::from_millis(20);
/// Time from accepted to durable, for 99 of 100 events.
const FRESHNESS: Duration = Duration::from_secs(5);
/// How long to wait for the good tenant's last events.
const PATIENCE: Duration = Duration::from_mins(2);

const JSON: &str = "application/json";
const LINES: &str = "application/x-ndjson";
const TEXT: &str = "text/plain";

/// Each is made only in the process that sends it: the bodies take a while.
type Make = fn() -> Attack;

const ATTACKS: [(&str, Make); 7] = [
    ("one small event a request", || Attack::new(JSON, r#"{"text":"x"}"#)),
    ("10,000 empty objects a request", || Attack::new(LINES, "{}\n".repeat(10_000))),
    ("10 MB of text that does not compress", || Attack::new(TEXT, noise(10_000_000, 1))),
    ("gzip of 10 MB of zeros", || Attack::gzip(TEXT, &b"0".repeat(10_000_000))),
    ("gzip of 10 MB of nested arrays", || {
        let nested = format!("{}{}", "[".repeat(100), "]".repeat(100));
        let nested = format!("{{\"a\":[{}]}}", vec![nested; 50_000].join(","));
        Attack::gzip(JSON, nested.as_bytes())
    }),
    ("gzip of an object of 700,000 members", || {
        let mut names = String::from("{\"text\":\"x\"");
        for n in 0..700_000 {
            write!(names, ",\"{n:x}\":0").unwrap();
        }
        names.push('}');
        Attack::gzip(JSON, names.as_bytes())
    }),
    ("gzip of 10 MB of e-mail addresses", || Attack::gzip(TEXT, "a@b.example ".repeat(830_000).as_bytes())),
];

/// What the bad client sends, always under its own tenant.
struct Attack {
    content_type: &'static str,
    is_gzip: bool,
    body: Bytes,
}

impl Attack {
    fn new(content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self { content_type, is_gzip: false, body: body.into() }
    }

    fn gzip(content_type: &'static str, body: &[u8]) -> Self {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        gzip.write_all(body).unwrap();
        Self { is_gzip: true, ..Self::new(content_type, gzip.finish().unwrap()) }
    }

    /// Sends until `stop`, one request after the other. Returns how often each status was answered; 0 is no answer.
    async fn send(&self, url: &str, stop: &AtomicBool) -> BTreeMap<u16, usize> {
        let client = reqwest::Client::builder().timeout(Duration::from_mins(1)).build().unwrap();
        let mut statuses = BTreeMap::new();
        while !stop.load(Ordering::Relaxed) {
            let mut request = client
                .post(format!("{url}/ingest"))
                .header("X-Customer-Tier", "pro")
                .header("X-Tenant-ID", "bad")
                .header("Content-Type", self.content_type);
            if self.is_gzip {
                request = request.header("Content-Encoding", "gzip");
            }
            let response = request.body(self.body.clone()).send().await;
            *statuses.entry(response.map_or(0, |response| response.status().as_u16())).or_default() += 1;
        }
        statuses
    }
}

/// The good tenant's events: how long each answer took, and how long after it the event was durable. Sorted.
struct Seen {
    latency: Vec<Duration>,
    freshness: Vec<Duration>,
    refused: usize,
}

impl Seen {
    fn print(&self, name: &str, statuses: &str) {
        let of =
            |sorted: &[Duration], percent| format!("{:>8.1} ms", 1e3 * at(sorted, percent).as_secs_f64());
        let (latency, freshness) = (&self.latency, &self.freshness);
        println!(
            "{name:<40} {} {} {} {} {:>3} {statuses}",
            of(latency, 50),
            of(latency, 99),
            of(freshness, 50),
            of(freshness, 99),
            self.refused
        );
    }
}

/// The bad client's process: sends the attack with this name until its standard input ends, then prints how often each status was
/// answered.
pub async fn attack(name: &str, url: &str) {
    let (_, attack) = ATTACKS.into_iter().find(|(other, _)| *other == name).unwrap();
    let attack = Arc::new(attack());
    let stop = Arc::new(AtomicBool::new(false));
    let connections: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let (attack, url, stop) = (Arc::clone(&attack), url.to_owned(), Arc::clone(&stop));
            tokio::spawn(async move { attack.send(&url, &stop).await })
        })
        .collect();
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await.unwrap().unwrap();
    stop.store(true, Ordering::Relaxed);
    let mut statuses: BTreeMap<u16, usize> = BTreeMap::new();
    for connection in connections {
        for (status, count) in connection.await.unwrap() {
            *statuses.entry(status).or_default() += count;
        }
    }
    let statuses: Vec<_> = statuses.iter().map(|(status, count)| format!("{status}: {count}")).collect();
    print!("{}", statuses.join(", "));
}

/// Starts [`attack`].
fn start(attack: &str, url: &str) -> Child {
    let this = std::env::current_exe().unwrap();
    let mut command = Command::new("nice");
    command.args(["-n", "19"]).arg(this).args(["attack", attack, url]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

pub async fn run(program: &Path, only: &str) {
    println!(
        "{:<40} {:>11} {:>11} {:>11} {:>11}     answers to the bad client",
        "the bad client sends", "answer p50", "p99", "durable p50", "p99"
    );
    let quiet = beside(program, None).await.0;
    quiet.print("nothing", "");
    let mut broken = Vec::new();
    for (name, _) in ATTACKS.into_iter().filter(|(name, _)| name.contains(only)) {
        let (seen, statuses) = beside(program, Some(name)).await;
        seen.print(name, &statuses);
        let is_fresh = at(&seen.freshness, 99) <= FRESHNESS;
        let is_quick =
            [50, 99].iter().all(|&percent| at(&seen.latency, percent) <= 2 * at(&quiet.latency, percent));
        if !is_fresh || !is_quick || seen.refused > 0 {
            broken.push(name);
        }
    }
    assert!(broken.is_empty(), "the good tenant was harmed by: {broken:?}");
}

/// The good tenant beside an attack.
async fn beside(program: &Path, attack: Option<&str>) -> (Seen, String) {
    let site = Site::at_deployed_pace(program);
    let pipeline = Arc::new(site.start());
    let bad = attack.map(|attack| start(attack, &pipeline.url));
    let answers = good(&pipeline).await;
    // This ends its standard input too.
    let bad = bad.map(|bad| bad.wait_with_output().unwrap().stdout).unwrap_or_default();
    let refused = answers.iter().filter(|answer| answer.status != 202).count();
    let mut latency: Vec<_> = answers.iter().map(|answer| answer.latency).collect();
    latency.sort_unstable();
    let accepted: BTreeMap<_, _> = answers
        .into_iter()
        .filter(|answer| answer.status == 202)
        .map(|answer| (answer.id, answer.accepted_at))
        .collect();
    let mut freshness = durable(&site, &accepted).await;
    freshness.sort_unstable();
    (Seen { latency, freshness, refused }, String::from_utf8(bad).unwrap())
}

/// Sends the good tenant's requests at its pace, whatever the answers.
async fn good(pipeline: &Arc<LocalRun>) -> Vec<TimedAnswer> {
    let mut next = tokio::time::interval(EVERY);
    let begun = Instant::now();
    let mut requests = Vec::new();
    for n in 0.. {
        next.tick().await;
        if begun.elapsed() >= DURATION {
            break;
        }
        let pipeline = Arc::clone(pipeline);
        requests.push(tokio::spawn(async move {
            let id = format!("e{n}");
            let event = json!({"tenant_id": "good", "id": id, "text": format!("User {n} called 555-0199")});
            let begun = Instant::now();
            let (status, _) = answer(pipeline.post("/ingest").json(&event)).await;
            TimedAnswer { id, status, latency: begun.elapsed(), accepted_at: now() }
        }));
    }
    futures::future::try_join_all(requests).await.unwrap()
}

/// Waits until every event is in an object. Returns the times from accepted to durable.
async fn durable(site: &Site, accepted: &BTreeMap<String, SystemTime>) -> Vec<Duration> {
    let end = Instant::now() + PATIENCE;
    let mut seen = BTreeSet::new();
    let mut durable = BTreeMap::new();
    loop {
        for (key, bytes) in site.stored().objects("events") {
            let path = site.data().join("s3/tidegate-local").join(&key);
            if !seen.insert(key) {
                continue;
            }
            let written = std::fs::metadata(path).unwrap().modified().unwrap();
            let mut lines = String::new();
            MultiGzDecoder::new(&bytes[..]).read_to_string(&mut lines).unwrap();
            for line in lines.lines().filter(|line| line.contains(r#""tenant":"good""#)) {
                let line: Value = serde_json::from_str(line).unwrap();
                let id = line["id"].as_str().unwrap().to_owned();
                // It may be stored although the answer was another one.
                let Some(accepted_at) = accepted.get(&id) else { continue };
                let after = written.duration_since(*accepted_at).unwrap_or_default();
                assert!(durable.insert(id, after).is_none(), "stored once");
            }
        }
        if durable.len() == accepted.len() || Instant::now() > end {
            break;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    // What is still not stored is at least this late.
    let late = accepted.iter().filter(|(id, _)| !durable.contains_key(*id));
    let late: Vec<_> = late.map(|(_, at)| now().duration_since(*at).unwrap_or_default()).collect();
    durable.into_values().chain(late).collect()
}
