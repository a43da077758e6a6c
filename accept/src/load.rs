//! Many requests: at a steady rate, where the next one does not wait for the answer to the one before; or all at once.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::ensure;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::client::{Answer, Call, Client};

/// How fast a load is sent, and how fast the document wants it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    every: Duration,
    /// Requests a second that satisfy the document.
    document: f64,
    /// A load may take this many times as long.
    patience: u32,
}

impl Pace {
    /// `every` satisfies the document, which asks for `document` requests a second. `rate` replaces it, if given.
    pub(crate) fn new(every: Duration, document: f64, rate: Option<f64>, patience: u32) -> Self {
        Self { every: rate.map_or(every, |rate| Duration::from_secs_f64(1.0 / rate)), document, patience }
    }

    /// How fast the client itself was. It must not be what makes the load light.
    fn judge(&self, measured: f64) -> anyhow::Result<String> {
        let planned = 1.0 / self.every.as_secs_f64();
        // A clock is never exact.
        let wanted = self.document.min(0.95 * planned);
        ensure!(
            measured * f64::from(self.patience) >= wanted,
            "this client sent {measured:.1} requests a second, not {wanted:.1}: the machine or the connection is too slow for the load"
        );
        let note = if measured < self.document {
            format!(" (less than the {:.1} of a full run)", self.document)
        } else {
            String::new()
        };
        Ok(format!("{measured:.1} a second{note}"))
    }
}

/// What became of the requests, in the order of their numbers.
pub(crate) struct Load {
    pub(crate) answers: Vec<anyhow::Result<Answer>>,
    pace: Option<Pace>,
    /// When each request began and ended, in the same order.
    times: Vec<[Instant; 2]>,
}

impl Load {
    /// Sends call number 0, 1, … at this pace for as long as `during`.
    pub(crate) async fn send(
        client: &Client,
        pace: Pace,
        during: Duration,
        mut call: impl FnMut(usize) -> Call,
    ) -> Self {
        let requests =
            usize::try_from(during.as_nanos() / pace.every.as_nanos()).unwrap_or(usize::MAX).max(1);
        let mut ticks = interval(pace.every);
        // A late request is sent at once: the rate is that of the whole.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut sent = JoinSet::new();
        for number in 0..requests {
            ticks.tick().await;
            sent.spawn(timed(client.clone(), number, call(number)));
        }
        Self::of(sent.join_all().await, Some(pace))
    }

    /// Sends all calls at the same time.
    pub(crate) async fn at_once(client: &Client, calls: impl IntoIterator<Item = Call>) -> Self {
        let calls = calls.into_iter().enumerate();
        let sent: JoinSet<_> = calls.map(|(number, call)| timed(client.clone(), number, call)).collect();
        Self::of(sent.join_all().await, None)
    }

    fn of(mut answered: Vec<Timed>, pace: Option<Pace>) -> Self {
        answered.sort_by_key(|(number, ..)| *number);
        let (times, answers) = answered.into_iter().map(|(_, times, answer)| (times, answer)).unzip();
        Self { answers, pace, times }
    }

    /// From the beginning of the first request to the beginning of the last.
    pub(crate) fn took(&self) -> Duration {
        let begun = || self.times.iter().map(|[begun, _]| *begun);
        begun().max().zip(begun().min()).map_or(Duration::ZERO, |(last, first)| last - first)
    }

    /// Requests a second, as they were sent.
    pub(crate) fn rate(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a number of requests is small")]
        let intervals = self.answers.len().saturating_sub(1) as f64;
        if intervals == 0.0 { f64::INFINITY } else { intervals / self.took().as_secs_f64() }
    }

    /// The most requests that were open at one moment.
    pub(crate) fn most_open(&self) -> usize {
        let at = |moment: Instant| {
            self.times.iter().filter(|[begun, ended]| *begun <= moment && moment < *ended).count()
        };
        self.times.iter().map(|[begun, _]| at(*begun)).max().unwrap_or(0)
    }

    /// Every request must be answered 202 and `success`, and must have been sent in time. Returns a description for people.
    pub(crate) fn accepted(&self) -> anyhow::Result<String> {
        let others: Vec<_> = self
            .answers
            .iter()
            .filter_map(|answer| match answer {
                Ok(answer) if answer.status == 202 && answer.json()["status"] == "success" => None,
                Ok(answer) => Some(answer.to_string()),
                Err(error) => Some(format!("{error:#}")),
            })
            .collect();
        let count = self.answers.len();
        ensure!(
            others.is_empty(),
            "{} of {count} requests were not answered 202 with success; the first: {}",
            others.len(),
            others[0]
        );
        let how = match &self.pace {
            Some(pace) => {
                format!("in {:.1} s, {}", self.took().as_secs_f64(), pace.judge(self.rate())?)
            }
            None => format!("at once, up to {} of them open at one moment", self.most_open()),
        };
        Ok(format!("{count} requests {how}, all answered 202; {}", self.latency()))
    }

    pub(crate) fn latency(&self) -> Spread {
        Spread::of(self.answers.iter().flatten().map(|answer| answer.took))
    }
}

type Timed = (usize, [Instant; 2], anyhow::Result<Answer>);

async fn timed(client: Client, number: usize, call: Call) -> Timed {
    let begun = Instant::now();
    let answer = client.send(call).await;
    (number, [begun, Instant::now()], answer)
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
pub(crate) mod tests {
    use bytes::Bytes;
    use http::HeaderMap;

    use super::*;

    pub(crate) fn answer(status: u16, body: &'static str, took: Duration) -> Answer {
        Answer { status, headers: HeaderMap::new(), body: Bytes::from_static(body.as_bytes()), took }
    }

    /// A load whose requests were sent one every `every`, and answered like this.
    pub(crate) fn load(pace: Pace, every: Duration, answers: &[Answer]) -> Load {
        let first = Instant::now();
        let times = |number: usize, took| {
            let begun = first + every * u32::try_from(number).unwrap();
            [begun, begun + took]
        };
        let times = answers.iter().enumerate().map(|(number, answer)| times(number, answer.took)).collect();
        Load { answers: answers.iter().cloned().map(Ok).collect(), pace: Some(pace), times }
    }

    const MS: Duration = Duration::from_millis(1);
    const ACCEPTED: &str = r#"{"status":"success","event_id":"1"}"#;

    fn check(every: Duration, answers: &[Answer], expected: Result<&str, &str>) {
        let pace = Pace::new(8 * MS, 100.0, None, 1);
        let found = load(pace, every, answers).accepted().map_err(|error| error.to_string());
        match expected {
            Ok(part) => assert!(found.as_ref().is_ok_and(|found| found.contains(part)), "{found:?}"),
            Err(part) => assert!(found.as_ref().is_err_and(|found| found.contains(part)), "{found:?}"),
        }
    }

    #[test]
    fn a_load_is_accepted_only_if_every_answer_says_so() {
        let good = || answer(202, ACCEPTED, MS);
        check(8 * MS, &[good(), good()], Ok("2 requests in 0.0 s, 125.0 a second, all answered 202"));
        check(8 * MS, &[good(), answer(503, "", MS)], Err("1 of 2 requests were not answered 202"));
        check(8 * MS, &[good(), answer(200, ACCEPTED, MS)], Err("1 of 2"));
        check(8 * MS, &[answer(202, "", MS), answer(202, "{}", MS)], Err("2 of 2"));
    }

    #[test]
    fn a_client_that_sends_more_slowly_than_it_should_is_not_a_load() {
        let good = || answer(202, ACCEPTED, MS);
        check(11 * MS, &[good(), good()], Err("this client sent 90.9 requests a second, not 100.0"));
        let slow = Pace::new(8 * MS, 100.0, Some(10.0), 1);
        let found = load(slow, 100 * MS, &[good(), good()]).accepted().unwrap();
        assert!(found.contains("10.0 a second (less than the 100.0 of a full run)"), "{found}");
        let slower = load(slow, 120 * MS, &[good(), good()]).accepted().unwrap_err().to_string();
        assert!(slower.contains("8.3 requests a second, not 9.5"), "{slower}");
    }

    #[test]
    fn the_most_open_requests_are_those_of_one_moment() {
        let answers = [50, 50, 1, 1].map(|took| answer(202, ACCEPTED, took * MS));
        let pace = Pace::new(MS, 1.0, None, 1);
        assert_eq!(load(pace, 30 * MS, &answers).most_open(), 2);
    }

    #[test]
    fn a_spread_has_the_middle_and_the_end_of_what_was_measured() {
        let spread = Spread::of((1..=200).rev().map(Duration::from_millis));
        assert_eq!([spread.half, spread.most, spread.worst].map(|d| d.as_millis()), [100, 198, 200]);
        assert_eq!(Spread::of([].into_iter()), Spread::default());
        assert_eq!(Spread::of([Duration::from_secs(1)].into_iter()).half, Duration::from_secs(1));
    }
}
