//! The cap on connections, and which one is closed for a new one.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio::time::Instant;

/// So many connections over the cap are answered 503 at the same time. Further ones wait in the system's queue.
const REFUSALS: usize = 64;
/// How much later an answer 429 is written, at least.
const HELD_BACK: Duration = Duration::from_secs(1);
/// And at most so much more.
const SPREAD: Duration = Duration::from_secs(1);
/// 2³² divided by the golden ratio: its multiples, modulo 2³², are as far from each other as can be, however many they are.
const GOLDEN: u32 = 2_654_435_769;
/// Between two log lines about closed connections.
const LOG_PAUSE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Places {
    most: usize,
    free: Arc<Semaphore>,
    refusals: Arc<Semaphore>,
    /// For answers that are held back. Their connections cannot be closed for new ones, so they get a quarter.
    held_back: Semaphore,
    /// Where in [`SPREAD`] the next one is.
    spread: AtomicU32,
    waiting: Mutex<Waiting>,
}

/// The connections that are open without a request in progress, by when that began.
#[derive(Debug, Default)]
struct Waiting {
    turns: u64,
    by_turn: BTreeMap<u64, Arc<Notify>>,
    closed: u64,
    logged: Option<Instant>,
}

/// What a connection holds while it is open.
#[derive(Debug)]
pub(super) enum Place {
    Served {
        places: Arc<Places>,
        _place: OwnedSemaphorePermit,
    },
    /// Its request is answered 503.
    Refused {
        most: usize,
        _place: OwnedSemaphorePermit,
    },
}

impl Places {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            free: Arc::new(Semaphore::new(most)),
            refusals: Arc::new(Semaphore::new(REFUSALS.min(most))),
            held_back: Semaphore::new(most / 4),
            spread: AtomicU32::new(0),
            waiting: Mutex::default(),
        })
    }

    /// How long an answer is held back, if it may be. Answers that come together get different times, or their clients would
    /// send the next requests together too, and other clients would wait for all of them.
    pub(super) fn hold_back(&self) -> Option<(SemaphorePermit<'_>, Duration)> {
        let permit = self.held_back.try_acquire().ok()?;
        let spread = self.spread.fetch_add(GOLDEN, Ordering::Relaxed);
        Some((permit, HELD_BACK + SPREAD.mul_f64(f64::from(spread) / f64::from(u32::MAX))))
    }

    pub(super) async fn take(self: &Arc<Self>) -> Place {
        const NEVER_CLOSED: &str = "the semaphore is never closed";
        let free = || Arc::clone(&self.free);
        let served = |place| Place::Served { places: Arc::clone(self), _place: place };
        if let Ok(place) = free().try_acquire_owned() {
            return served(place);
        }
        if self.close_oldest() {
            return served(free().acquire_owned().await.expect(NEVER_CLOSED));
        }
        tokio::select! {
            biased;
            place = free().acquire_owned() => served(place.expect(NEVER_CLOSED)),
            place = Arc::clone(&self.refusals).acquire_owned() => {
                Place::Refused { most: self.most, _place: place.expect(NEVER_CLOSED) }
            }
        }
    }

    /// A connection begins to wait for a request. It ends when `must_close` is notified.
    pub(super) fn wait(&self, must_close: &Arc<Notify>) -> u64 {
        let mut waiting = self.lock();
        waiting.turns += 1;
        let turn = waiting.turns;
        waiting.by_turn.insert(turn, Arc::clone(must_close));
        turn
    }

    /// Whether it is still open: it was not closed for another one.
    pub(super) fn end_wait(&self, turn: u64) -> bool {
        self.lock().by_turn.remove(&turn).is_some()
    }

    fn close_oldest(&self) -> bool {
        let mut waiting = self.lock();
        let Some((_, must_close)) = waiting.by_turn.pop_first() else { return false };
        must_close.notify_one();
        waiting.closed += 1;
        if waiting.logged.is_none_or(|logged| logged.elapsed() >= LOG_PAUSE) {
            let closed = std::mem::take(&mut waiting.closed);
            waiting.logged = Some(Instant::now());
            tracing::warn!(
                closed,
                connections = self.most,
                "connections without a request were closed to make room: {} are open",
                self.most
            );
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
