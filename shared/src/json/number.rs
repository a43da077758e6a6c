//! Numbers that every reader holds: integers of 64 bits with a sign, and those with a fraction or an exponent that an `f64`
//! holds.

/// Numbers of at most so many bytes, without an exponent, are neither too large nor too small for an `f64`.
const SURELY_FINITE: usize = 300;
/// Integers of so many bytes fit 64 bits.
const SURELY_64_BITS: usize = 18;

/// The index after the number that begins at `start`.
pub(super) fn end(json: &[u8], start: usize) -> usize {
    let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
    start + json[start..].iter().take_while(|byte| is_part(byte)).count()
}

/// How a number is written that some reader does not hold: as a string with the same characters. Python refuses integers of
/// more than 4,300 digits, others make an infinity of 1e400 and a zero of 1e-400.
///
/// `-0` gets a fraction: a reader of integers would lose its sign.
pub(super) fn rewritten(number: &str) -> Option<String> {
    let is_held = if number.contains(['e', 'E']) || number.len() > SURELY_FINITE {
        let is_integer = !number.contains(['.', 'e', 'E']);
        !is_integer && is_finite(number)
    } else if number == "-0" {
        return Some("-0.0".to_owned());
    } else {
        number.len() <= SURELY_64_BITS || number.contains('.') || number.parse::<i64>().is_ok()
    };
    (!is_held).then(|| format!("\"{number}\""))
}

fn is_finite(number: &str) -> bool {
    let Ok(value) = number.parse::<f64>() else { return false };
    let mut digits = number.split(['e', 'E']).next().into_iter().flat_map(str::bytes);
    value.is_finite() && (value != 0.0 || !digits.any(|byte| matches!(byte, b'1'..=b'9')))
}
