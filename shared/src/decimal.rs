//! The value of a JSON number, whatever its spelling: `1`, `1.0` and `10e-1` are one number. It is exact for any number of
//! digits, and costs no more than reading the number, whatever its exponent.

use crate::canonical::END;

/// How an `i64` is written at most.
const LONGEST_INTEGER: usize = 20;

/// `0.DIGITS × 10^POINT`, where neither the first nor the last digit is 0. Zero has no digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Decimal<'a> {
    is_negative: bool,
    /// The digits: those that are spelled before the point, and those after it.
    digits: [&'a str; 2],
    point: Point<'a>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Point<'a> {
    At(i64),
    /// The exponent as it is spelled, and where the point is without it. Such exponents are not added up, so two spellings
    /// of one such number may count as two numbers. Two numbers never count as one.
    Beyond(&'a str, i64),
}

impl<'a> Decimal<'a> {
    /// `number` must be a JSON number.
    pub(crate) fn parse(number: &'a str) -> Self {
        let (is_negative, number) = match number.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, number),
        };
        let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
        let (integer, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let integer = integer.trim_start_matches('0');
        let leading = if integer.is_empty() { fraction.trim_start_matches('0') } else { fraction };
        let digits = match (leading.trim_end_matches('0'), integer) {
            ("", integer) => [integer.trim_end_matches('0'), ""],
            (fraction, integer) => [integer, fraction],
        };
        if digits == ["", ""] {
            return Self { is_negative: false, digits, point: Point::At(0) };
        }
        let own = length(integer) - length(fraction) + length(leading);
        let sum = exponent.parse::<i64>().ok().and_then(|exponent| exponent.checked_add(own));
        let point = sum.map_or(Point::Beyond(exponent, own), Point::At);
        Self { is_negative, digits, point }
    }

    /// Without an exponent, as in `-12.5` or `1000`; `None` if this has more than `most` bytes.
    pub(crate) fn plain(&self, most: usize) -> Option<String> {
        let Point::At(point) = self.point else { return None };
        let digits = self.digits.concat();
        let zeros = |count: i64| {
            usize::try_from(count).ok().filter(|count| *count <= most).map(|count| "0".repeat(count))
        };
        let sign = if self.is_negative { "-" } else { "" };
        let plain = match usize::try_from(point) {
            _ if digits.is_empty() => "0".to_owned(),
            Ok(at) if 0 < at && at < digits.len() => format!("{sign}{}.{}", &digits[..at], &digits[at..]),
            Ok(at) if at > 0 => format!("{sign}{digits}{}", zeros(point - length(&digits))?),
            _ => format!("{sign}0.{}{digits}", zeros(point.checked_neg()?)?),
        };
        Some(plain).filter(|plain| plain.len() <= most)
    }

    pub(crate) fn integer(&self) -> Option<i64> {
        // Without this, each fraction would be written to see that it is one.
        let is_integer =
            matches!(self.point, Point::At(point) if point >= self.digits.map(length).iter().sum());
        if is_integer { self.plain(LONGEST_INTEGER)?.parse().ok() } else { None }
    }

    /// Appends bytes that only this value has, and of which no two are the beginning of each other.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        if let Some(integer) = self.integer() {
            return write_integer(integer, out);
        }
        let tag = match (self.is_negative, self.point) {
            (false, Point::At(_)) => b'+',
            (true, Point::At(_)) => b'-',
            (false, Point::Beyond(..)) => b'P',
            (true, Point::Beyond(..)) => b'M',
        };
        out.push(tag);
        out.extend(self.digits[0].as_bytes());
        out.extend(self.digits[1].as_bytes());
        out.push(END);
        let (Point::At(point) | Point::Beyond(_, point)) = self.point;
        out.extend(point.to_le_bytes());
        if let Point::Beyond(exponent, _) = self.point {
            out.extend(exponent.as_bytes());
            out.push(END);
        }
    }
}

/// What [`Decimal::write`] writes for this number. Most numbers are small integers.
pub(crate) fn write_integer(integer: i64, out: &mut Vec<u8>) {
    out.push(b'i');
    out.extend_from_slice(&integer.to_le_bytes());
}

fn length(digits: &str) -> i64 {
    i64::try_from(digits.len()).expect("no text has 2^63 bytes")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes(number: &str) -> Vec<u8> {
        let mut out = Vec::new();
        Decimal::parse(number).write(&mut out);
        out
    }

    #[test]
    fn spellings_of_one_number_are_equal_and_other_numbers_are_not() {
        let numbers: [&[&str]; 11] = [
            &["0", "-0", "0.0", "0e5", "-0.00E-9999999999999999999999"],
            &["1", "1.0", "1e0", "10e-1", "0.1E+1", "0.0001e4", "1e-0", "1e+00000000000000000000000000000"],
            &["-1", "-1.000"],
            &["100", "1e2", "1.0E2", "0.1e003"],
            &["0.1", "1e-1"],
            &["12345678901234567890123", "12345678901234567890123.0", "1.2345678901234567890123e22"],
            &["12345678901234567890124"],
            &["0.1000000000000000055511151231257827"],
            &["1e999999999", "10e999999998"],
            &["1e-999999999", "0.1e-999999998"],
            &["1e99999999999999999999", "1.0e99999999999999999999"],
        ];
        for (index, spellings) in numbers.iter().enumerate() {
            for spelling in *spellings {
                assert_eq!(bytes(spelling), bytes(spellings[0]), "{spelling}");
                for others in &numbers[..index] {
                    assert_ne!(bytes(spelling), bytes(others[0]), "{spelling} {}", others[0]);
                }
            }
        }
    }

    #[test]
    fn a_plain_number_has_no_exponent_and_a_bounded_length() {
        let plain = |number| Decimal::parse(number).plain(8);
        for (number, expected) in [
            ("0", "0"),
            ("-0.0", "0"),
            ("42", "42"),
            ("42.0", "42"),
            ("4.2e3", "4200"),
            ("-1.50", "-1.5"),
            ("12e-4", "0.0012"),
            ("1e7", "10000000"),
        ] {
            assert_eq!(plain(number).as_deref(), Some(expected), "{number}");
        }
        for long in
            ["1e8", "123456789", "1e-8", "1e999999999", "1e-9223372036854775808", "1e99999999999999999999"]
        {
            assert_eq!(plain(long), None, "{long}");
        }
    }

    proptest! {
        #[test]
        fn the_value_is_that_of_integers_with_a_scale(number in -999_999_i64..=999_999, zeros in 0..5_usize, shift in 0..5_usize) {
            let zero = |count| "0".repeat(count);
            let spelled = format!("{number}{}.{}e-{zeros}", zero(zeros), zero(shift));
            prop_assert_eq!(bytes(&spelled), bytes(&number.to_string()), "{}", spelled);
            prop_assert_eq!(Decimal::parse(&spelled).plain(20), Some(number.to_string()));
            prop_assert_ne!(bytes(&format!("{number}e1")) == bytes(&number.to_string()), number != 0);
        }
    }
}
