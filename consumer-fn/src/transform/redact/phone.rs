//! Phone numbers: international with a `+`, and North American, in the usual spellings.

use std::ops::Range;

use regex::Regex;

use super::built_in;
use super::stretch::{digits, is_separator};

/// In this order, since the first alternative that fits counts:
/// `+49 30 1234567`, groups of up to a dozen digits; `(555) 555-0199`; `555-555-0199`; `555-0199`. `\x1f` is a dash, see `spelling.rs`.
const PHONE: &str = r"(?x-u)
    \+ [1-9][0-9]{0,14} (?: [\ ./\x1f-]? \(? [0-9]{1,12} \)? ){0,6} \b
  | (?: \b 1 [\ .\x1f-]? )? \( [0-9]{3} \) [\ .\x1f-]? [0-9]{3} [\ .\x1f-]? [0-9]{4} \b
  | \b (?: 1 [\ .\x1f-] )? [0-9]{3} [\ .\x1f-] [0-9]{3} [\ .\x1f-] [0-9]{4} \b
  | \b [0-9]{3} - [0-9]{4} \b";

/// The fewest digits of an international number: country code and subscriber (E.164 has no least; Saint Helena's
/// numbers have 8).
const INTERNATIONAL_DIGITS: usize = 8;

#[derive(Debug)]
pub(crate) struct Phones(Regex);

impl Phones {
    pub(crate) fn new() -> Self {
        Self(built_in(PHONE))
    }

    /// Appends where the phone numbers in a stretch are, in order.
    pub(super) fn find(&self, text: &str, stretch: Range<usize>, found: &mut Vec<Range<usize>>) {
        if may_hold_one(&text.as_bytes()[stretch.clone()]) {
            self.find_within(text, stretch, found);
        }
    }

    /// The phone numbers within a stretch. Its neighbours are seen, so that a word's end is known.
    pub(crate) fn find_within(&self, text: &str, stretch: Range<usize>, found: &mut Vec<Range<usize>>) {
        // A byte that is not ASCII is no part of a word, just as the end of the text.
        let neighbour = text.as_bytes().get(stretch.end).is_some_and(u8::is_ascii);
        let seen = &text[..stretch.end + usize::from(neighbour)];
        let mut at = stretch.start;
        while let Some(candidate) = self.0.find_at(seen, at) {
            if is_phone(text.as_bytes(), candidate.range()) {
                found.push(candidate.range());
                at = candidate.end();
            } else {
                // Another may begin after its first character, which is ASCII.
                at = candidate.start() + 1;
            }
        }
    }
}

/// Whether the expression is worth its time here: each of its alternatives has a `+` before a digit, a parenthesis
/// before a digit, or three digits and four.
fn may_hold_one(stretch: &[u8]) -> bool {
    let has_mark = |pair: &[u8]| matches!(pair, [b'+', b'1'..=b'9'] | [b'(', b'0'..=b'9']);
    let are_digits = |bytes: &[u8]| bytes.iter().all(u8::is_ascii_digit);
    let three_and_four =
        |piece: &[u8]| is_separator(piece[3]) && are_digits(&piece[..3]) && are_digits(&piece[4..]);
    stretch.windows(2).any(has_mark) || stretch.windows(8).any(three_and_four)
}

/// Whether a candidate is a number of its own, not a piece of something longer.
fn is_phone(text: &[u8], range: Range<usize>) -> bool {
    let before = |back: usize| range.start.checked_sub(back).and_then(|at| text.get(at)).copied();
    let after = |on: usize| text.get(range.end + on).copied();
    let is_digit = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_digit());
    match text[range.start] {
        // `…:50+0100 2024`: a time's offset from UTC.
        b'+' => digits(&text[range.clone()]) >= INTERNATIONAL_DIGITS && !is_digit(before(1)),
        b'(' => true,
        // `50.234-0500`, `2.555.555.0199`, `555-0199-1234`: a group of something longer.
        _ => {
            let is_in_chain = |byte| is_separator(byte) && byte != b' ';
            let in_chain_before = before(1).is_some_and(is_in_chain) && is_digit(before(2));
            let in_chain_after = after(0).is_some_and(is_in_chain) && is_digit(after(1));
            !in_chain_before && !in_chain_after
        }
    }
}
