//! Crash runs: starts `tidegate local` with planned faults, sends events, kills it and starts it again. Then
//! every event that the client's log lists as accepted must be stored once, and `tidegate audit` must agree.

#![expect(clippy::unwrap_used, reason = "this is test code, though not in a test target")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use fastrand::Rng;
use futures::StreamExt;
use serde_json::json;
use shared::noise::noise;

use crate::site::{LocalRun, Site, answer, eventually, signal};

/// The consumer's operations, each with the faults that make a difference there.
pub const STEPS: [(&str, &[&str]); 10] = [
    ("items_insert", &["refuse", "refuse_some", "fail_after", "die_before", "die_after"]),
    ("items_take_over", &["refuse", "fail_after", "die_before", "die_after", "late", "die_late"]),
    ("text_put", &["refuse", "fail_after", "die_before", "die_after"]),
    ("quarantine_put", &["refuse", "fail_after", "die_before", "die_after"]),
    ("ledger_read", &["refuse", "die_before", "die_after"]),
    ("ledger_intent", &["refuse", "fail_after", "die_before", "die_after", "late", "die_late"]),
    ("archive_put", &["refuse", "fail_after", "die_before", "die_after", "late", "die_late"]),
    ("manifest_note", &["refuse", "fail_after", "die_before", "die_after"]),
    ("ledger_commit", &["refuse", "fail_after", "die_before", "die_after", "late", "die_late"]),
    ("stream_put", &["refuse", "refuse_some", "fail_after"]),
];

/// The smallest archive objects that a configuration allows, so that [`too_large`] texts are soon made.
pub const SMALL_OBJECTS: &str = "[archive]\nobject_bytes = 1_000_000\n";

/// A text whose line fits neither a record nor one of the [`SMALL_OBJECTS`]: it needs a claim check and a text of its own.
pub fn too_large(seed: u64) -> String {
    noise(1_500_000, seed)
}

/// The kinds of damage, by what is counted. They occur beside the faults of [`STEPS`].
pub const KINDS: [&str; 7] = [
    KILLED_FUNCTIONS,
    KILLED_HOSTS,
    CONFIGURATIONS,
    FULL_DISK,
    READ_ONLY,
    "records that cannot be read",
    "events that were redriven",
];
const KILLED_FUNCTIONS: &str = "functions killed from outside";
const KILLED_HOSTS: &str = "hosts killed";
const CONFIGURATIONS: &str = "starts with another configuration";
const FULL_DISK: &str = "requests refused on a full disk";
/// Rare, so that it is none of [`KINDS`].
const REFUSED_STARTS: &str = "starts refused on a full disk";
const READ_ONLY: &str = "requests refused in a read-only folder";

/// How often what happened.
pub type Coverage = BTreeMap<&'static str, usize>;

#[derive(Clone, Debug, Default)]
pub struct RunSummary {
    /// Requests that were answered 202.
    pub accepted: usize,
    /// Archive objects with lines.
    pub objects: usize,
    /// Archive keys that were fenced by an empty object.
    pub fenced: usize,
    /// Events that failed permanently and were saved, as counted by the audit.
    pub failed: u64,
    /// Of [`KINDS`].
    pub coverage: Coverage,
}

/// The events that the client sent, each as `(tenant, id)`.
#[derive(Debug, Default)]
pub struct ClientLog {
    pub sent: BTreeSet<(String, String)>,
    /// Those that were answered 202.
    pub accepted: BTreeSet<(String, String)>,
}

impl ClientLog {
    /// Sends events, one in each request, eight at a time, and records the answers. Returns how many were refused.
    pub async fn send(
        &mut self,
        pipeline: &LocalRun,
        events: impl IntoIterator<Item = (String, String, String)>,
    ) -> usize {
        let send = |(tenant, id, text): (String, String, String)| async move {
            let request =
                pipeline.post("/ingest").json(&json!({"tenant_id": tenant, "id": id, "text": text}));
            let (status, _) = answer(request).await;
            ((tenant, id), status)
        };
        let answers: Vec<_> = futures::stream::iter(events).map(send).buffer_unordered(8).collect().await;
        let refused = answers.iter().filter(|(_, status)| *status != 202).count();
        for (event, status) in answers {
            assert!(matches!(status, 202 | 503), "{event:?}: {status}");
            self.sent.insert(event.clone());
            if status == 202 {
                self.accepted.insert(event);
            }
        }
        refused
    }

    /// Puts a redriven event on the stream, and records it as accepted. See `StoredData::strand`.
    pub fn strand(&mut self, site: &Site, tenant: &str, id: &str) {
        site.stored().strand(tenant, id);
        let event = (tenant.to_owned(), id.to_owned());
        self.sent.insert(event.clone());
        self.accepted.insert(event);
    }

    /// Waits until every accepted event is stored, and stops the pipeline. Then checks that each event is stored once,
    /// and that `tidegate audit` agrees.
    pub async fn balance(&self, site: &Site, pipeline: LocalRun) -> RunSummary {
        let data = site.stored();
        let is_stored = || {
            let (archived, items) = (data.archived(), data.items());
            let item = |(tenant, id): &(String, String)| {
                (format!("tenants/{tenant}"), format!("processed_logs/{id}"))
            };
            let stored =
                |event: &&(String, String)| archived.contains_key(event) && items.contains_key(&item(event));
            self.accepted.iter().all(|event| stored(&event)).then_some(())
        };
        eventually("all in items and archive", is_stored).await;
        pipeline.stop();

        let archived: BTreeMap<_, _> = data.archived();
        let doubled: Vec<_> = archived.iter().filter(|(_, count)| **count != 1).collect();
        assert!(doubled.is_empty(), "archived more than once: {doubled:?}");
        let foreign: Vec<_> = archived.keys().filter(|event| !self.sent.contains(event)).collect();
        assert!(foreign.is_empty(), "archived and never sent: {foreign:?}");
        let item =
            |(tenant, id): &(String, String)| (format!("tenants/{tenant}"), format!("processed_logs/{id}"));
        let items: BTreeSet<_> = data.items().into_keys().collect();
        assert_eq!(items, archived.keys().map(item).collect(), "each line has an item, and each item a line");

        let (with_lines, fenced): (Vec<_>, Vec<_>) =
            data.objects("events").into_iter().partition(|(_, object)| !crate::stored::is_empty(object));
        let manifest = data.manifest();
        let unlisted: Vec<_> = with_lines.iter().filter(|(key, _)| !manifest.contains(key)).collect();
        assert!(unlisted.is_empty(), "objects without a manifest row: {unlisted:?}");

        let failed = agreed(site, archived.len());
        let (accepted, objects, fenced) = (self.accepted.len(), with_lines.len(), fenced.len());
        RunSummary { accepted, objects, fenced, failed, coverage: Coverage::new() }
    }
}

/// `tidegate audit` must count every archived event as stored, and none as in progress or missing. Returns how many
/// failed permanently.
fn agreed(site: &Site, archived: usize) -> u64 {
    let (code, report) = site.audit();
    assert_eq!(code, 0, "the audit does not agree: {report:#}");
    let count = |name: &str| report["total"]["ingest"][name].as_u64().unwrap();
    assert_eq!(count("stored"), archived as u64, "{report:#}");
    assert_eq!(count("in_flight") + count("missing"), 0, "{report:#}");
    count("failed")
}

/// What is wrong with the disk between two starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Disk {
    Whole,
    /// No file can become much larger than the database is.
    Full,
    /// In some rounds.
    ReadOnly,
}

fn pick<T: Copy>(random: &mut Rng, from: &[T]) -> T {
    from[random.usize(..from.len())]
}

/// What an operator may change between two starts. Objects are small, so that [`too_large`] texts are soon made.
fn configuration(random: &mut Rng) -> String {
    let steps = pick(random, &["[\"redact\"]", "[]", "[\"uppercase\"]"]);
    let items = pick(random, &["both", "changed", "reference"]);
    let archive = pick(random, &["transformed", "both"]);
    let level = pick(random, &[1, 6, 9]);
    let record_bytes = pick(random, &[65_536, 1_048_576]);
    let compress_from = pick(random, &[1, 1_024, 25_600]);
    let reads = random.bool();
    format!(
        "{SMALL_OBJECTS}content = \"{archive}\"\ncompression_level = {level}
[items]\ncontent = \"{items}\"
[transform]\nsteps = {steps}
[publish]\nclaim_check_ms = 300\nrecord_bytes = {record_bytes}\ncompress_from_bytes = {compress_from}
[reads]\nenabled = {reads}\n"
    )
}

/// The events of one round. Some are sent twice, with the same text.
fn events(prefix: &str, count: u64) -> Vec<(String, String, String)> {
    let event = |n: u64| {
        let is_twice = matches!(n % 5, 3 | 4);
        let text =
            if !is_twice && n % 13 == 7 { too_large(n) } else { format!("call 555-0199 about {prefix}") };
        let n = if n % 5 == 4 { n - 1 } else { n };
        (format!("t{}", n % 3), format!("{prefix}-{n}"), text)
    };
    (0..count).map(event).collect()
}

/// Whether the text in an archive line is the one that was sent, as one of the [`configuration`]s transforms it.
fn is_text_of(sent: &str, text: &str) -> bool {
    [sent.to_owned(), sent.to_uppercase(), sent.replace("555-0199", "[REDACTED]")]
        .iter()
        .any(|one| one == text)
}

/// One run. Its faults, load, damage, kills and restarts follow from `seed`. Panics if an event is lost, doubled or changed.
pub async fn run(program: &Path, seed: u64) -> RunSummary {
    let mut random = Rng::with_seed(seed);
    let rules: Vec<_> = STEPS
        .iter()
        .flat_map(|(step, faults)| {
            let rule = |random: &mut Rng| {
                let from = 1 + random.u64(..12);
                (*step, from, from + random.u64(..2), pick(random, faults))
            };
            (0..random.u64(..3)).map(|_| rule(&mut random)).collect::<Vec<_>>()
        })
        .collect();
    let mut site = Site::new(program).shards(1 + u16::try_from(random.u64(..2)).unwrap()).faults(&rules);
    let (mut log, mut texts, mut coverage) = (ClientLog::default(), BTreeMap::new(), Coverage::new());
    let mut count = |what, times| *coverage.entry(what).or_default() += times;
    let segments = 1 + random.u64(..3);
    for segment in 0..=segments {
        site.set_configuration(&configuration(&mut random));
        site.set_option("--window-ms", pick(&mut random, &["20", "60", "60", "400"]));
        count(CONFIGURATIONS, usize::from(segment > 0));
        let mut disks = vec![Disk::Whole, Disk::Whole, Disk::ReadOnly];
        if segment < segments {
            disks.push(Disk::Full);
        }
        let mut disk = pick(&mut random, &disks);
        let room = random.u32(100..1_500);
        let pipeline = match disk {
            Disk::Whole => site.start(),
            Disk::ReadOnly => site.start_with_permissions(),
            Disk::Full => match site.try_start_with_small_files(site.database_kib() + room) {
                Ok(pipeline) => pipeline,
                // There was too little room to begin.
                Err(log) => {
                    assert!(log.contains("tidegate.sqlite` cannot be opened"), "{log}");
                    count(REFUSED_STARTS, 1);
                    disk = Disk::Whole;
                    site.start()
                }
            },
        };
        for round in 0..=random.u64(..3) {
            let prefix = format!("s{segment}-r{round}");
            let mut sent = events(&prefix, 2 + random.u64(..14));
            let is_read_only = disk == Disk::ReadOnly && random.bool();
            if is_read_only || disk == Disk::Full {
                sent.push(("t0".to_owned(), format!("{prefix}-large"), too_large(seed)));
            }
            if random.u64(..4) == 0 {
                site.stored().put_foreign("t0", b"\x00poison");
                count("records that cannot be read", 1);
            }
            if random.u64(..3) == 0 {
                log.strand(&site, "t2", &format!("{prefix}-stranded"));
                count("events that were redriven", 1);
            }
            for (tenant, id, text) in &sent {
                texts.insert((tenant.clone(), id.clone()), text.clone());
            }
            if is_read_only {
                site.set_read_only(true);
            }
            let refused = log.send(&pipeline, sent).await;
            match disk {
                Disk::Full => count(FULL_DISK, refused),
                Disk::ReadOnly if is_read_only => count(READ_ONLY, refused),
                Disk::Whole | Disk::ReadOnly => {}
            }
            if random.bool() {
                pipeline.consumers().into_iter().for_each(|consumer| signal(consumer, "KILL"));
                count(KILLED_FUNCTIONS, 1);
            }
            if is_read_only {
                site.set_read_only(false);
            }
        }
        if segment < segments {
            pipeline.kill();
            // A child that was being started may hold the lock for a moment, until it runs its program.
            let lock = site.data().join("lock");
            let is_free = || std::fs::File::open(&lock).unwrap().try_lock().ok();
            eventually("the end of the pipeline", is_free).await;
            count(KILLED_HOSTS, 1);
        } else {
            let summary = log.balance(&site, pipeline).await;
            check_texts(&site, &texts);
            return RunSummary { coverage, ..summary };
        }
    }
    unreachable!("the last segment ends the run")
}

/// A head has no text: the audit compares what is stored for it.
fn check_texts(site: &Site, sent: &BTreeMap<(String, String), String>) {
    for line in site.stored().lines() {
        let name = |member: &str| line[member].as_str().unwrap().to_owned();
        let Some(sent) = sent.get(&(name("tenant"), name("id"))) else { continue };
        if let Some(text) = line["text"].as_str().filter(|_| line["claim_check"].is_null()) {
            assert!(
                is_text_of(sent, text),
                "{}: `{}`",
                name("id"),
                text.chars().take(100).collect::<String>()
            );
        }
    }
}
