//! Which places of a shard archive objects cover, for who goes along the shard.

use std::collections::VecDeque;

use shared::format::manifest_row::ManifestRow;
use shared::origin::ShardPosition;

use crate::deployment::Deployment;

/// The part of a shard's manifest that is around one place.
#[derive(Debug, Default)]
pub(crate) struct Cover {
    /// What objects cover, in the shard's order.
    ranges: VecDeque<Range>,
    /// The first place of the last row that was read.
    read: Option<ShardPosition>,
    /// Whether there are no more rows.
    complete: bool,
}

/// From a first place to the first behind.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Range {
    first: ShardPosition,
    before: ShardPosition,
}

impl From<ManifestRow> for Range {
    fn from(ManifestRow { first, end: before, .. }: ManifestRow) -> Self {
        Self { first, before }
    }
}

impl Cover {
    /// Reads on, so that it knows of a record of the shard. Each is to lie behind the one before.
    pub(crate) async fn advance(
        &mut self,
        deployment: &impl Deployment,
        shard: &str,
        record: &str,
    ) -> anyhow::Result<()> {
        let [first, last] = ends(record);
        if self.read.is_none() && !self.complete {
            self.take(deployment.manifest_at(shard, &first).await?);
        }
        while !self.is_known(&last) {
            let page = deployment.manifest(shard, self.read.as_ref()).await?;
            self.complete = page.is_empty();
            self.take(page);
        }
        self.leave(&first);
        Ok(())
    }

    /// Whether an object covers a place of the record that it advanced to.
    pub(crate) fn has(&self, place: &ShardPosition) -> bool {
        self.ranges.iter().any(|range| range.first <= *place && *place < range.before)
    }

    /// Whether one object covers the whole of that record.
    pub(crate) fn has_all_of(&self, record: &str) -> bool {
        let [first, last] = ends(record);
        self.ranges.iter().any(|range| range.first <= first && last < range.before)
    }

    fn take(&mut self, rows: impl IntoIterator<Item = ManifestRow>) {
        for row in rows {
            self.read = Some(row.first.clone());
            self.ranges.push_back(row.into());
        }
    }

    /// Whether every object is known that could cover a place up to this one.
    fn is_known(&self, place: &ShardPosition) -> bool {
        self.complete || self.ranges.back().is_some_and(|last| *place < last.before)
    }

    /// Forgets what ends before a place.
    fn leave(&mut self, place: &ShardPosition) {
        while self.ranges.front().is_some_and(|range| range.before <= *place) {
            self.ranges.pop_front();
        }
    }
}

/// The first place that a record could have, and one behind the last.
fn ends(record: &str) -> [ShardPosition; 2] {
    [ShardPosition::new(record, 0), ShardPosition::new(record, u32::MAX)]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of objects from a first place to the first behind.
    fn cover(ranges: &[[(&str, u32); 2]]) -> Cover {
        let mark = |(number, position)| ShardPosition::new(number, position);
        let range = |[first, before]: &[_; 2]| Range { first: mark(*first), before: mark(*before) };
        Cover { ranges: ranges.iter().map(range).collect(), ..Cover::default() }
    }

    #[test]
    fn a_place_is_covered_from_an_objects_first_place_to_before_its_end() {
        let cover = cover(&[[("10", 0), ("12", 3)], [("12", 3), ("12", 5)]]);
        for (number, position, expected) in [
            ("9", 9, false),
            ("10", 0, true),
            ("12", 2, true),
            ("12", 4, true),
            ("12", 5, false),
            ("13", 0, false),
        ] {
            assert_eq!(cover.has(&ShardPosition::new(number, position)), expected, "{number}:{position}");
        }
    }

    #[test]
    fn of_an_objects_last_record_nobody_knows_whether_it_has_more_lines() {
        let cover = cover(&[[("10", 1), ("12", 3)]]);
        let all = ["9", "10", "11", "12", "13"].map(|record| cover.has_all_of(record));
        assert_eq!(all, [false, false, true, false, false]);
    }

    #[test]
    fn a_record_is_known_once_an_object_ends_behind_it_or_there_are_no_more() {
        let mut cover = cover(&[[("10", 0), ("12", 3)]]);
        let known = |cover: &Cover, record| cover.is_known(&ends(record)[1]);
        assert!(known(&cover, "11") && !known(&cover, "12") && !known(&cover, "13"));
        cover.leave(&ShardPosition::new("13", 0));
        assert!(cover.ranges.is_empty());
        cover.complete = true;
        assert!(known(&cover, "13"));
    }
}
