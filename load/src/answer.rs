//! Whether an answer is the right one, and what it says about storage. Pure.

use std::borrow::Cow;

use accept::client::Answer;
use serde::Deserialize;

use crate::traffic::{Expected, Request};

/// What an answer says. The order matters: of several answers to the same events, the last of these counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    /// It was not sent, or is not answered yet.
    #[default]
    Unsent,
    /// None of its events may be stored.
    Refused,
    /// Each of its events may be stored, once.
    Unknown,
    /// Each of its events must be stored, once.
    Accepted,
}

/// An answer beside what was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Judged {
    pub(crate) outcome: Outcome,
    pub(crate) is_expected: bool,
    /// Status and code of the problem.
    pub(crate) name: String,
    /// How many events it says are accepted.
    pub(crate) accepted: usize,
}

/// Members of all bodies.
#[derive(Debug, Default, Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    event_id: Option<Cow<'a, str>>,
    accepted: Option<usize>,
    #[serde(borrow)]
    code: Option<Cow<'a, str>>,
}

pub(crate) fn judge(request: &Request, answered: &anyhow::Result<Answer>) -> Judged {
    let answer = match answered {
        Ok(answer) => answer,
        Err(error) => {
            // Without the cause: it may name a port, and then each answer would have a name of its own.
            let (name, accepted) = (error.to_string(), 0);
            return Judged { outcome: Outcome::Unknown, is_expected: false, name, accepted };
        }
    };
    let body: Body<'_> = serde_json::from_slice(&answer.body).unwrap_or_default();
    let count = request.events.len();
    let accepted = match answer.status {
        202 => body.accepted.unwrap_or(usize::from(body.event_id.is_some())),
        207 => body.accepted.unwrap_or_default(),
        _ => 0,
    };
    let is_right_id = |event: &crate::traffic::Event| body.event_id.as_deref() == Some(event.id.as_str());
    let is_expected = match request.expected {
        Expected::One => answer.status == 202 && request.events.first().is_some_and(is_right_id),
        Expected::All => answer.status == 202 && accepted == count,
        Expected::Part => answer.status == 207 && accepted == count,
        Expected::Refused(status, code) => answer.status == status && body.code.as_deref() == Some(code),
    };
    let outcome = match (request.expected, answer.status) {
        (Expected::Refused(..), 200..300) => Outcome::Unknown,
        (_, 200..300) if is_expected => Outcome::Accepted,
        (_, 400..500) => Outcome::Refused,
        // After a 503 it is not known; of a part, not which one.
        _ => Outcome::Unknown,
    };
    let name = match &body.code {
        Some(code) => format!("{} {code}", answer.status),
        None if is_expected || !matches!(answer.status, 202 | 207) => answer.status.to_string(),
        None => format!("{} with another id or count", answer.status),
    };
    Judged { outcome, is_expected, name, accepted }
}

/// What became of each request: a byte.
#[derive(Debug, Default)]
pub struct Outcomes(Vec<Outcome>);

impl Outcomes {
    pub(crate) fn note(&mut self, of: u64, outcome: Outcome) {
        let of = usize::try_from(of).expect("so many requests are not sent");
        if self.0.len() <= of {
            self.0.resize(of + 1, Outcome::Unsent);
        }
        self.0[of] = self.0[of].max(outcome);
    }

    /// The requests from the first to the last that was sent, by their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, Outcome)> {
        (0..).zip(self.0.iter().copied())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}
