//! Simulated work (`transform.simulate_work`): how the consumer's time-out is divided, and so how long a text may be. Ingest
//! refuses a longer one, and the consumer puts it into quarantine. So each batch fits its invocation.

use std::time::Duration;

use super::{Config, Consumer};

/// The most time that is reserved for reading and storing a batch. What this needs depends on the size of the batch, which
/// does not grow with the time-out.
const RESERVE: Duration = Duration::from_mins(1);

impl Consumer {
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_seconds)
    }

    /// The time for reading and storing a batch, where the rest is for simulated work: half, at most a minute.
    pub fn reserve(&self) -> Duration {
        (self.timeout() / 2).min(RESERVE)
    }

    /// The most simulated work of one text.
    pub fn longest_work(&self) -> Duration {
        self.timeout().saturating_sub(self.reserve())
    }
}

/// Work is simulated.
#[derive(Clone, Copy, Debug)]
pub struct SimulatedWork {
    seconds_a_character: f64,
    timeout_seconds: u64,
    longest_work: Duration,
}

/// The simulated work on the text does not fit the consumer's time-out.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error(
    "the text has {characters} characters, allowed with simulated work: at most {limit}; shorten it, lower \
     `transform.simulate_work` ({seconds_a_character} s a character) or raise `consumer.timeout_seconds` ({timeout_seconds} s, \
     at most {})",
    Consumer::LONGEST_TIMEOUT
)]
pub struct WorkTooLong {
    pub characters: usize,
    /// The most that are allowed.
    pub limit: usize,
    seconds_a_character: f64,
    timeout_seconds: u64,
}

impl Config {
    /// `None` if no work is simulated.
    pub fn simulated_work(&self) -> Option<SimulatedWork> {
        let work = SimulatedWork {
            seconds_a_character: self.transform.simulate_work,
            timeout_seconds: self.consumer.timeout_seconds,
            longest_work: self.consumer.longest_work(),
        };
        (!work.of_a_character().is_zero()).then_some(work)
    }
}

impl SimulatedWork {
    fn of_a_character(self) -> Duration {
        Duration::from_secs_f64(self.seconds_a_character)
    }

    /// The most characters of a text.
    pub fn longest_text(self) -> usize {
        let characters = self.longest_work.as_nanos() / self.of_a_character().as_nanos();
        usize::try_from(characters).unwrap_or(usize::MAX)
    }

    /// How long the work on a text takes.
    pub fn of(self, text: &str) -> Result<Duration, WorkTooLong> {
        let (characters, limit) = (text.chars().count(), self.longest_text());
        if characters > limit {
            let Self { seconds_a_character, timeout_seconds, .. } = self;
            return Err(WorkTooLong { characters, limit, seconds_a_character, timeout_seconds });
        }
        let nanoseconds = self.of_a_character().as_nanos() * characters as u128;
        Ok(Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn work(simulate_work: f64, timeout_seconds: u64) -> SimulatedWork {
        let mut config = Config::default();
        config.transform.simulate_work = simulate_work;
        config.consumer.timeout_seconds = timeout_seconds;
        config.simulated_work().unwrap()
    }

    #[test]
    fn the_longest_text_follows_from_the_time_out_less_its_reserve() {
        for (simulate_work, timeout, characters) in
            [(0.05, 30, 300), (0.05, 60, 600), (0.05, 120, 1_200), (0.05, 900, 16_800), (30.0, 60, 1)]
        {
            assert_eq!(work(simulate_work, timeout).longest_text(), characters, "{simulate_work} {timeout}");
        }
        assert!(Config::default().simulated_work().is_none());
    }

    #[test]
    fn a_text_of_one_character_too_many_is_refused_with_the_limit_and_the_keys() {
        let work = work(0.05, 60);
        assert_eq!(work.of(&"é".repeat(600)), Ok(Duration::from_secs(30)));
        let error = work.of(&"é".repeat(601)).unwrap_err();
        insta::assert_snapshot!(error, @"the text has 601 characters, allowed with simulated work: at most 600; shorten it, lower `transform.simulate_work` (0.05 s a character) or raise `consumer.timeout_seconds` (60 s, at most 900)");
    }

    proptest! {
        #[test]
        fn a_text_that_is_not_refused_takes_no_longer_than_its_share_of_the_time_out(
            seconds in 1e-6..30.0_f64, timeout in 30..=900_u64, characters in 0..3_000_usize,
        ) {
            let consumer = Consumer { timeout_seconds: timeout };
            prop_assume!(seconds <= consumer.longest_work().as_secs_f64());
            let work = work(seconds, timeout);
            match work.of(&"x".repeat(characters)) {
                Ok(time) => prop_assert!(time <= consumer.longest_work()),
                Err(error) => prop_assert_eq!((error.characters, error.limit), (characters, work.longest_text())),
            }
            prop_assert!(work.longest_text() >= 1);
        }
    }
}
