//! Card numbers: 13 to 19 digits, in groups of four and more or not, of which the last makes the sum right (ISO/IEC 7812, Luhn).

use std::ops::Range;

use regex::Regex;

use super::built_in;

/// A run of digits, with at most one space or hyphen between two of them.
const RUN: &str = r"(?-u)\b[0-9](?:[ -]?[0-9]){12,}\b";

#[derive(Debug)]
pub(crate) struct Cards(Regex);

impl Cards {
    pub(crate) fn new() -> Self {
        Self(built_in(RUN))
    }

    /// Where the card numbers are, in order.
    pub(crate) fn find(&self, text: &str) -> Vec<Range<usize>> {
        self.0.find_iter(text).flat_map(|run| in_run(text.as_bytes(), run.range())).collect()
    }
}

/// The card numbers in a run: whole groups, so that an order number may stand beside one.
fn in_run(text: &[u8], run: Range<usize>) -> Vec<Range<usize>> {
    let is_digit = |at: usize| run.contains(&at) && text[at].is_ascii_digit();
    let starts: Vec<usize> =
        run.clone().filter(|&at| is_digit(at) && (at == run.start || !is_digit(at - 1))).collect();
    let ends: Vec<usize> =
        run.clone().filter(|&at| is_digit(at) && !is_digit(at + 1)).map(|at| at + 1).collect();

    let mut found: Vec<Range<usize>> = Vec::new();
    for (group, &start) in starts.iter().enumerate() {
        if found.last().is_some_and(|last| start < last.end) {
            continue;
        }
        // 19 digits in groups of four are five groups; of several that fit, the longest.
        let within_reach = &ends[group..ends.len().min(group + 5)];
        found.extend(
            within_reach.iter().rev().map(|&end| start..end).find(|range| is_card(&text[range.clone()])),
        );
    }
    found
}

/// Whether this is a card number as cards and people spell it. Dates and counters in a row are digits with separators
/// too, and every tenth such row has a valid sum.
fn is_card(spelling: &[u8]) -> bool {
    // 19 digits in groups of four are 23 characters; a run may be far longer.
    if spelling.len() > 23 {
        return false;
    }
    let separator = *spelling.iter().find(|byte| !byte.is_ascii_digit()).unwrap_or(&b' ');
    let mut groups = spelling.split(|byte| *byte == separator).rev();
    let in_fours = groups.next().is_some() && groups.all(|group| group.len() >= 4);
    let one_separator = spelling.iter().all(|byte| byte.is_ascii_digit() || *byte == separator);

    let digits: Vec<u32> = spelling.iter().filter_map(|byte| char::from(*byte).to_digit(10)).collect();
    // The first digit is the industry; 2 to 6 are banks and travel. Milliseconds since 1970 begin with 1.
    let industry = digits.first().is_some_and(|first| (2..=6).contains(first));
    in_fours && one_separator && industry && (13..=19).contains(&digits.len()) && luhn(&digits)
}

/// Every second digit from the right is doubled; the digits of all of it add up to a multiple of ten.
fn luhn(digits: &[u32]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(index, digit)| if index % 2 == 0 { *digit } else { digit * 2 / 10 + digit * 2 % 10 })
        .sum();
    sum.is_multiple_of(10)
}
