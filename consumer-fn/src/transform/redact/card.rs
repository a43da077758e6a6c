//! Card numbers: 13 to 19 digits, grouped or not, with a valid check digit (ISO/IEC 7812, Luhn).

use std::ops::{Range, RangeInclusive};

use super::stretch::is_separator;

/// The digits that a card number has.
pub(super) const DIGITS: RangeInclusive<usize> = 13..=19;

/// Appends where the card numbers in a stretch are, in order.
pub(super) fn find(text: &[u8], stretch: Range<usize>, found: &mut Vec<Range<usize>>) {
    let groups = groups(text, stretch);
    // A run has one separator between two groups.
    let runs = groups.chunk_by(|one, next| next.start == one.end + 1 && is_separator(text[one.end]));
    runs.for_each(|run| in_run(text, outside_words(text, run), found));
}

/// The groups of digits in a stretch.
pub(super) fn groups(text: &[u8], stretch: Range<usize>) -> Vec<Range<usize>> {
    let mut groups: Vec<Range<usize>> = Vec::new();
    for at in stretch.filter(|at| text[*at].is_ascii_digit()) {
        match groups.last_mut() {
            Some(group) if group.end == at => group.end += 1,
            _ => groups.push(at..at + 1),
        }
    }
    groups
}

/// A run without the groups at its ends that belong to a word.
fn outside_words<'a>(text: &[u8], mut run: &'a [Range<usize>]) -> &'a [Range<usize>] {
    let is_word = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    if let [first, rest @ ..] = run
        && is_word(first.start.checked_sub(1).map(|before| &text[before]))
    {
        run = rest;
    }
    if let [rest @ .., last] = run
        && is_word(text.get(last.end))
    {
        run = rest;
    }
    run
}

/// The card numbers in a run: whole groups, so that an order number may be next to one.
pub(super) fn in_run(text: &[u8], run: &[Range<usize>], found: &mut Vec<Range<usize>>) {
    for (index, group) in run.iter().enumerate() {
        if found.last().is_some_and(|last| group.start < last.end) {
            continue;
        }
        // 19 digits in groups of four are five groups; of several that fit, the longest.
        let within_reach = &run[index..run.len().min(index + 5)];
        let ranges = within_reach.iter().rev().map(|last| group.start..last.end);
        found.extend({ ranges }.find(|range| is_card(&text[range.clone()])));
    }
}

/// Whether this is a card number as cards and people spell it. Dates and counters in a row are digits with separators
/// too, and every tenth such row has a valid sum.
fn is_card(spelling: &[u8]) -> bool {
    // 19 digits in groups of four are 23 characters; a run may be far longer. The first digit is the industry; 2 to 6 are
    // banks and travel. Milliseconds since 1970 begin with 1.
    if !(*DIGITS.start()..=23).contains(&spelling.len()) || !matches!(spelling[0], b'2'..=b'6') {
        return false;
    }
    luhn(spelling) && is_grouped(spelling)
}

/// Whether the groups of digits are those of a card.
fn is_grouped(spelling: &[u8]) -> bool {
    let groups: Vec<_> = spelling.split(|byte| !byte.is_ascii_digit()).map(<[u8]>::len).collect();
    let separator = *spelling.iter().find(|byte| !byte.is_ascii_digit()).unwrap_or(&b' ');
    let is_the_only_one = spelling.iter().all(|byte| byte.is_ascii_digit() || *byte == separator);
    match &groups[..] {
        [all_but_last @ .., _] if is_the_only_one && separator != b'.' => {
            all_but_last.iter().all(|digits| *digits >= 4)
        }
        // Full stops are in decimals and addresses, too, and several separators between numbers in a row.
        [4, 6, 4 | 5] => true,
        [all_but_last @ .., 1..=4] => groups.len() >= 4 && all_but_last.iter().all(|digits| *digits == 4),
        _ => false,
    }
}

/// Whether there are as many digits as a card has, and their sum is right: every second one from the right is doubled,
/// and the digits of all of it add up to a multiple of ten.
fn luhn(spelling: &[u8]) -> bool {
    let digits = spelling.iter().rev().filter_map(|byte| char::from(*byte).to_digit(10));
    let (mut count, mut sum) = (0, 0);
    for digit in digits {
        sum += if count % 2 == 0 { digit } else { digit * 2 / 10 + digit * 2 % 10 };
        count += 1;
    }
    DIGITS.contains(&count) && sum.is_multiple_of(10)
}
