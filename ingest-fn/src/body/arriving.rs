//! The bodies that are still arriving. Anyone can begin one: a signature is checked when its body is whole. So they hold
//! their memory only while there is enough. When there is not, those that arrive slowest give way.
//!
//! To take the memory from a sender that continues, someone must send as much as all of it in the time in which that
//! sender's body arrives. A body that stopped arriving is slower each moment.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

#[derive(Debug, Default)]
pub(super) struct ArrivingBodies(Mutex<Vec<Arc<Progress>>>);

#[derive(Debug)]
struct Progress {
    since: Instant,
    bytes: AtomicUsize,
    must_give_way: Notify,
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub(super) struct ArrivingBody<'a> {
    all: &'a ArrivingBodies,
    progress: Arc<Progress>,
}

impl ArrivingBodies {
    pub(super) fn begin(&self) -> ArrivingBody<'_> {
        let (since, bytes, must_give_way) = (Instant::now(), AtomicUsize::new(0), Notify::new());
        let progress = Arc::new(Progress { since, bytes, must_give_way });
        self.lock().push(Arc::clone(&progress));
        ArrivingBody { all: self, progress }
    }

    /// Tells the slowest to give way, so many that they hold `bytes` together. If all of them hold less, none is told: their
    /// memory would not be enough.
    pub(super) fn make_room(&self, bytes: usize) {
        let mut all = self.lock();
        all.sort_by_cached_key(|body| body.nanoseconds_a_byte());
        let mut freed = 0;
        let slowest = all.iter().rev().take_while(|body| {
            let is_needed = freed < bytes;
            freed += if is_needed { body.bytes() } else { 0 };
            is_needed
        });
        let slowest = slowest.count();
        if freed >= bytes {
            let others = all.len() - slowest;
            for body in all.drain(others..) {
                body.must_give_way.notify_one();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Progress>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress {
    fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Of a body that holds nothing: 0. It would free nothing.
    fn nanoseconds_a_byte(&self) -> u128 {
        self.since.elapsed().as_nanos().checked_div(self.bytes() as u128).unwrap_or(0)
    }
}

impl ArrivingBody<'_> {
    pub(super) fn holds(&self, bytes: usize) {
        self.progress.bytes.store(bytes, Ordering::Relaxed);
    }

    pub(super) async fn must_give_way(&self) {
        self.progress.must_give_way.notified().await;
    }
}

impl Drop for ArrivingBody<'_> {
    fn drop(&mut self) {
        self.all.lock().retain(|progress| !Arc::ptr_eq(progress, &self.progress));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::FutureExt;

    use super::*;

    /// Which of these bodies give way, of which each holds so many bytes after so many seconds.
    async fn check(bodies: &[(usize, u64)], room: usize, expected: &[usize]) {
        let all = ArrivingBodies::default();
        let longest = bodies.iter().map(|body| body.1).max().unwrap();
        let mut begun: Vec<_> = bodies.iter().map(|_| None).collect();
        for second in (0..=longest).rev() {
            for (body, &(bytes, age)) in begun.iter_mut().zip(bodies) {
                if age == second {
                    body.insert(all.begin()).holds(bytes);
                }
            }
            if second > 0 {
                tokio::time::advance(Duration::from_secs(1)).await;
            }
        }
        all.make_room(room);
        let told = (0..bodies.len())
            .filter(|at| begun[*at].as_ref().unwrap().must_give_way().now_or_never().is_some());
        assert_eq!(told.collect::<Vec<_>>(), expected, "{bodies:?}");
        drop(begun);
        assert!(all.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn the_slowest_give_way_and_no_more_than_are_needed() {
        let bodies = [(500, 1), (500, 20), (900, 2), (100, 9), (0, 20)];
        check(&bodies, 1, &[3]).await;
        check(&bodies, 101, &[1, 3]).await;
        check(&bodies, 1_500, &[1, 2, 3]).await;
        check(&bodies, 2_000, &[0, 1, 2, 3]).await;
    }

    #[tokio::test(start_paused = true)]
    async fn where_all_of_them_would_not_be_enough_none_gives_way() {
        check(&[(500, 1), (0, 3), (500, 2)], 1_001, &[]).await;
    }
}
