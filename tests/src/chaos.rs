//! Crash runs on the real thing: `tidegate local` with a plan of faults, under load, killed and started again; then the
//! books must balance against the client's own log of its 202s, and `tidegate audit` must come to the same.

#![expect(clippy::unwrap_used, reason = "this is test code, though not in a test target")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use fastrand::Rng;
use futures::StreamExt;
use serde_json::json;

use crate::site::{Pipeline, Site, answer, eventually, signal};

/// Where a fault can strike the consumer, and which faults make a difference there.
pub const STEPS: [(&str, &[&str]); 10] = [
    ("items_insert", &["refuse", "refuse_some", "fail_after", "die_before", "die_after"]),
    ("items_take_over", &["refuse", "fail_after", "die_before", "die_after", "late", "die_late"]),
    ("text_put", &["refuse", "fail_after", "die_before", "die_after"]),
    ("quarantine_put", &["refuse", "fail_after", "die_before", "die_after"]),
    ("ledger_read", &["refuse", "die_before", "die_after"]),
    ("ledger_intent", &["refuse", "fail_after", "die_before", "die_after", "late", "die_late"]),
    ("archive_put", &["refuse", "fail_after", "die_before", "die_after", "late", "die_late"]),
    ("manifest_note", &["refuse", "fail_after", "die_before", "die_after"]),
    ("ledger_settle", &["refuse", "fail_after", "die_before", "die_after", "late", "die_late"]),
    ("stream_put", &["refuse", "refuse_some", "fail_after"]),
];

/// What a run came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Balanced {
    /// Requests that were answered 202.
    pub accepted: usize,
    /// Archive objects with lines.
    pub objects: usize,
    /// Archive keys that were sealed.
    pub sealed: usize,
    /// Times that a process was killed from outside.
    pub killed: usize,
    /// Events that were given up, and kept, by the audit's count.
    pub failed: u64,
}

/// What the client knows: the events it sent, and which of them were answered 202.
#[derive(Debug, Default)]
pub struct Log {
    /// `(tenant, id)` of all.
    pub sent: BTreeSet<(String, String)>,
    /// Of those that were accepted.
    pub accepted: BTreeSet<(String, String)>,
}

impl Log {
    /// Sends events, one a request, eight at a time, and takes down how they were answered.
    pub async fn send(
        &mut self,
        pipeline: &Pipeline,
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

    /// Brings an event back whose item was left behind, and takes it down as accepted.
    pub fn strand(&mut self, site: &Site, tenant: &str, id: &str) {
        site.books().strand(tenant, id);
        let event = (tenant.to_owned(), id.to_owned());
        self.sent.insert(event.clone());
        self.accepted.insert(event);
    }

    /// Waits until everything that was accepted is stored, ends the pipeline, and balances the books; then `tidegate
    /// audit` has to agree.
    pub async fn balance(&self, site: &Site, pipeline: Pipeline) -> Balanced {
        let books = site.books();
        let is_stored = || {
            let (archived, items) = (books.archived(), books.items());
            let item = |(tenant, id): &(String, String)| {
                (format!("tenants/{tenant}"), format!("processed_logs/{id}"))
            };
            let stored =
                |event: &&(String, String)| archived.contains_key(event) && items.contains_key(&item(event));
            self.accepted.iter().all(|event| stored(&event)).then_some(())
        };
        eventually("all in items and archive", is_stored).await;
        pipeline.stop();

        let archived: BTreeMap<_, _> = books.archived();
        let doubled: Vec<_> = archived.iter().filter(|(_, count)| **count != 1).collect();
        assert!(doubled.is_empty(), "archived more than once: {doubled:?}");
        let foreign: Vec<_> = archived.keys().filter(|event| !self.sent.contains(event)).collect();
        assert!(foreign.is_empty(), "archived and never sent: {foreign:?}");
        let item =
            |(tenant, id): &(String, String)| (format!("tenants/{tenant}"), format!("processed_logs/{id}"));
        let items: BTreeSet<_> = books.items().into_keys().collect();
        assert_eq!(
            items,
            archived.keys().map(item).collect(),
            "an item for each line, and a line for each item"
        );

        let (with_lines, sealed): (Vec<_>, Vec<_>) =
            books.objects("events").into_iter().partition(|(_, object)| !crate::books::is_empty(object));
        let noted = books.manifest();
        let unnoted: Vec<_> = with_lines.iter().filter(|(key, _)| !noted.contains(key)).collect();
        assert!(unnoted.is_empty(), "objects without a manifest row: {unnoted:?}");

        let failed = agreed(site, archived.len());
        let (accepted, objects, sealed) = (self.accepted.len(), with_lines.len(), sealed.len());
        Balanced { accepted, objects, sealed, killed: 0, failed }
    }
}

/// `tidegate audit` must come to the same: everything that is archived is stored, and nothing is under way or missing.
/// Gives how many failed for good.
fn agreed(site: &Site, archived: usize) -> u64 {
    let (code, report) = site.audit();
    assert_eq!(code, 0, "the audit does not agree: {report:#}");
    let count = |name: &str| report["total"]["ingest"][name].as_u64().unwrap();
    assert_eq!(count("stored"), archived as u64, "{report:#}");
    assert_eq!(count("in_flight") + count("missing"), 0, "{report:#}");
    count("failed")
}

/// One run, whose faults, load, kills and restarts follow from `seed`. Panics if the books do not balance.
pub async fn run(program: &Path, seed: u64) -> Balanced {
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
    let site = Site::new(program).shards(1 + u16::try_from(random.u64(..2)).unwrap()).faults(&rules);
    let (mut log, mut killed) = (Log::default(), 0);
    let segments = 1 + random.u64(..3);
    for segment in 0..=segments {
        let pipeline = site.start();
        for round in 0..=random.u64(..3) {
            let count = 2 + random.u64(..14);
            let event = |n: u64| {
                // A few are large, and a few are sent once more.
                let text = if n % 13 == 7 { "large ".repeat(30_000) } else { format!("text {n}") };
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
                site.books().put_foreign("t0", b"\x00poison");
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
            // A child that it was about to start may hold the lock for a moment, until it is the other program.
            let lock = site.data().join("lock");
            let is_free = || std::fs::File::open(&lock).unwrap().try_lock().ok();
            eventually("the end of the pipeline", is_free).await;
            killed += 1;
        } else {
            return Balanced { killed, ..log.balance(&site, pipeline).await };
        }
    }
    unreachable!("the last segment ends the run")
}
