//! Phone numbers: international with a `+`, and North American, in the usual spellings.

use std::ops::Range;

use regex::Regex;

use super::built_in;

/// In this order, since the first alternative that fits counts:
/// `+49 30 1234567`, groups of up to a dozen digits; `(555) 555-0199`; `555-555-0199`; `555-0199`.
const PHONE: &str = r"(?x-u)
    \+ [1-9][0-9]{0,14} (?: [\ ./-]? \(? [0-9]{1,12} \)? ){0,6} \b
  | (?: \b 1 [\ .-]? )? \( [0-9]{3} \) [\ .-]? [0-9]{3} [\ .-]? [0-9]{4} \b
  | \b (?: 1 [\ .-] )? [0-9]{3} [\ .-] [0-9]{3} [\ .-] [0-9]{4} \b
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

    /// Where the phone numbers are, in order.
    pub(crate) fn find(&self, text: &str) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        let mut at = 0;
        while let Some(candidate) = self.0.find_at(text, at) {
            if is_phone(text.as_bytes(), candidate.range()) {
                found.push(candidate.range());
                at = candidate.end();
            } else {
                // Behind its first character, which is ASCII, another may begin.
                at = candidate.start() + 1;
            }
        }
        found
    }
}

/// Whether a candidate stands for itself, and is not a piece of something longer.
fn is_phone(text: &[u8], range: Range<usize>) -> bool {
    let before = |back: usize| range.start.checked_sub(back).and_then(|at| text.get(at)).copied();
    let after = |on: usize| text.get(range.end + on).copied();
    let is_digit = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_digit());
    match text[range.start] {
        // `…:50+0100 2024`: a time's offset from UTC.
        b'+' => {
            let digits = text[range.clone()].iter().filter(|byte| byte.is_ascii_digit()).count();
            digits >= INTERNATIONAL_DIGITS && !is_digit(before(1))
        }
        b'(' => true,
        // `50.234-0500`, `2.555.555.0199`, `555-0199-1234`: a group of something longer.
        _ => {
            let in_chain_before = matches!(before(1), Some(b'-' | b'.')) && is_digit(before(2));
            let in_chain_after = matches!(after(0), Some(b'-' | b'.')) && is_digit(after(1));
            !in_chain_before && !in_chain_after
        }
    }
}
