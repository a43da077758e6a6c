//! What the archive objects of a shard cover, for reading along the shard.

use std::collections::VecDeque;
use std::ops::Range;

use shared::format::manifest_row::ManifestRow;
use shared::origin::ShardPosition;

use crate::deployment::{Deployment, ManifestPart};

/// The part of a shard's manifest around one record.
#[derive(Debug, Default)]
pub(crate) struct Cover {
    /// In the shard's order.
    ranges: VecDeque<Range<ShardPosition>>,
    /// Where the last row begins.
    read: Option<ShardPosition>,
    /// There are no more rows.
    complete: bool,
}

impl Cover {
    /// Reads the rows that may cover a record. Records must come in the shard's order.
    pub(crate) async fn advance(
        &mut self,
        deployment: &impl Deployment,
        shard: &str,
        record: &str,
    ) -> anyhow::Result<()> {
        let [first, last] = ends(record);
        if self.read.is_none() && !self.complete {
            self.take(deployment.manifest(shard, ManifestPart::At(&first)).await?);
        }
        while !self.is_known(&last) {
            let page = deployment.manifest(shard, ManifestPart::After(self.read.as_ref())).await?;
            self.complete = page.is_empty();
            self.take(page);
        }
        self.leave(&first);
        Ok(())
    }

    /// An object covers that position of the record.
    pub(crate) fn has(&self, position: &ShardPosition) -> bool {
        self.ranges.iter().any(|range| range.contains(position))
    }

    /// One object covers the whole record.
    pub(crate) fn has_all_of(&self, record: &str) -> bool {
        let [first, last] = ends(record);
        self.ranges.iter().any(|range| range.contains(&first) && range.contains(&last))
    }

    fn take(&mut self, rows: impl IntoIterator<Item = ManifestRow>) {
        for row in rows {
            self.read = Some(row.first.clone());
            self.ranges.push_back(row.first..row.end);
        }
    }

    /// All objects that could cover a position up to this one were read.
    fn is_known(&self, position: &ShardPosition) -> bool {
        self.complete || self.ranges.back().is_some_and(|last| *position < last.end)
    }

    /// Forgets objects that end before it.
    fn leave(&mut self, position: &ShardPosition) {
        while self.ranges.front().is_some_and(|range| range.end <= *position) {
            self.ranges.pop_front();
        }
    }
}

/// The first position of a record, and one after the last.
fn ends(record: &str) -> [ShardPosition; 2] {
    [ShardPosition::new(record, 0), ShardPosition::new(record, u32::MAX)]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of objects with these ranges, ends exclusive.
    fn cover(ranges: &[[(&str, u32); 2]]) -> Cover {
        let mark = |(number, position)| ShardPosition::new(number, position);
        let range = |[first, end]: &[_; 2]| mark(*first)..mark(*end);
        Cover { ranges: ranges.iter().map(range).collect(), ..Cover::default() }
    }

    #[test]
    fn an_object_covers_from_its_first_position_to_before_its_end() {
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
    fn an_object_may_not_cover_the_whole_of_its_last_record() {
        let cover = cover(&[[("10", 1), ("12", 3)]]);
        let all = ["9", "10", "11", "12", "13"].map(|record| cover.has_all_of(record));
        assert_eq!(all, [false, false, true, false, false]);
    }

    #[test]
    fn a_record_is_known_after_an_object_ends_after_it_or_there_are_no_more() {
        let mut cover = cover(&[[("10", 0), ("12", 3)]]);
        let known = |cover: &Cover, record| cover.is_known(&ends(record)[1]);
        assert!(known(&cover, "11") && !known(&cover, "12") && !known(&cover, "13"));
        cover.leave(&ShardPosition::new("13", 0));
        assert!(cover.ranges.is_empty());
        cover.complete = true;
        assert!(known(&cover, "13"));
    }
}
