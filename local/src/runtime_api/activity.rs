//! What the environments of a function do now, for health.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::lock;

#[derive(Default)]
pub(super) struct Activity {
    /// When the invocations in flight began, each with a number of its own.
    in_flight: Mutex<BTreeSet<(Instant, u64)>>,
    next: AtomicU64,
    lost: AtomicU64,
}

/// An invocation. It ends when this is dropped.
pub(super) struct InFlight<'a> {
    activity: &'a Activity,
    key: (Instant, u64),
}

impl Activity {
    pub(super) fn begin(&self) -> InFlight<'_> {
        let key = (Instant::now(), self.next.fetch_add(1, Ordering::Relaxed));
        lock(&self.in_flight).insert(key);
        InFlight { activity: self, key }
    }

    pub(super) fn longest(&self) -> Option<Duration> {
        lock(&self.in_flight).first().map(|(began, _)| began.elapsed())
    }

    /// An environment did not start, or ended by itself, or was killed for its time-out.
    pub(super) fn lose(&self) {
        self.lost.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        lock(&self.activity.in_flight).remove(&self.key);
    }
}
