//! Finds stretches of the bytes that phone and card numbers are spelled with. Only these are searched closely. Most of a text
//! is outside of them.

use std::ops::Range;

use super::spelling::DASH;

/// The stretches of `text` that have at least `fewest` digits, in order.
pub(super) fn stretches(text: &[u8], fewest: usize) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let digit = at + text[at..].iter().position(u8::is_ascii_digit)?;
            let before = text[at..digit].iter().rev().take_while(|byte| is_part(**byte)).count();
            let digits = text[digit..].iter().take_while(|byte| is_part(**byte)).count();
            at = digit + digits;
            if digits >= fewest
                && text[digit..at].iter().filter(|byte| byte.is_ascii_digit()).count() >= fewest
            {
                return Some(digit - before..at);
            }
        }
    })
}

/// Whether a number may have this byte in it.
fn is_part(byte: u8) -> bool {
    is_separator(byte) || matches!(byte, b'0'..=b'9' | b'(' | b')' | b'+' | b'/')
}

/// Whether this may be between the groups of digits of a number.
pub(super) fn is_separator(byte: u8) -> bool {
    matches!(byte, b' ' | b'-' | b'.') || char::from(byte) == DASH
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_goes_as_far_as_a_number_could_and_short_ones_are_left_out() {
        let text = "at 10:42 tel. +49 (0)30 1234567, 555-0199";
        let found: Vec<_> = stretches(text.as_bytes(), 7).map(|stretch| &text[stretch]).collect();
        assert_eq!(found, [". +49 (0)30 1234567", " 555-0199"]);
        assert_eq!(stretches(text.as_bytes(), 8).count(), 1);
    }
}
