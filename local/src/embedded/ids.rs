//! Ids that rise with time, for events without an id of their own.
//!
//! SQLite writes whole pages. Random ids go to as many pages of the items' index as there are ids in a transaction, and each page
//! goes to the log and then to the file. Rising ids go to the last page of each tenant. On AWS it is the other way round: there
//! [`Ids::system`] makes random ones.

use std::sync::atomic::{AtomicU32, Ordering};

use shared::id::Ids;
use shared::time::Clock;
use uuid::Builder;

/// UUIDs of version 7: the time, a part that is random for each process, a count.
pub(crate) fn rising(clock: Clock) -> Ids {
    let random = *Ids::system().next().as_bytes();
    let count = AtomicU32::new(u32::from_be_bytes([random[10], random[11], random[12], random[13]]));
    Ids::new(move || {
        let millis = clock.now().unix_ms().unsigned_abs();
        let [a, b, c, d] = count.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        let rest = [random[0], random[1], random[2], a, b, c, d, random[3], random[4], random[5]];
        Builder::from_unix_timestamp_millis(millis, &rest).into_uuid()
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicI64;

    use shared::time::Timestamp;
    use uuid::Version;

    use super::*;

    #[test]
    fn ids_rise_with_time_and_two_processes_make_different_ones() {
        let now = Arc::new(AtomicI64::new(1_764_000_000_000));
        let read = Arc::clone(&now);
        let clock = Clock::new(move || Timestamp::from_unix_ms(read.load(Ordering::Relaxed)));
        let (one, other) = (rising(clock.clone()), rising(clock));
        let mut last = one.next();
        assert_eq!(last.get_version(), Some(Version::SortRand));
        for _ in 0..1_000 {
            now.fetch_add(1, Ordering::Relaxed);
            let next = one.next();
            assert!(next > last && next.to_string() > last.to_string(), "{next} after {last}");
            assert_ne!(next, other.next());
            last = next;
        }
        // The count may begin again at 0 once, so only equality is certain within a millisecond.
        assert!(one.next() != last);
    }
}
