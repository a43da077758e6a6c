//! Long numbers, shortened for people.

use std::time::Duration;

/// `9999`, `12.3k`, `1.2M`.
pub fn count(count: u64) -> String {
    if count < 10_000 { count.to_string() } else { scaled(count, &["", "k", "M", "G"]) }
}

/// `512 B`, `3.4 KB`, `1.2 MB`: powers of 1,000.
pub fn bytes(bytes: u64) -> String {
    scaled(bytes, &[" B", " KB", " MB", " GB", " TB"])
}

/// `3.2 s`, `42 s`, `2 min 5 s`, `3 h 20 min`.
pub fn time(time: Duration) -> String {
    // Tenths, rounded: 9.96 s is `10 s`.
    let tenths = (time.as_millis() + 50) / 100;
    let seconds = (time.as_millis() + 500) / 1_000;
    match seconds {
        0..60 if tenths < 100 => format!("{}.{} s", tenths / 10, tenths % 10),
        0..60 => format!("{seconds} s"),
        60..3_600 => two(seconds / 60, "min", seconds % 60, "s"),
        _ => two(seconds / 3_600, "h", seconds % 3_600 / 60, "min"),
    }
}

/// A noun with its number: `1 event`, `2 events`.
pub fn of(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(number), if number == 1 { "" } else { "s" })
}

fn two(large: u128, unit: &str, small: u128, small_unit: &str) -> String {
    if small == 0 { format!("{large} {unit}") } else { format!("{large} {unit} {small} {small_unit}") }
}

/// With one decimal, from 1,000 on.
fn scaled(number: u64, units: &[&str]) -> String {
    if number < 1_000 {
        return format!("{number}{}", units[0]);
    }
    let mut divisor = 1;
    for (index, unit) in units.iter().enumerate().skip(1) {
        divisor *= 1_000;
        let tenths = number / divisor * 10 + (number % divisor * 10 + divisor / 2) / divisor;
        if tenths < 10_000 || index + 1 == units.len() {
            return format!("{}.{}{unit}", tenths / 10, tenths % 10);
        }
    }
    unreachable!("the last unit has no end")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_numbers_are_short_and_have_one_decimal() {
        for (number, shown) in [
            (0, "0"),
            (9_999, "9999"),
            (10_000, "10.0k"),
            (12_345, "12.3k"),
            (999_949, "999.9k"),
            (999_950, "1.0M"),
        ] {
            assert_eq!(count(number), shown);
        }
        for (number, shown) in [(512, "512 B"), (3_449, "3.4 KB"), (3_450, "3.5 KB"), (5_000_000, "5.0 MB")] {
            assert_eq!(bytes(number), shown);
        }
        assert_eq!(count(u64::MAX), "18446744073.7G");
        assert_eq!(
            [of(1, "event"), of(0, "event"), of(20_000, "event")],
            ["1 event", "0 events", "20.0k events"]
        );
    }

    #[test]
    fn times_have_two_units_at_most() {
        for (ms, shown) in [
            (0, "0.0 s"),
            (3_249, "3.2 s"),
            (9_960, "10 s"),
            (59_499, "59 s"),
            (59_500, "1 min"),
            (125_000, "2 min 5 s"),
            (12_000_000, "3 h 20 min"),
        ] {
            assert_eq!(time(Duration::from_millis(ms)), shown, "{ms}");
        }
    }
}
