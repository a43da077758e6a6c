//! Requests at a steady rate. The next one does not wait for the answer to the one before.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::ensure;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::client::{Answer, Call, Client};

/// What became of the requests, in the order of their numbers.
pub(crate) struct Load {
    pub(crate) answers: Vec<anyhow::Result<Answer>>,
    pub(crate) took: Duration,
    /// Between two requests: what the document asks for, if it was lowered.
    lowered_from: Option<Duration>,
}

impl Load {
    /// Sends call number 0, 1, … for as long as `during`, one every `every`, or at most `most` a second.
    pub(crate) async fn send(
        client: &Client,
        every: Duration,
        most: Option<u32>,
        during: Duration,
        mut call: impl FnMut(usize) -> Call,
    ) -> Self {
        let asked = every;
        let every = most.map_or(asked, |most| asked.max(Duration::from_secs(1) / most));
        let requests = usize::try_from(during.as_nanos() / every.as_nanos()).unwrap_or(usize::MAX).max(1);
        let begun = Instant::now();
        let mut ticks = interval(every);
        // A late request is sent at once: the rate is that of the whole.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut sent = JoinSet::new();
        for number in 0..requests {
            ticks.tick().await;
            let (client, call) = (client.clone(), call(number));
            sent.spawn(async move { (number, client.send(call).await) });
        }
        let took = begun.elapsed();
        let mut answers = sent.join_all().await;
        answers.sort_by_key(|(number, _)| *number);
        let answers = answers.into_iter().map(|(_, answer)| answer).collect();
        Self { answers, took, lowered_from: (every > asked).then_some(asked) }
    }

    /// Every request must have this status. Returns a description for people.
    pub(crate) fn all_answered(&self, status: u16) -> anyhow::Result<String> {
        let others: Vec<_> = self
            .answers
            .iter()
            .filter_map(|answer| match answer {
                Ok(answer) if answer.status == status => None,
                Ok(answer) => Some(answer.to_string()),
                Err(error) => Some(format!("{error:#}")),
            })
            .collect();
        ensure!(
            others.is_empty(),
            "{} of {} requests were not answered {status}; the first: {}",
            others.len(),
            self.answers.len(),
            others[0]
        );
        Ok(format!(
            "{} requests in {:.1} s, all answered {status}; {}{}",
            self.answers.len(),
            self.took.as_secs_f64(),
            self.latency(),
            self.lowered_from.map_or_else(String::new, |every| format!(
                "\nonly as many as --rate allows: the document's rate is {:.0} a second",
                1.0 / every.as_secs_f64()
            ))
        ))
    }

    pub(crate) fn latency(&self) -> Spread {
        Spread::of(self.answers.iter().flatten().map(|answer| answer.took))
    }
}

/// Durations, in short.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spread {
    pub(crate) half: Duration,
    pub(crate) most: Duration,
    pub(crate) worst: Duration,
}

impl Spread {
    pub(crate) fn of(durations: impl Iterator<Item = Duration>) -> Self {
        let mut sorted: Vec<_> = durations.collect();
        sorted.sort_unstable();
        let at = |percent: usize| {
            let rank = (sorted.len() * percent).div_ceil(100).max(1);
            sorted.get(rank - 1).copied().unwrap_or_default()
        };
        Self { half: at(50), most: at(99), worst: at(100) }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { half, most, worst } = self;
        write!(f, "p50 {half:.1?}, p99 {most:.1?}, worst {worst:.1?}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_has_the_middle_and_the_end_of_what_was_measured() {
        let spread = Spread::of((1..=200).rev().map(Duration::from_millis));
        assert_eq!([spread.half, spread.most, spread.worst].map(|d| d.as_millis()), [100, 198, 200]);
        assert_eq!(Spread::of([].into_iter()), Spread::default());
        assert_eq!(Spread::of([Duration::from_secs(1)].into_iter()).half, Duration::from_secs(1));
    }
}
