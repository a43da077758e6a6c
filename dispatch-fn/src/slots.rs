//! The rate: each call takes a slot, and slots are an interval apart, for all functions together. This is GCRA with a burst of
//! one; the counter holds its theoretical arrival time, the start of the next free slot.
//!
//! So many slots as calls are allowed in a second span a second and the guard. A call is sent within half of the guard after
//! its slot has begun, else it takes another. The other half is for clocks that differ and for network delays that vary.

use std::future::Future;
use std::ops::Add;
use std::time::Duration;

use shared::time::Timestamp;

#[cfg(feature = "aws")]
pub mod dynamodb;

/// The partition key of the counter's table.
pub const PARTITION_KEY: &str = "pk";

/// A point in time, in microseconds since the Unix epoch: at high rates an interval is few milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Micros(pub i64);

impl Micros {
    /// How long after `earlier` this is; zero if it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0 - earlier.0).unwrap_or(0))
    }
}

impl From<Timestamp> for Micros {
    fn from(time: Timestamp) -> Self {
        Self(time.unix_ms() * 1_000)
    }
}

impl Add<Duration> for Micros {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// Taken. It begins then.
    At(Micros),
    /// Not taken: the next one begins only then.
    NotBefore(Micros),
}

/// The counter did not answer, or not with success. A slot may have been taken: it is lost.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CounterFailure(pub String);

pub trait SlotCounter: Send + Sync + 'static {
    /// Takes the next slot, as [`next`] decides.
    fn take(
        &self,
        now: Micros,
        latest: Micros,
        interval: Duration,
    ) -> impl Future<Output = Result<Slot, CounterFailure>> + Send;

    /// No slot begins before `until`, unless it was taken already.
    fn pause(&self, until: Micros) -> impl Future<Output = Result<(), CounterFailure>> + Send;
}

/// The next slot, if it begins at `latest` or before; and what the counter holds after that. `free` is what it holds now.
pub fn next(free: Option<Micros>, now: Micros, latest: Micros, interval: Duration) -> (Slot, Option<Micros>) {
    let begin = free.map_or(now, |free| free.max(now));
    if begin > latest { (Slot::NotBefore(begin), free) } else { (Slot::At(begin), Some(begin + interval)) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use shared::config::Config;

    use super::*;

    const INTERVAL: Duration = Duration::from_millis(50);

    fn check(free: Option<i64>, now: i64, latest: i64, expected: Slot, after: Option<i64>) {
        let taken = next(free.map(Micros), Micros(now), Micros(latest), INTERVAL);
        assert_eq!(taken, (expected, after.map(Micros)));
    }

    #[test]
    fn slots_are_an_interval_apart_and_begin_at_once_after_a_break() {
        check(None, 1_000, 9_000_000, Slot::At(Micros(1_000)), Some(51_000));
        check(Some(51_000), 1_000, 9_000_000, Slot::At(Micros(51_000)), Some(101_000));
        check(Some(51_000), 70_000, 9_000_000, Slot::At(Micros(70_000)), Some(120_000));
    }

    #[test]
    fn a_slot_that_is_too_late_is_not_taken() {
        check(Some(51_000), 1_000, 51_000, Slot::At(Micros(51_000)), Some(101_000));
        check(Some(51_000), 1_000, 50_999, Slot::NotBefore(Micros(51_000)), Some(51_000));
        check(None, 5, 4, Slot::NotBefore(Micros(5)), None);
    }

    proptest! {
        /// Calls of functions whose clocks differ, sent at the latest allowed moment or the earliest, on networks of
        /// different delays. Clocks and delays together differ by less than half of the guard.
        #[test]
        fn the_target_gets_no_more_than_the_rate_in_any_second(
            rate in 1_u32..100, guard_ms in 20_u64..400, seed: u64, calls in 10_usize..400,
        ) {
            let mut config = Config::default().dispatch;
            (config.rate_per_second, config.guard_ms) = (rate.into(), guard_ms);
            let half = i64::try_from(guard_ms).unwrap() * 500;
            let mut random = fastrand::Rng::with_seed(seed);
            let ahead: Vec<i64> = (0..4).map(|_| random.i64(0..half / 2)).collect();
            let (mut now, mut free, mut arrivals) = (0, None, Vec::new());
            for _ in 0..calls {
                // Mostly as fast as possible, sometimes with a break.
                now += if random.u8(0..20) == 0 { random.i64(0..3_000_000) } else { random.i64(0..10_000) };
                let ahead = ahead[random.usize(0..4)];
                let (slot, after) = next(free, Micros(now + ahead), Micros(i64::MAX), config.interval());
                let Slot::At(Micros(begin)) = slot else { unreachable!("there is no latest") };
                free = after;
                let sent = (begin - ahead).max(now) + random.i64(0..=half);
                // A call that would be later than this after its slot takes another slot.
                if sent + ahead - begin <= half {
                    arrivals.push(sent + random.i64(0..half / 2));
                }
            }
            arrivals.sort_unstable();
            for (first, at) in arrivals.iter().enumerate() {
                let within = arrivals[first..].iter().take_while(|other| **other - at <= 1_000_000).count();
                prop_assert!(within <= rate as usize, "{within} calls in a second, {rate} are allowed");
            }
        }
    }
}
