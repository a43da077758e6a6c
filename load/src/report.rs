//! The result for people, and as JSON for scripts. Scripts rely on the names in the JSON: add, never rename.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::measure::{Measured, Percentiles};
use crate::verify::Verified;

#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub url: String,
    pub run: String,
    pub seed: u64,
    #[serde(flatten)]
    pub measured: Measured,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified: Option<Verified>,
}

impl Report {
    /// Each answer was the right one; and what was accepted is stored, if that was checked.
    pub fn is_right(&self) -> bool {
        self.measured.unexpected.is_empty() && self.verified.as_ref().is_none_or(Verified::is_right)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url, run, seed, measured, verified } = self;
        let Measured { took_s, requests, requests_per_s, events_accepted, .. } = measured;
        writeln!(f, "{run} to {url}, seed {seed}")?;
        writeln!(
            f,
            "{} requests in {took_s:.1} s, {requests_per_s:.1} a second; {} events accepted",
            grouped(*requests),
            grouped(*events_accepted)
        )?;
        writeln!(
            f,
            "\n{:<30}{:>9}{:>9}{:>9}{:>9}{:>9}{:>10}",
            "milliseconds", "p50", "p90", "p99", "p99.9", "p99.99", "max"
        )?;
        percentiles(f, "from due to answered", &measured.latency_ms)?;
        percentiles(f, "from due to sent", &measured.sent_late_ms)?;
        answers(f, "answers, as expected", &measured.expected)?;
        answers(f, "NOT expected", &measured.unexpected)?;
        match verified {
            Some(verified) => write!(f, "\n{verified}"),
            None => Ok(()),
        }
    }
}

fn percentiles(f: &mut fmt::Formatter<'_>, name: &str, of: &Percentiles) -> fmt::Result {
    let Percentiles { p50, p90, p99, p99_9, p99_99, max } = of;
    write!(f, "{name:<30}")?;
    for value in [p50, p90, p99, p99_9, p99_99] {
        write!(f, "{value:>9.1}")?;
    }
    writeln!(f, "{max:>10.1}")
}

fn answers(f: &mut fmt::Formatter<'_>, title: &str, counts: &BTreeMap<String, u64>) -> fmt::Result {
    if counts.is_empty() {
        return Ok(());
    }
    writeln!(f, "\n{title}")?;
    counts.iter().try_for_each(|(name, count)| writeln!(f, "  {name:<34}{:>12}", grouped(*count)))
}

/// With a comma for each thousand.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_numbers_have_commas() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
