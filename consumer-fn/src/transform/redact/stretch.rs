//! Finds stretches of the bytes that phone and card numbers are spelled with. Only these are searched closely. Most of a text
//! is outside of them.

use std::ops::Range;

use super::spelling::DASH;

/// The stretches of `text` that have at least `fewest` digits, in order, each with how many it has.
///
/// A stretch that is long enough covers one of any `fewest` bytes in a row. So only every so many is looked at. `fewest` is at least
/// seven.
pub(super) fn stretches(text: &[u8], fewest: usize) -> impl Iterator<Item = (Range<usize>, usize)> {
    // Here a stretch may begin: what is before is none of its bytes.
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let probe = at + fewest - 1;
            if !is_part(*text.get(probe)?) || is_short(text, probe) {
                at = probe + 1;
                continue;
            }
            let is_other = |byte: &u8| !is_part(*byte);
            let start = text[at..probe].iter().rposition(is_other).map_or(at, |before| at + before + 1);
            let end = text[probe..].iter().position(is_other).map_or(text.len(), |after| probe + after);
            at = end;
            // Some are numbers of a few digits.
            if end - start >= fewest {
                let digits = digits(&text[start..end]);
                if digits >= fewest {
                    return Some((start..end, digits));
                }
            }
        }
    })
}

/// Whether a stretch with this byte has fewer than seven: else it has three more on one side. Without a branch for each: most
/// are spaces between words.
fn is_short(text: &[u8], at: usize) -> bool {
    let all_parts = |three: &[u8]| three.iter().fold(true, |all, byte| all & is_part(*byte));
    // The end of the text is too near to say.
    let may_go_on = |start: usize| text.get(start..start + 3).is_none_or(all_parts);
    !(may_go_on(at - 3) | may_go_on(at + 1))
}

/// How many digits there are.
pub(super) fn digits(text: &[u8]) -> usize {
    text.iter().filter(|byte| byte.is_ascii_digit()).count()
}

/// Whether a number may have this byte in it.
fn is_part(byte: u8) -> bool {
    PARTS[usize::from(byte)]
}

const PARTS: [bool; 256] = {
    let mut parts = [false; 256];
    let all = b"0123456789()+/ -.\x1f";
    let mut index = 0;
    while index < all.len() {
        parts[all[index] as usize] = true;
        index += 1;
    }
    parts
};

/// Whether this may be between the groups of digits of a number.
pub(super) fn is_separator(byte: u8) -> bool {
    matches!(byte, b' ' | b'-' | b'.') || char::from(byte) == DASH
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_stretch_goes_as_far_as_a_number_could_and_short_ones_are_left_out() {
        let text = "at 10:42 tel. +49 (0)30 1234567, 555-0199";
        let found: Vec<_> =
            stretches(text.as_bytes(), 7).map(|(stretch, digits)| (&text[stretch], digits)).collect();
        assert_eq!(found, [(". +49 (0)30 1234567", 12), (" 555-0199", 7)]);
        assert_eq!(stretches(text.as_bytes(), 8).count(), 1);
    }

    proptest! {
        #[test]
        fn every_stretch_with_enough_digits_is_found_and_no_other(text in "([a,]{1,4}|[0-9 .+]{1,10}){0,9}", fewest in 7_usize..10) {
            let plain = text.split([',', 'a']).map(|stretch| (stretch, digits(stretch.as_bytes())));
            let expected: Vec<_> = plain.filter(|(_, digits)| *digits >= fewest).collect();
            let found: Vec<_> =
                stretches(text.as_bytes(), fewest).map(|(stretch, digits)| (&text[stretch], digits)).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
