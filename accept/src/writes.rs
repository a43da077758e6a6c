//! What a load made Tidegate write to S3, and what it may write: one archive object for each shard and window, more only
//! where one is full, and nothing beside it for an event that fits a stream record.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, ensure};
use operate::deployment::{Deployment, ListedObject};
use shared::limits::{LAMBDA_PAYLOAD_BYTES, OBJECT_BYTES};
use shared::mapping::Rules;
use shared::time::Timestamp;

use crate::stored::{Archived, Stored};

/// Bytes of records in one invocation: they are in its payload in base64.
const BATCH_BYTES: usize = LAMBDA_PAYLOAD_BYTES / 4 * 3;

/// Objects that were written since some moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Writes {
    pub(crate) archive: Vec<ListedObject>,
    /// Parts of events that are too large for a stream record.
    pub(crate) claims: Vec<ListedObject>,
    /// Parts of lines that are too large for an archive object.
    pub(crate) texts: Vec<ListedObject>,
    /// Bad records, and batches that failed.
    pub(crate) failed: Vec<ListedObject>,
}

/// What a load may make Tidegate write.
#[derive(Clone, Debug)]
pub(crate) struct Bound {
    pub(crate) tenants: Vec<String>,
    pub(crate) events: usize,
    pub(crate) took: Duration,
    pub(crate) shards: usize,
    /// How many parts the large events may have, by their ids.
    pub(crate) large: BTreeMap<String, Parts>,
}

/// The most parts that an event may be stored in, apart from the archive object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parts {
    pub(crate) claims: usize,
    pub(crate) texts: usize,
}

impl Writes {
    pub(crate) async fn since<D: Deployment>(
        stored: &Stored<'_, D>,
        since: Timestamp,
    ) -> anyhow::Result<Self> {
        let mut failed = stored.objects("errors/", since).await?;
        failed.extend(stored.objects("aws/lambda/", since).await?);
        Ok(Self {
            archive: stored.objects("events/", since).await?,
            claims: stored.objects("claims/", since).await?,
            texts: stored.objects("texts/", since).await?,
            failed,
        })
    }

    fn all(&self) -> impl Iterator<Item = &ListedObject> {
        [&self.archive, &self.claims, &self.texts, &self.failed].into_iter().flatten()
    }

    /// No more than the bound.
    pub(crate) fn are_few(&self, bound: &Bound) -> anyhow::Result<String> {
        ensure!(!self.archive.is_empty(), "no archive object was written");
        let most = bound.archive_objects(self.archive.iter().map(|object| object.bytes).sum());
        ensure!(
            self.archive.len() <= most,
            "{} archive objects, at most {most} were expected: one for each of {} shards and window of {} s",
            self.archive.len(),
            bound.shards,
            window().as_secs()
        );
        let claims = bound.parts(&self.claims, |parts| parts.claims)?;
        let texts = bound.parts(&self.texts, |parts| parts.texts)?;
        if let Some(object) = self.failed.first() {
            anyhow::bail!("{} objects hold what failed, the first: {}", self.failed.len(), object.key);
        }
        let writes = self.archive.len() + claims + texts;
        #[expect(clippy::cast_precision_loss, reason = "it is for people")]
        let per_second = writes as f64 / bound.took.as_secs_f64().max(1.0);
        Ok(format!(
            "{} events, {} archive objects (at most {most}: shards × windows, and full ones), {claims} parts of {} events \
             that do not fit a record, {texts} parts of lines that do not fit an object: {per_second:.2} S3 writes/s",
            bound.events,
            self.archive.len(),
            bound.large.len(),
        ))
    }

    /// None is larger than a file may be.
    pub(crate) fn are_small(&self) -> anyhow::Result<String> {
        let largest = self.all().max_by_key(|object| object.bytes).context("there is no object")?;
        let limit = OBJECT_BYTES as u64;
        ensure!(largest.bytes <= limit, "{} has {} bytes, more than {limit}", largest.key, largest.bytes);
        Ok(format!("{} objects, the largest has {} bytes", self.all().count(), largest.bytes))
    }

    /// At least one of the objects with these events ended because the next event would not have fitted, and not because its
    /// time was over. `events` arrived within one window; none of them compresses.
    pub(crate) fn closed_by_size(&self, events: &[Archived], object_bytes: usize) -> anyhow::Result<String> {
        self.are_small()?;
        let counts = events_by_object(events);
        let limit = object_bytes.min(BATCH_BYTES);
        let mut sizes = Vec::new();
        let mut full = 0;
        for (key, count) in &counts {
            let object = self.archive.iter().find(|object| object.key == **key);
            let bytes = usize::try_from(object.with_context(|| format!("{key} is not listed"))?.bytes)?;
            sizes.push(format!("{count} events in {bytes} bytes"));
            // Lines in the archive are compressed a little better than records.
            full += usize::from(bytes / count * (count + 1) > limit / 20 * 19);
        }
        let sizes = sizes.join(", ");
        ensure!(full > 0, "no object is full ({limit} bytes): {sizes}");
        Ok(format!(
            "{} events within {:.1?}: {sizes}; {full} of {} objects were closed because they were full ({limit} bytes)",
            events.len(),
            received_within(events),
            counts.len()
        ))
    }
}

impl Bound {
    /// One window may have begun before the load, and one ends after it. A full object has at least half of the size, since
    /// the next event, which did not fit, has at most a record's.
    fn archive_objects(&self, bytes: u64) -> usize {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a number of windows is small"
        )]
        let windows = (self.took.as_secs_f64() / window().as_secs_f64()).ceil() as usize + 2;
        self.shards * windows + usize::try_from(bytes).unwrap_or(usize::MAX) / (BATCH_BYTES / 2)
    }

    /// Counts the parts of this load's events. Each must be of a large event, which may have so many.
    fn parts(&self, objects: &[ListedObject], most: impl Fn(&Parts) -> usize) -> anyhow::Result<usize> {
        let mut found: BTreeMap<&str, usize> = BTreeMap::new();
        for object in objects {
            let mut names = object.key.split('/').skip(1);
            let (Some(tenant), Some(id)) = (names.next(), names.next()) else { continue };
            if self.tenants.iter().any(|own| own == tenant) {
                *found.entry(id).or_default() += 1;
            }
        }
        for (id, count) in &found {
            let most = self.large.get(*id).map_or(0, &most);
            ensure!(*count <= most, "{id} was stored in {count} parts beside the archive, allowed: {most}");
        }
        Ok(found.values().sum())
    }
}

/// Objects with several events in them.
pub(crate) fn batched(events: &[Archived]) -> anyhow::Result<String> {
    let counts = events_by_object(events);
    let most = counts.values().max().copied().context("no event was found in the archive")?;
    ensure!(most > 1, "each of {} objects has one event", counts.len());
    Ok(format!("{} events in {} objects, up to {most} in one", events.len(), counts.len()))
}

fn events_by_object(events: &[Archived]) -> BTreeMap<&str, usize> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for event in events {
        *counts.entry(&event.object).or_default() += 1;
    }
    counts
}

/// Between the first and the last event.
pub(crate) fn received_within(events: &[Archived]) -> Duration {
    let received = || events.iter().map(|event| event.line.facts.received_at);
    received().max().zip(received().min()).map_or(Duration::ZERO, |(last, first)| last.since(first))
}

pub(crate) fn window() -> Duration {
    Rules::default().batching_window
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stored::tests::archived;

    fn object(key: &str, bytes: u64) -> ListedObject {
        ListedObject { key: key.to_owned(), bytes, written: Timestamp::default() }
    }

    /// A minute of one shard, with one event that does not fit a record.
    fn bound() -> Bound {
        Bound {
            tenants: vec!["acme".to_owned()],
            events: 6_000,
            took: Duration::from_mins(1),
            shards: 1,
            large: BTreeMap::from([("e250".to_owned(), Parts { claims: 1, texts: 0 })]),
        }
    }

    fn archive(count: usize, bytes: u64) -> Vec<ListedObject> {
        (0..count).map(|number| object(&format!("events/{number}"), bytes)).collect()
    }

    fn check(writes: &Writes, expected: Result<(), &str>) {
        let found = writes.are_few(&bound()).map_err(|error| error.to_string());
        match expected {
            Ok(()) => assert!(found.is_ok(), "{found:?}"),
            Err(part) => assert!(found.as_ref().is_err_and(|found| found.contains(part)), "{found:?}"),
        }
    }

    #[test]
    fn a_minute_of_one_shard_has_at_most_twenty_two_objects_and_full_ones() {
        check(&Writes { archive: archive(22, 100_000), ..Writes::default() }, Ok(()));
        let many = Writes { archive: archive(23, 100_000), ..Writes::default() };
        check(&many, Err("23 archive objects, at most 22"));
        check(&Writes { archive: archive(40, 4_700_000), ..Writes::default() }, Ok(()));
        check(&Writes::default(), Err("no archive object"));
    }

    #[test]
    fn an_event_that_fits_a_record_is_not_written_beside_the_archive() {
        let with = |claims: &[&str], texts: &[&str], failed: &[&str]| {
            let objects = |keys: &[&str]| keys.iter().map(|key| object(key, 10)).collect();
            let (claims, texts, failed) = (objects(claims), objects(texts), objects(failed));
            Writes { archive: archive(2, 100), claims, texts, failed }
        };
        check(&with(&["claims/acme/e250/ab"], &[], &[]), Ok(()));
        check(&with(&["claims/other/e1/ab"], &[], &[]), Ok(()));
        check(&with(&["claims/acme/e1/ab"], &[], &[]), Err("e1 was stored in 1 parts beside the archive"));
        let twice = with(&["claims/acme/e250/ab", "claims/acme/e250/cd"], &[], &[]);
        check(&twice, Err("e250 was stored in 2 parts beside the archive, allowed: 1"));
        check(&with(&[], &["texts/acme/e250/ab"], &[]), Err("allowed: 0"));
        check(&with(&[], &[], &["errors/dt=2026-11-27/1"]), Err("1 objects hold what failed"));
    }

    #[test]
    fn a_file_of_more_than_five_megabytes_is_too_large() {
        let of = |bytes| Writes { archive: vec![object("events/1", bytes)], ..Writes::default() };
        assert!(of(5_000_000).are_small().is_ok());
        let error = of(5_000_001).are_small().unwrap_err().to_string();
        assert_eq!(error, "events/1 has 5000001 bytes, more than 5000000");
        assert!(Writes::default().are_small().is_err());
    }

    #[test]
    fn an_object_is_closed_by_size_only_if_the_next_event_would_not_have_fitted() {
        let check = |objects: &[(usize, u64)]| {
            let key = |number: usize| format!("events/{number}");
            let archive = objects.iter().enumerate();
            let archive = archive.map(|(number, (_, bytes))| object(&key(number), *bytes)).collect();
            let events = objects.iter().enumerate().flat_map(|(number, (count, _))| {
                (0..*count).map(move |_| archived("acme", "n", &key(number), Duration::ZERO))
            });
            let events: Vec<_> = events.collect();
            Writes { archive, ..Writes::default() }.closed_by_size(&events, OBJECT_BYTES)
        };
        assert!(check(&[(6, 4_500_000), (6, 4_500_000), (4, 3_000_000)]).is_ok());
        let by_time = check(&[(4, 3_000_000), (4, 3_000_000), (4, 3_000_000)]).unwrap_err().to_string();
        assert!(
            by_time.contains("no object is full (4718592 bytes): 4 events in 3000000 bytes"),
            "{by_time}"
        );
        assert!(check(&[(1, 750_000), (1, 750_000)]).is_err(), "an object for each event");
        assert!(check(&[(16, 12_000_000)]).is_err(), "one object, which is too large");
    }

    #[test]
    fn an_object_for_each_event_is_no_batch() {
        let event = |object: &str| archived("acme", "e", object, Duration::ZERO);
        assert!(batched(&[event("1"), event("2")]).is_err());
        assert_eq!(
            batched(&[event("1"), event("1"), event("2")]).unwrap(),
            "3 events in 2 objects, up to 2 in one"
        );
    }
}
