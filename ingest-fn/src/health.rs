//! What `GET /health` answers. By default it covers this process only: its storage, and what became of the events that it was
//! sent. Where the whole pipeline is in one process, that process reports on all of it.
//!
//! `failing` (503) means that this process must be repaired or restarted. A service that many processes share only makes them
//! `degraded` (200): a health check that fails there would end all of them, and none of that helps the service.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};
use shared::health::{Concern, Gauge, MINUTE};
use shared::time::{Clock, Timestamp};
use tokio::sync::broadcast;

use crate::fault::{Fault, FaultCheck};
use crate::watch::{Answered, Watched};

/// How a process, or a pipeline, stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    pub covers: Covers,
    /// The most severe first.
    pub reasons: Vec<Reason>,
    /// Only what it can see.
    pub gauges: Vec<(Gauge, Amount)>,
    /// The shard with the oldest record that is not done.
    pub oldest_record_shard: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Covers {
    /// It does not see what happens to events on the stream.
    Ingest,
    Pipeline,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Ok,
    Degraded,
    Failing,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq)]
pub struct Reason {
    pub status: Status,
    pub concern: Concern,
    /// For people. It names no tenant and quotes no error: anyone may ask.
    pub message: String,
    /// What was measured, and the most that is well.
    pub measured: Option<(Amount, Amount)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Amount {
    Count(u64),
    Time(Duration),
}

impl Report {
    pub fn new(covers: Covers) -> Self {
        Self { covers, reasons: Vec::new(), gauges: Vec::new(), oldest_record_shard: None }
    }

    pub fn status(&self) -> Status {
        self.reasons.iter().map(|reason| reason.status).max().unwrap_or(Status::Ok)
    }

    /// Replaces what is known about the storage.
    pub fn set_fault(&mut self, fault: Option<&Fault>) {
        self.reasons.retain(|reason| reason.concern != Concern::StorageFailing);
        let reason = fault.map(|fault| Reason {
            status: Status::Failing,
            concern: Concern::StorageFailing,
            message: fault.0.to_string(),
            measured: None,
        });
        self.reasons.splice(0..0, reason);
    }
}

impl Amount {
    pub fn value(self) -> f64 {
        match self {
            #[expect(clippy::cast_precision_loss, reason = "no count comes near 2^52")]
            Self::Count(count) => count as f64,
            Self::Time(time) => (time.as_secs_f64() * 1_000.0).round() / 1_000.0,
        }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Time(_) => write!(f, "{} s", self.value()),
        }
    }
}

impl Serialize for Amount {
    /// A count as an integer, a time in seconds.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Count(count) => serializer.serialize_u64(*count),
            Self::Time(_) => serializer.serialize_f64(self.value()),
        }
    }
}

/// What became of the events of the last requests. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Outcomes(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    spilled: Mutex<Streak>,
    refused: Mutex<Streak>,
    /// Whether the last request with events that could be stored had none stored.
    all_refused: AtomicBool,
    /// Requests and events that were answered with an error, since the start, by the code of the answer.
    refusals: Mutex<BTreeMap<&'static str, u64>>,
    watched: Watched,
}

/// Events of one kind, until a minute passes without one.
#[derive(Debug, Default)]
struct Streak {
    events: u64,
    last: Timestamp,
}

/// What [`Outcomes`] has now.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lately {
    pub spilled: u64,
    pub refused: u64,
    /// Whether the last request had nothing stored.
    pub all_refused: bool,
}

impl Outcomes {
    /// Counts the events of one request: those that the stream or the queue took, and those that neither took.
    pub(crate) fn add(&self, taken: usize, spilled: usize, refused: usize, now: Timestamp) {
        // Most requests write nothing that others read.
        let all_refused = taken == 0;
        if taken + refused > 0 && self.0.all_refused.load(Ordering::Relaxed) != all_refused {
            self.0.all_refused.store(all_refused, Ordering::Relaxed);
        }
        for (streak, events) in [(&self.0.spilled, spilled), (&self.0.refused, refused)] {
            if events > 0 {
                let mut streak = streak.lock().unwrap_or_else(PoisonError::into_inner);
                let before = streak.now(now, MINUTE);
                *streak = Streak { events: before + events as u64, last: now };
            }
        }
    }

    /// Each event from now on.
    pub fn watch(&self) -> broadcast::Receiver<Answered> {
        self.0.watched.watch()
    }

    pub(crate) fn watched(&self) -> Option<&Watched> {
        Some(&self.0.watched).filter(|watched| watched.is_on())
    }

    /// Counts a request that was refused whole, or an event of one.
    pub(crate) fn refused(&self, code: &'static str) {
        *self.0.refusals.lock().unwrap_or_else(PoisonError::into_inner).entry(code).or_default() += 1;
    }

    /// How many requests and events were answered with an error, since the start, by the code of the answer.
    pub fn refusals(&self) -> BTreeMap<&'static str, u64> {
        self.0.refusals.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn lately(&self, now: Timestamp, minute: Duration) -> Lately {
        let read =
            |streak: &Mutex<Streak>| streak.lock().unwrap_or_else(PoisonError::into_inner).now(now, minute);
        let (spilled, refused) = (read(&self.0.spilled), read(&self.0.refused));
        let all_refused = refused > 0 && self.0.all_refused.load(Ordering::Relaxed);
        Lately { spilled, refused, all_refused }
    }
}

impl Streak {
    /// A clock that was set back by a minute ends it, too: it would last until the old time comes again.
    fn now(&self, now: Timestamp, minute: Duration) -> u64 {
        let passed = now.since(self.last).max(self.last.since(now));
        if passed >= minute { 0 } else { self.events }
    }
}

impl Lately {
    /// The status of `ingest_unavailable` is that of nothing stored.
    pub fn add_to(self, report: &mut Report, nothing_stored: Status) {
        let Self { spilled, refused, all_refused } = self;
        let mut add = |events, concern, status, message: String| {
            if events > 0 {
                let measured = Some((Amount::Count(events), Amount::Count(0)));
                report.reasons.push(Reason { status, concern, message, measured });
            }
        };
        let message = format!(
            "{refused} events could not be stored: senders got 503 and must send them again; the log has the cause"
        );
        let status = if all_refused { nothing_stored } else { Status::Degraded };
        add(refused, Concern::IngestUnavailable, status, message);
        let message = format!(
            "the stream did not take {spilled} events in time; they went to the spill queue and are stored late"
        );
        add(spilled, Concern::Spilling, Status::Degraded, message);
        report.gauges.push((Gauge::EventsRefused, Amount::Count(refused)));
        report.gauges.push((Gauge::EventsSpilled, Amount::Count(spilled)));
    }
}

/// Makes the report that `GET /health` answers with.
#[derive(Clone)]
pub struct HealthCheck(Arc<dyn Fn() -> Report + Send + Sync>);

impl HealthCheck {
    pub fn new(report: impl Fn() -> Report + Send + Sync + 'static) -> Self {
        Self(Arc::new(report))
    }

    /// Of this process alone.
    pub(crate) fn of_ingest(fault: FaultCheck, outcomes: Outcomes, clock: Clock) -> Self {
        Self::new(move || {
            let mut report = Report::new(Covers::Ingest);
            outcomes.lately(clock.now(), MINUTE).add_to(&mut report, Status::Degraded);
            report.set_fault(fault.find().as_ref());
            report
        })
    }

    pub(crate) fn report(&self) -> Report {
        (self.0)()
    }
}
