//! What the transform takes.

use regex::RegexSetBuilder;

use super::super::pattern_cost::{characters, read_too_often};
use super::super::transform::{compile, key_of_pattern};
use super::super::{ConfigError, Consumer, Redact, Transform};
use super::Problems;
use crate::limits;

impl Transform {
    /// Also steps that are not on, so that a mistake does not wait until they are turned on.
    pub(super) fn check(&self, consumer: &Consumer, problems: &mut Problems) {
        // At most what leaves one character: otherwise every text would be refused.
        let timeout = consumer.timeout_seconds.clamp(Consumer::SHORTEST_TIMEOUT, Consumer::LONGEST_TIMEOUT);
        let most = Consumer { timeout_seconds: timeout }.longest_work().as_secs_f64();
        if !(0.0..=most).contains(&self.simulate_work) {
            let allowed = format!("0 to {most}, with `consumer.timeout_seconds` at {timeout}");
            problems.refuse("transform.simulate_work", self.simulate_work, allowed);
        }
        for (index, step) in self.steps.iter().enumerate() {
            if self.steps[..index].contains(step) {
                problems.refuse("transform.steps", format!("{step:?}").to_lowercase(), "each step once");
            }
        }
        self.redact.check(problems);
        problems.constants("transform.enrich", &self.enrich);
    }
}

impl Redact {
    fn check(&self, problems: &mut Problems) {
        let patterns = self.patterns.len();
        if patterns > limits::PATTERNS {
            let allowed = format!("at most {} patterns", limits::PATTERNS);
            return problems.refuse(
                "transform.redact.patterns",
                format_args!("{patterns} patterns"),
                allowed,
            );
        }
        // One after another: each is dropped before the next takes its memory.
        let wrong: Vec<_> = self
            .patterns
            .iter()
            .enumerate()
            .filter_map(|(index, pattern)| {
                compile(index, pattern).and_then(|_| check_cost(index, pattern)).err()
            })
            .collect();
        let mut together = RegexSetBuilder::new(&self.patterns);
        together.size_limit(limits::PATTERNS_COMPILED_BYTES);
        if wrong.is_empty() && together.build().is_err() {
            let allowed = format!(
                "patterns that are compiled to at most {} bytes together",
                limits::PATTERNS_COMPILED_BYTES
            );
            problems.refuse("transform.redact.patterns", format_args!("{patterns} patterns"), allowed);
        }
        problems.0.extend(wrong);
        let bytes = self.replacement.len();
        if bytes > limits::REPLACEMENT_BYTES {
            let allowed = format!("at most {} bytes", limits::REPLACEMENT_BYTES);
            problems.refuse("transform.redact.replacement", format_args!("{bytes} bytes"), allowed);
        }
    }
}

fn check_cost(index: usize, pattern: &str) -> Result<(), ConfigError> {
    let refuse = |allowed| Err(ConfigError::value(&key_of_pattern(index), pattern, allowed));
    if characters(pattern) > limits::PATTERN_CHARACTERS {
        let most = limits::PATTERN_CHARACTERS;
        return refuse(format!(
            "a regular expression of at most {most} characters, where `x{{3}}` counts as three"
        ));
    }
    match read_too_often(pattern) {
        None => Ok(()),
        Some(repeated) => {
            let most = limits::PATTERN_READS;
            refuse(format!(
                "a regular expression of which the search for all matches reads each byte of a text at most {most} times (it does more often in a text that repeats `{repeated}`)"
            ))
        }
    }
}
