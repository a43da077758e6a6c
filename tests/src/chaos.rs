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

#[derive(Clone, Copy, Debug, Default)]
pub struct RunSummary {
    /// Requests that were answered 202.
    pub accepted: usize,
    /// Archive objects with lines.
    pub objects: usize,
    /// Archive keys that were fenced by an empty object.
    pub fenced: usize,
    /// How often a process was killed from outside.
    pub killed: usize,
    /// Events that failed permanently and were saved, as counted by the audit.
    pub failed: u64,
}

/// The events that the client sent, each as `(tenant, id)`.
#[derive(Debug, Default)]
pub struct ClientLog {
    pub sent: BTreeSet<(String, String)>,
    /// Those that were answered 202.
    pub accepted: BTreeSet<(String, String)>,
}

impl ClientLog {
    /// Sends events, one in each request, eight at a time, and records the answers.
    pub async fn send(
        &mut self,
        pipeline: &LocalRun,
        events: impl IntoIterator<Item = (String, String, String)>,
    ) {
        let send = |(tenant, id, text): (String, String, String)| async move {
            let request =
                pipeline.post("/ingest").json(&json!({"tenant_id": tenant, "id": id, "text": text}));
            let (status, _) = answer(request).await;
            ((tenant, id), status)
        };
        let answers: Vec<_> = futures::stream::iter(events).map(send).buffer_unordered(8).collect().await;
        for (event, status) in answers {
            assert!(matches!(status, 202 | 503), "{event:?}: {status}");
            self.sent.insert(event.clone());
            if status == 202 {
                self.accepted.insert(event);
            }
        }
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
        RunSummary { accepted, objects, fenced, killed: 0, failed }
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

/// One run. Its faults, load, kills and restarts follow from `seed`. Panics if an event is lost or doubled.
pub async fn run(program: &Path, seed: u64) -> RunSummary {
    let mut random = Rng::with_seed(seed);
    let rules: Vec<_> = STEPS
        .iter()
        .flat_map(|(step, faults)| {
            let rule = |random: &mut Rng| {
                let from = 1 + random.u64(..12);
                let fault = faults[usize::try_from(random.u64(..faults.len() as u64)).unwrap()];
                (*step, from, from + random.u64(..2), fault)
            };
            (0..random.u64(..3)).map(|_| rule(&mut random)).collect::<Vec<_>>()
        })
        .collect();
    let site = Site::new(program)
        .configuration(SMALL_OBJECTS)
        .shards(1 + u16::try_from(random.u64(..2)).unwrap())
        .faults(&rules);
    let (mut log, mut killed) = (ClientLog::default(), 0);
    let segments = 1 + random.u64(..3);
    for segment in 0..=segments {
        let pipeline = site.start();
        for round in 0..=random.u64(..3) {
            let count = 2 + random.u64(..14);
            let event = |n: u64| {
                // A few are large, and a few are sent twice.
                let text = if n % 13 == 7 { too_large(n) } else { format!("text {n}") };
                let n = if n % 5 == 4 { n - 1 } else { n };
                (format!("t{}", n % 3), format!("s{segment}-r{round}-{n}"), text)
            };
            let event = |n: u64| {
                let (tenant, id, text) = event(n);
                // The same id has the same text.
                let text = if n % 5 == 4 || n % 5 == 3 { "sent twice".to_owned() } else { text };
                (tenant, id, text)
            };
            if random.u64(..4) == 0 {
                site.stored().put_foreign("t0", b"\x00poison");
            }
            if random.u64(..3) == 0 {
                log.strand(&site, "t2", &format!("s{segment}-r{round}-stranded"));
            }
            log.send(&pipeline, (0..count).map(event)).await;
            if random.u64(..2) == 0 {
                pipeline.consumers().into_iter().for_each(|consumer| signal(consumer, "KILL"));
                killed += 1;
            }
        }
        if segment < segments {
            pipeline.kill();
            // A child that was being started may hold the lock for a moment, until it runs its program.
            let lock = site.data().join("lock");
            let is_free = || std::fs::File::open(&lock).unwrap().try_lock().ok();
            eventually("the end of the pipeline", is_free).await;
            killed += 1;
        } else {
            return RunSummary { killed, ..log.balance(&site, pipeline).await };
        }
    }
    unreachable!("the last segment ends the run")
}
