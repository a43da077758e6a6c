//! Facts by the event that they are about, in memory or in a temporary file, so that an audit of any number of events needs
//! the same memory: facts are added as they are read, and come back in groups that have all facts of their events.
//!
//! A partition that is too large for a group is divided further, by the next byte of the same digest.

use std::fs::File;
use std::marker::PhantomData;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use anyhow::Context;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A fact about an event, or about something else that facts of several stores are about.
pub(crate) trait Homed: Serialize + DeserializeOwned {
    /// Equal for all facts that are judged together.
    fn home(&self) -> u64;
}

/// One for each value of a byte of the digest.
const PARTITIONS: usize = 256;
/// How often a partition can be divided: a digest has no more bytes. What is still too large then is about very few events.
const LEVELS: usize = size_of::<u64>();

/// In bytes as encoded. In memory, a fact takes about six times as much while it is judged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// What is written to the file at a time.
    pub(crate) buffered: usize,
    /// What is judged at a time.
    pub(crate) group: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { buffered: 16 * 1024 * 1024, group: 4 * 1024 * 1024 }
    }
}

#[derive(Debug)]
pub(crate) struct Partitions<F> {
    of: PhantomData<F>,
    bounds: Bounds,
    /// Which byte decides.
    level: usize,
    parts: Vec<Partition>,
    buffered: usize,
    /// It has no name, so it is gone after a crash, too.
    file: Option<File>,
    written: u64,
}

#[derive(Clone, Debug, Default)]
struct Partition {
    /// What is in the file, in the order in which it was added.
    segments: Vec<Range<u64>>,
    /// What was added after that.
    buffer: Vec<u8>,
}

impl Partition {
    fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.end - segment.start).sum::<u64>()
            + self.buffer.len() as u64
    }
}

impl<F: Homed> Default for Partitions<F> {
    fn default() -> Self {
        Self::new(Bounds::default())
    }
}

impl<F: Homed> Partitions<F> {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self::of_level(bounds, 0)
    }

    fn of_level(bounds: Bounds, level: usize) -> Self {
        let parts = vec![Partition::default(); PARTITIONS];
        Self { of: PhantomData, bounds, level, parts, buffered: 0, file: None, written: 0 }
    }

    pub(crate) fn add(&mut self, fact: &F) -> anyhow::Result<()> {
        let part = usize::from(fact.home().to_le_bytes()[self.level]);
        let buffer = &mut self.parts[part].buffer;
        let before = buffer.len();
        postcard::to_io(fact, &mut *buffer)?;
        self.buffered += buffer.len() - before;
        if self.buffered >= self.bounds.buffered { self.write() } else { Ok(()) }
    }

    /// Writes all buffers to the file.
    fn write(&mut self) -> anyhow::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(tempfile::tempfile().with_context(no_room)?),
        };
        for Partition { segments, buffer } in &mut self.parts {
            if buffer.is_empty() {
                continue;
            }
            file.write_all_at(buffer, self.written).with_context(no_room)?;
            let end = self.written + buffer.len() as u64;
            segments.push(self.written..end);
            self.written = end;
            buffer.clear();
        }
        self.buffered = 0;
        Ok(())
    }

    /// The facts of a partition, in the order in which they were added.
    fn read(&self, partition: usize, mut take: impl FnMut(F) -> anyhow::Result<()>) -> anyhow::Result<()> {
        let Partition { segments, buffer } = &self.parts[partition];
        let mut bytes = Vec::new();
        for segment in segments {
            bytes.resize(usize::try_from(segment.end - segment.start)?, 0);
            let file = self.file.as_ref().context("nothing was written")?;
            file.read_exact_at(&mut bytes, segment.start).context("the temporary file")?;
            each(&bytes, &mut take)?;
        }
        each(buffer, &mut take)
    }
}

fn no_room() -> String {
    let folder = std::env::temp_dir();
    format!("the facts do not fit in memory, and could not be written to `{}` (TMPDIR)", folder.display())
}

fn each<F: Homed>(mut bytes: &[u8], take: &mut impl FnMut(F) -> anyhow::Result<()>) -> anyhow::Result<()> {
    while !bytes.is_empty() {
        let (fact, rest) = postcard::take_from_bytes(bytes)?;
        take(fact)?;
        bytes = rest;
    }
    Ok(())
}

/// The groups of facts, one after the other.
#[derive(Debug)]
pub(crate) struct Groups<F> {
    /// Partitions, each of a part of the one before, and how many of them are read.
    stack: Vec<(Partitions<F>, usize)>,
}

impl<F> From<Partitions<F>> for Groups<F> {
    fn from(partitions: Partitions<F>) -> Self {
        Self { stack: vec![(partitions, 0)] }
    }
}

impl<F: Homed> Groups<F> {
    /// Gives the next group to `take`: as many whole partitions as the bound allows. Returns whether there was one.
    pub(crate) fn next(&mut self, mut take: impl FnMut(F)) -> anyhow::Result<bool> {
        let mut bytes = 0;
        while let Some((partitions, next)) = self.stack.last_mut() {
            let Some(more) = partitions.parts.get(*next).map(Partition::bytes) else {
                self.stack.pop();
                continue;
            };
            let bound = partitions.bounds.group;
            if bytes > 0 && bytes + more > bound {
                return Ok(true);
            }
            let level = partitions.level + 1;
            if more > bound && level < LEVELS {
                let mut finer = Partitions::of_level(partitions.bounds, level);
                partitions.read(*next, |fact| finer.add(&fact))?;
                *next += 1;
                self.stack.push((finer, 0));
                continue;
            }
            partitions.read(*next, |fact| {
                take(fact);
                Ok(())
            })?;
            bytes += more;
            *next += 1;
        }
        Ok(bytes > 0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use shared::id::{AdmissionId, EventId, TenantId};
    use shared::time::Timestamp;
    use uuid::Uuid;

    use super::super::facts::{Fact, KnownEvent};
    use super::*;

    const BOUNDS: Bounds = Bounds { buffered: 20_000, group: 5_000 };

    fn event(name: usize, admission: usize) -> KnownEvent {
        KnownEvent {
            tenant: TenantId::parse("acme").unwrap(),
            id: EventId::parse(name.to_string()).unwrap(),
            admission_id: AdmissionId(Uuid::from_u128(admission as u128)),
            content_hash: String::new(),
            received_at: Timestamp::from_unix_ms(0),
        }
    }

    /// What was held at one time, at most, in facts: buffered, and in a group.
    fn held(facts: impl Iterator<Item = Fact>) -> (usize, usize) {
        let mut partitions = Partitions::new(BOUNDS);
        let (mut buffered, mut added, mut most) = (0, HashMap::<u64, Vec<Fact>>::new(), 0);
        for fact in facts {
            partitions.add(&fact).unwrap();
            let bytes: usize = partitions.parts.iter().map(|partition| partition.buffer.len()).sum();
            buffered = buffered.max(bytes / postcard::to_allocvec(&fact).unwrap().len());
            added.entry(fact.home()).or_default().push(fact);
        }
        let mut groups = Groups::from(partitions);
        loop {
            let mut group = HashMap::<u64, Vec<Fact>>::new();
            if !groups.next(|fact| group.entry(fact.home()).or_default().push(fact)).unwrap() {
                break;
            }
            most = most.max(group.values().map(Vec::len).sum());
            for (home, facts) in group {
                assert_eq!(
                    added.remove(&home),
                    Some(facts),
                    "all facts of an event are in one group, in order"
                );
            }
        }
        assert!(added.is_empty(), "{} events were in no group", added.len());
        (buffered, most)
    }

    #[test]
    fn what_is_held_at_one_time_does_not_grow_with_the_facts() {
        let of = |count: usize| held((0..count).map(|n| Fact::Spilled(event(n % (count / 2), n))));
        let (buffered, most) = of(4_000);
        assert!(buffered > 200 && most > 50, "the bounds are used: {buffered} buffered, {most} in a group");
        for count in [16_000, 64_000] {
            let (more_buffered, larger) = of(count);
            assert!(
                more_buffered <= buffered + buffered / 5,
                "{more_buffered} instead of {buffered} buffered"
            );
            assert!(larger <= most + most / 5, "{larger} instead of {most} in a group");
        }
    }

    #[test]
    fn facts_of_one_event_are_one_group_however_many_they_are() {
        let (_, most) = held((0..1_000).map(|n| Fact::Dead(event(1, n))));
        assert_eq!(most, 1_000);
    }

    #[test]
    fn few_facts_are_one_group_and_need_no_file() {
        let mut partitions = Partitions::new(BOUNDS);
        for n in 0..50 {
            partitions.add(&Fact::Dead(event(n, n))).unwrap();
        }
        assert!(partitions.file.is_none());
        let (mut groups, mut count) = (Groups::from(partitions), 0);
        assert!(groups.next(|_| count += 1).unwrap());
        assert_eq!(count, 50);
        assert!(!groups.next(|_| ()).unwrap());
    }
}
