//! Spans of OpenTelemetry, sent by OTLP over HTTP where `telemetry.traces_url` is set. Where it is not, there is no [`Traces`],
//! and nothing else than that is looked at.
//!
//! | file | has |
//! |---|---|
//! | `context.rs` | the trace headers of requests, and which span a header names |
//! | `span.rs` | a span, and its form in JSON |
//! | `export.rs` | the call to the collector |
//!
//! What is traced never waits for the collector longer than it says itself. Spans wait in a queue of a fixed length; what does not
//! fit, and what the collector does not take, is dropped and counted. Spans that wait when a process dies are lost.

mod context;
mod export;
mod span;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::{Instant, timeout_at};

use self::export::Collector;
use crate::config::Telemetry;
use crate::metric::Metric;

pub use self::context::{Begun, SpanContext, SpanId, is_same_trace};
pub use self::span::{Kind, Span, Value};

/// Spans that may wait. About 2 MB.
const WAITING: usize = 4_096;
/// Spans in one call.
const CALL_SPANS: usize = 512;
/// Time limit for one call.
pub const CALL: Duration = Duration::from_secs(2);
/// Time limit for sending at the end of an invocation.
const END: Duration = Duration::from_millis(500);
/// After a call that failed, no other is made for so long: a collector that is away costs one time limit in this time.
const PAUSE: Duration = Duration::from_secs(30);

/// The spans of this process.
#[derive(Clone, Debug)]
pub struct Traces(Arc<Exporter>);

#[derive(Debug)]
struct Exporter {
    /// The share of requests without a decision of their sender that are traced.
    share: f64,
    collector: Collector,
    waiting: Mutex<Waiting>,
    /// Held by the one who sends.
    turn: tokio::sync::Mutex<()>,
    is_sending_soon: AtomicBool,
}

#[derive(Debug, Default)]
struct Waiting {
    spans: VecDeque<Span>,
    paused_until: Option<Instant>,
}

impl Traces {
    /// `None` where spans go nowhere. `service` is the name of this process in the spans.
    pub fn of(config: &Telemetry, service: &'static str) -> Option<Self> {
        let url = Some(&config.traces_url).filter(|url| !url.is_empty())?;
        match Collector::new(url, service) {
            Ok(collector) => Some(Self(Arc::new(Exporter {
                share: config.traces_share,
                collector,
                waiting: Mutex::default(),
                turn: tokio::sync::Mutex::default(),
                is_sending_soon: AtomicBool::new(false),
            }))),
            Err(error) => {
                tracing::warn!(error, "spans cannot be sent, this process records none: {error}");
                None
            }
        }
    }

    /// The span of a request with this trace header, if it is to be traced.
    pub fn begin(&self, header: Option<&str>) -> Option<Begun> {
        Begun::new(header, self.0.share, fastrand::f64(), || fastrand::u64(1..))
    }

    /// Takes a span that has ended.
    pub fn record(&self, span: Span) {
        let mut waiting = self.0.waiting();
        if waiting.spans.len() < WAITING {
            waiting.spans.push_back(span);
        } else {
            drop(waiting);
            Metric::SpansDropped.add(1);
        }
    }

    /// Sends what waits, on a task: the caller does not wait for it.
    pub fn send_soon(&self) {
        if self.0.is_sending_soon.swap(true, Ordering::AcqRel) {
            return;
        }
        let traces = self.clone();
        tokio::spawn(async move {
            loop {
                traces.send(CALL).await;
                traces.0.is_sending_soon.store(false, Ordering::Release);
                // A span that came since then found the task still there.
                if !traces.has_work() || traces.0.is_sending_soon.swap(true, Ordering::AcqRel) {
                    return;
                }
            }
        });
    }

    /// Sends what waits at the end of an invocation. Afterwards Lambda may freeze the function.
    pub async fn send_at_end(&self) {
        self.send(END).await;
    }

    /// Sends what waits, within this time.
    pub async fn send(&self, within: Duration) {
        let until = Instant::now() + within;
        let Ok(_turn) = timeout_at(until, self.0.turn.lock()).await else { return };
        while let Some(spans) = self.0.take() {
            let count = spans.len();
            let until = until.min(Instant::now() + CALL);
            let failed = match timeout_at(until, self.0.collector.send(spans)).await {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => error,
                Err(_) => "no answer in time".to_owned(),
            };
            Metric::SpansDropped.add(count);
            self.0.waiting().paused_until = Some(Instant::now() + PAUSE);
            let (url, seconds) = (self.0.collector.url(), PAUSE.as_secs());
            tracing::warn!(
                spans = count,
                cause = failed,
                "spans were dropped, because {url} did not take them; the next call is in {seconds} s: {failed}"
            );
        }
    }

    fn has_work(&self) -> bool {
        let waiting = self.0.waiting();
        !waiting.spans.is_empty() && !waiting.is_paused()
    }
}

impl Exporter {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The spans of the next call. `None` if there are none, or if no call is to be made now.
    fn take(&self) -> Option<Vec<Span>> {
        let mut waiting = self.waiting();
        if waiting.is_paused() || waiting.spans.is_empty() {
            return None;
        }
        let count = waiting.spans.len().min(CALL_SPANS);
        Some(waiting.spans.drain(..count).collect())
    }
}

impl Waiting {
    fn is_paused(&self) -> bool {
        self.paused_until.is_some_and(|until| Instant::now() < until)
    }
}

/// The time, in nanoseconds since 1970, as spans have it.
#[expect(
    clippy::disallowed_methods,
    reason = "spans are for people, and finer than the clock; nothing is decided by it"
)]
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
