//! Points in time. The clock is a value, so that tests set the time.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use chrono::{DateTime, Datelike, Timelike, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::text;

/// A point in time in whole milliseconds since the Unix epoch; written as RFC 3339 in UTC, `2026-11-21T09:30:00.123Z`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// The last millisecond of the year 9999. RFC 3339 cannot write later times.
const LATEST_MS: i64 = 253_402_300_799_999;

impl Timestamp {
    /// Values outside the years 1970 to 9999 become the nearest end of that range.
    pub fn from_unix_ms(ms: i64) -> Self {
        Self(ms.clamp(0, LATEST_MS))
    }

    /// The first millisecond at or after a time of RFC 3339.
    pub fn first_at(text: &str) -> Option<Self> {
        let time = DateTime::parse_from_rfc3339(text).ok()?;
        let is_finer = time.timestamp_subsec_nanos() % 1_000_000 > 0;
        Some(Self::from_unix_ms(time.timestamp_millis() + i64::from(is_finer)))
    }

    /// Compares two times of RFC 3339 as they are written, also where they become the same millisecond. `None` if one is none.
    pub fn compare(one: &str, other: &str) -> Option<Ordering> {
        let time = |text| DateTime::parse_from_rfc3339(text).ok();
        Some(time(one)?.cmp(&time(other)?))
    }

    pub fn unix_ms(self) -> i64 {
        self.0
    }

    /// How long after `earlier` this is; zero if it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0 - earlier.0).unwrap_or(0))
    }

    pub fn plus(self, duration: Duration) -> Self {
        Self::from_unix_ms(self.0.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// Whether what was to be done at this time, at most `period` after it was decided, is due; also where the clock was set back
    /// by so much that the period cannot have begun.
    pub fn is_due(self, now: Self, period: Duration) -> bool {
        self <= now || self.since(now) > period
    }

    /// The partition folders of an object key: `dt=YYYY-MM-DD/hr=HH`, in UTC.
    pub fn hour_partition(self) -> String {
        self.to_utc().format("dt=%Y-%m-%d/hr=%H").to_string()
    }

    /// The day's part of an object key: `dt=YYYY-MM-DD`, in UTC.
    pub fn day_partition(self) -> String {
        self.to_utc().format("dt=%Y-%m-%d").to_string()
    }

    /// As it is written, without memory of its own: each event has several times.
    pub(crate) fn written(self) -> Written {
        // Without a zone: with one, each part would be converted anew.
        let utc = self.to_utc().naive_utc();
        let parts = [
            (0..4, utc.year().unsigned_abs()),
            (5..7, utc.month()),
            (8..10, utc.day()),
            (11..13, utc.hour()),
            (14..16, utc.minute()),
            (17..19, utc.second()),
            (20..23, utc.nanosecond() / 1_000_000),
        ];
        let mut written = *b"0000-00-00T00:00:00.000Z";
        for (digits, mut number) in parts {
            for digit in written[digits].iter_mut().rev() {
                *digit += u8::try_from(number % 10).expect("it is a digit");
                number /= 10;
            }
        }
        Written(written)
    }

    pub fn to_utc(self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.0).expect("clamped to the years 1970 to 9999 at construction")
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.written().as_str())
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.written().as_str())
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text::parsed(deserializer, |text| {
            DateTime::parse_from_rfc3339(text)
                .map(|time| Self::from_unix_ms(time.timestamp_millis()))
                .map_err(|_| format!("`{text}` is not an RFC 3339 time"))
        })
    }
}

/// A [`Timestamp`] in RFC 3339.
pub(crate) struct Written([u8; 24]);

impl Written {
    pub(crate) fn as_str(&self) -> &str {
        str::from_utf8(&self.0).expect("digits and what is between them are ASCII")
    }
}

/// Tells the time: the system's, or a test's.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    pub fn system() -> Self {
        #[expect(clippy::disallowed_methods, reason = "this is where the ban points to")]
        Self::new(|| {
            let since_epoch = std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            Timestamp::from_unix_ms(i64::try_from(since_epoch.as_millis()).unwrap_or(LATEST_MS))
        })
    }

    /// A clock that calls `now` each time.
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// A clock that always tells `at`.
    pub fn fixed(at: Timestamp) -> Self {
        Self::new(move || at)
    }

    pub fn now(&self) -> Timestamp {
        (self.0)()
    }

    /// The time left until `deadline_ms`, as the Lambda runtime gives it in Unix milliseconds. Some local hosts give a time in
    /// the past, or a duration: that says nothing.
    pub fn remaining(&self, deadline_ms: u64) -> Option<Duration> {
        let deadline = Timestamp::from_unix_ms(i64::try_from(deadline_ms).unwrap_or(i64::MAX));
        let remaining = deadline.since(self.now());
        (!remaining.is_zero()).then_some(remaining)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({})", self.now())
    }
}

#[cfg(test)]
mod tests {
    use chrono::SecondsFormat;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn partitions_are_in_utc_with_leading_zeros() {
        let t = Timestamp::from_unix_ms(1_704_937_370_234);
        assert_eq!(t.to_string(), "2024-01-11T01:42:50.234Z");
        assert_eq!(t.hour_partition(), "dt=2024-01-11/hr=01");
    }

    #[test]
    fn a_timestamp_is_read_as_it_was_written() {
        for ms in [0, 1, 999, 1_704_937_370_234, LATEST_MS] {
            let t = Timestamp::from_unix_ms(ms);
            assert_eq!(serde_json::from_str::<Timestamp>(&serde_json::to_string(&t).unwrap()).unwrap(), t);
        }
    }

    proptest! {
        #[test]
        fn a_timestamp_is_written_as_chrono_writes_it(ms in 0..=LATEST_MS) {
            let t = Timestamp::from_unix_ms(ms);
            prop_assert_eq!(t.to_string(), t.to_utc().to_rfc3339_opts(SecondsFormat::Millis, true));
        }
    }

    #[test]
    fn a_time_between_two_milliseconds_becomes_the_later_one() {
        let first = |text| Timestamp::first_at(text).map(|time| time.to_string());
        assert_eq!(first("2026-11-21T09:30:00.123Z").unwrap(), "2026-11-21T09:30:00.123Z");
        assert_eq!(first("2026-11-21T09:30:00.123000001Z").unwrap(), "2026-11-21T09:30:00.124Z");
        assert_eq!(first("1960-01-01T00:00:00Z").unwrap(), "1970-01-01T00:00:00.000Z");
        assert_eq!(first("2026-11-21"), None);
    }

    #[test]
    fn what_is_due_in_a_minute_is_due_after_it_and_when_the_clock_was_set_back() {
        let (decided, minute) = (Timestamp::from_unix_ms(1_000_000_000), Duration::from_mins(1));
        let is_due_at = |now_ms| decided.plus(minute).is_due(Timestamp::from_unix_ms(now_ms), minute);
        let times = [0, 999_999_999, 1_000_000_000, 1_000_059_999, 1_000_060_000, 2_000_000_000];
        assert_eq!(times.map(is_due_at), [true, true, false, false, true, true]);
    }

    #[test]
    fn times_are_compared_as_they_are_written() {
        let compare = |one, other| Timestamp::compare(one, other);
        assert_eq!(compare("1960-01-01T00:00:00Z", "1961-01-01T00:00:00Z"), Some(Ordering::Less));
        assert_eq!(
            compare("2026-11-21T09:30:00.1239Z", "2026-11-21T09:30:00.1231Z"),
            Some(Ordering::Greater)
        );
        assert_eq!(compare("2026-11-21T09:30:00Z", "2026-11-21T10:30:00+01:00"), Some(Ordering::Equal));
        assert_eq!(compare("2026-11-21", "2026-11-21T09:30:00Z"), None);
    }

    #[test]
    fn times_outside_rfc_3339_become_its_ends() {
        assert_eq!(Timestamp::from_unix_ms(i64::MIN).unix_ms(), 0);
        assert_eq!(Timestamp::from_unix_ms(i64::MAX).to_string(), "9999-12-31T23:59:59.999Z");
    }
}
