//! Sends requests, at a steady rate or as fast as they are answered.
//!
//! At a rate, each request has a time at which it is due, whatever became of those before it, and its latency is counted from then.
//! If the server stops for a second, all requests of that second count as late. Counted from the moment at which they could be
//! sent, only the few that were open would show it ("coordinated omission").

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use accept::client::{Answer, Call, Client};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};

use crate::answer::{Outcomes, judge};
use crate::measure::{Measured, Meter, Second};
use crate::traffic::Traffic;

const SECOND: Duration = Duration::from_secs(1);

/// When requests are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// So many a second, whatever becomes of them. Of the connections, so many at most.
    Open { rate: f64, connections: usize },
    /// Each connection sends the next request when the last one is answered.
    Closed { connections: usize },
}

/// Sends a request and waits for its answer.
pub trait Transport: Clone + Send + Sync + 'static {
    fn send(&self, call: Call) -> impl Future<Output = anyhow::Result<Answer>> + Send;
}

impl Transport for Client {
    fn send(&self, call: Call) -> impl Future<Output = anyhow::Result<Answer>> + Send {
        Self::send(self, call)
    }
}

/// Sends for as long as `during`, or until `stop`, and then waits for the answers. `on_second` gets each second.
pub async fn send(
    transport: impl Transport,
    traffic: Arc<Traffic>,
    pace: Pace,
    during: Duration,
    stop: impl Future<Output = ()>,
    mut on_second: impl FnMut(&Second),
) -> (Measured, Outcomes) {
    let begun = Instant::now();
    let (end, stopped) = watch::channel(());
    let load = Arc::new(Load {
        transport,
        traffic,
        pace,
        begun,
        during,
        next: AtomicU64::new(0),
        seen: Mutex::default(),
    });
    let (Pace::Open { connections, .. } | Pace::Closed { connections }) = pace;
    let mut senders: JoinSet<_> =
        (0..connections.max(1)).map(|_| Arc::clone(&load).connection(stopped.clone())).collect();
    drop(stopped);
    let mut end = Some(end);
    let mut stop = pin!(stop);
    let mut ticks = interval_at(begun + SECOND, SECOND);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            ended = senders.join_next() => match ended {
                Some(Err(panic)) => std::panic::resume_unwind(panic.into_panic()),
                Some(Ok(())) => {}
                None => break,
            },
            _ = ticks.tick() => {
                let second = load.seen().0.end_second(begun.elapsed());
                on_second(&second);
            }
            // Dropping the sender tells all.
            () = &mut stop, if end.is_some() => end = None,
        }
    }
    let took = begun.elapsed();
    let mut seen = load.seen();
    seen.0.end_second(took);
    (seen.0.measured(took), std::mem::take(&mut seen.1))
}

struct Load<T> {
    transport: T,
    traffic: Arc<Traffic>,
    pace: Pace,
    begun: Instant,
    during: Duration,
    /// The number of the next request.
    next: AtomicU64,
    seen: Mutex<(Meter, Outcomes)>,
}

impl<T: Transport> Load<T> {
    fn seen(&self) -> std::sync::MutexGuard<'_, (Meter, Outcomes)> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One request after the other, until no more is due.
    async fn connection(self: Arc<Self>, mut stopped: watch::Receiver<()>) {
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let due = self.due(number);
            if due >= self.begun + self.during {
                return;
            }
            tokio::select! {
                biased;
                _ = stopped.changed() => return,
                () = sleep_until(due) => {}
            }
            let request = self.traffic.request(number);
            let sent = Instant::now();
            let answered = self.transport.send(request.call.clone()).await;
            let done = Instant::now();
            let judged = judge(&request, &answered);
            let mut seen = self.seen();
            seen.0.note(&judged, done - due, sent - due);
            seen.1.note(request.of, judged.outcome);
        }
    }

    fn due(&self, number: u64) -> Instant {
        match self.pace {
            #[expect(clippy::cast_precision_loss, reason = "a number of requests")]
            Pace::Open { rate, .. } => self.begun + Duration::from_secs_f64(number as f64 / rate),
            Pace::Closed { .. } => Instant::now(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers within a millisecond, but not within the first second.
    #[derive(Clone)]
    struct Stalled(Instant);

    impl Transport for Stalled {
        async fn send(&self, _: Call) -> anyhow::Result<Answer> {
            sleep_until((self.0 + SECOND).max(Instant::now() + SECOND / 1_000)).await;
            let (headers, body) = (http::HeaderMap::new(), bytes::Bytes::new());
            Ok(Answer { status: 202, headers, body, took: Duration::ZERO })
        }
    }

    async fn sent(pace: Pace, stop: impl Future<Output = ()>) -> Measured {
        let config = shared::config::Config::default();
        let traffic = Traffic::new("test", 1, 3, Vec::new(), &config).unwrap();
        let stalled = Stalled(Instant::now());
        send(stalled, Arc::new(traffic), pace, Duration::from_secs(2), stop, |_| ()).await.0
    }

    #[tokio::test(start_paused = true)]
    async fn at_a_rate_each_request_counts_from_the_time_at_which_it_was_due() {
        let pace = Pace::Open { rate: 10.0, connections: 1 };
        let Measured { requests, latency_ms, sent_late_ms, .. } = sent(pace, std::future::pending()).await;
        // One waited for a second, and nine were due meanwhile, although only one could be sent.
        assert_eq!(requests, 20);
        let is_about = |measured: f64, wanted: f64| (measured - wanted).abs() < 20.0;
        assert!(is_about(latency_ms.max, 1_000.0), "{latency_ms:?}");
        assert!(is_about(latency_ms.p90, 800.0), "{latency_ms:?}");
        assert!(is_about(latency_ms.p50, 0.0), "{latency_ms:?}");
        assert!(is_about(sent_late_ms.max, 900.0), "{sent_late_ms:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_rate_a_request_counts_from_the_time_at_which_it_is_sent() {
        let pace = Pace::Closed { connections: 2 };
        let Measured { requests, latency_ms, sent_late_ms, .. } = sent(pace, std::future::pending()).await;
        assert!(
            (1_990..=2_010).contains(&requests),
            "{requests}: each connection one at first, then a thousand"
        );
        assert!(latency_ms.p99 < 3.0 && latency_ms.max > 999.0, "{latency_ms:?}");
        assert!(sent_late_ms.max < 1.0, "{sent_late_ms:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_waits_for_answers_and_sends_no_more() {
        let stop = tokio::time::sleep(Duration::from_millis(250));
        let Measured { requests, took_s, .. } = sent(Pace::Open { rate: 10.0, connections: 50 }, stop).await;
        assert_eq!(requests, 3, "those that were due before the stop");
        assert!((took_s - 1.0).abs() < 0.01, "{took_s}");
    }
}
