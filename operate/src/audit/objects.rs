//! Compares an archive object with its manifest row. Bytes in, lines and findings out; no I/O.

use std::sync::Arc;

use anyhow::bail;
use shared::archive::each_line_of_first;
use shared::config::Items;
use shared::digest::sha256;
use shared::format::archive_line::{ArchiveLine, Identity};
use shared::format::manifest_row::{ManifestRow, TenantRange};
use shared::origin::{Origin, ShardPosition};

use super::balance::{AuditFinding, FindingKind};
use super::facts::{ArchivedLine, KnownEvent};
use crate::archive::key_start;

/// Gives the lines of an object to `take`, one after the other, those that are heads also whole, and compares them with its key and, if it has one, with its
/// row and the tenants' ranges. `end` is the exclusive end of what it covers, if that is known.
pub(crate) fn read(
    key: &str,
    bytes: &[u8],
    noted: Option<(&ManifestRow, &[TenantRange])>,
    end: Option<&ShardPosition>,
    items: &Items,
    mut take: impl FnMut(ArchivedLine, Option<ArchiveLine<'static>>),
) -> Vec<AuditFinding> {
    let mut faults = Vec::new();
    let start = key_start(key);
    if start.is_none() {
        faults.push(AuditFinding::object(key, "its key is not that of an archive object"));
    }
    let object: Arc<str> = key.into();
    let scanned = scan(bytes, |line, bytes| {
        let head = line.is_head().then(|| shared::archive::line(bytes).ok()).flatten();
        let line = of_archive(line, &object, items);
        if start.as_ref().is_some_and(|start| !is_within(&line.origin, start, end)) {
            faults.push(misplaced(&line));
        }
        take(line, head);
    });
    let ranges = match scanned {
        Ok(ranges) => ranges,
        Err(why) => {
            faults.push(AuditFinding::object(key, format!("it cannot be read: {why:#}")));
            return faults;
        }
    };
    if let Some((row, of_row)) = noted {
        let says = |what: &str, row: &dyn std::fmt::Display, is: &dyn std::fmt::Display| {
            AuditFinding::object(key, format!("its manifest row says {what} {row}, and it has {is}"))
        };
        if row.bytes != bytes.len() {
            faults.push(says("bytes", &row.bytes, &bytes.len()));
        }
        let digest = sha256(bytes);
        if row.sha256 != digest {
            faults.push(says("SHA-256", &row.sha256, &digest));
        }
        let lines: usize = ranges.iter().map(|range| range.lines).sum();
        if row.lines != lines {
            faults.push(says("lines", &row.lines, &lines));
        }
        if of_row != ranges {
            let detail = "its manifest row has other byte ranges of tenants than the object";
            faults.push(AuditFinding::object(key, detail));
        }
    }
    faults
}

fn is_within(origin: &Origin, (shard, first): &(&str, ShardPosition), end: Option<&ShardPosition>) -> bool {
    let position = ShardPosition::from(origin);
    *origin.shard == **shard && *first <= position && end.is_none_or(|end| position < *end)
}

/// For a line that should be in another object, by its origin.
fn misplaced(line: &ArchivedLine) -> AuditFinding {
    let name = Some(line.event.name());
    let detail = "archived in an object that does not cover its origin";
    AuditFinding::event(FindingKind::Misplaced, name, Some(&line.origin), detail).within(&line.object)
}

/// Gives each line to `take`. Returns each tenant's range.
fn scan(bytes: &[u8], mut take: impl FnMut(Identity, &[u8])) -> anyhow::Result<Vec<TenantRange>> {
    let (mut ranges, mut offset) = (Vec::new(), 0);
    while offset < bytes.len() {
        let (mut lines, mut first, mut is_mixed) = (0, None, false);
        let length = each_line_of_first(&bytes[offset..], |line: Identity, bytes| {
            lines += 1;
            is_mixed |= *first.get_or_insert_with(|| line.tenant.clone()) != line.tenant;
            take(line, bytes);
        })?;
        if is_mixed {
            bail!("the member at byte {offset} has lines of several tenants");
        }
        ranges.extend(first.map(|tenant| TenantRange { tenant, offset, length, lines }));
        offset += length;
    }
    Ok(ranges)
}

fn of_archive(read: Identity, object: &Arc<str>, items: &Items) -> ArchivedLine {
    let (origin, received_at) = (read.origin(), read.received_at);
    let item_until = items.time_to_live(&read.tier).map(|life| received_at.plus(life));
    let Identity { tenant, id, admission_id, .. } = read;
    let event = KnownEvent { tenant, id, admission_id, content_hash: String::new(), received_at };
    ArchivedLine { event, origin, object: object.clone(), item_until }
}

/// A finding if an object's range begins before the end of the one before it in the shard.
pub(crate) fn overlap(one: &ManifestRow, next: &ManifestRow) -> Option<AuditFinding> {
    let detail = || format!("it covers from {} on what `{}` covers too", next.first, one.key);
    (next.first < one.end).then(|| AuditFinding::object(&next.key, detail()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fmt::Write;

    use shared::format::manifest_row::TenantIndex;
    use shared::gzip;
    use shared::id::TenantId;
    use shared::tier::Tier;

    use super::*;

    const KEY: &str = "events/dt=2026-11-21/hr=09/shardId-000000000000-4950-0.ndjson.gz";

    fn line(tenant: &str, sequence_number: u32) -> String {
        format!(
            r#"{{"v":1,"id":"e{sequence_number}","admission_id":"019aa553-4a00-7000-8000-000000000001","tenant":"{tenant}","tier":"pro","source":"webhook","received_at":"2026-11-21T09:30:00.123Z","processed_at":"2026-11-21T09:30:01.123Z","text":"x","shard":"shardId-000000000000","sequence_number":"{sequence_number}","position":0}}"#
        )
    }

    /// An object with a member for each of `members`, and its row.
    fn object(members: &[&[(&str, u32)]]) -> (Vec<u8>, ManifestRow) {
        let (mut bytes, mut ranges) = (Vec::new(), Vec::new());
        for lines in members {
            let mut text = String::new();
            for (tenant, sequence_number) in *lines {
                writeln!(text, "{}", line(tenant, *sequence_number)).unwrap();
            }
            let member = gzip::compress(text.as_bytes(), gzip::Level::FAST);
            let tenant = TenantId::parse(lines[0].0).unwrap();
            ranges.push(TenantRange {
                tenant,
                offset: bytes.len(),
                length: member.len(),
                lines: lines.len(),
            });
            bytes.extend(member);
        }
        let at = serde_json::from_str("\"2026-11-21T09:30:00.123Z\"").unwrap();
        let row = ManifestRow {
            key: KEY.to_owned(),
            first: ShardPosition::new("4950", 0),
            end: ShardPosition::new("4960", 0),
            bytes: bytes.len(),
            sha256: sha256(&bytes),
            lines: ranges.iter().map(|range| range.lines).sum(),
            received_at: [at, at],
            tenants: TenantIndex::Ranges(ranges),
        };
        (bytes, row)
    }

    fn faults(bytes: &[u8], row: &ManifestRow) -> Vec<String> {
        let TenantIndex::Ranges(ranges) = &row.tenants else { panic!("they are in the row") };
        let noted = Some((row, &**ranges));
        let faults = read(&row.key, bytes, noted, Some(&row.end), &Items::default(), |_, _| {});
        faults.iter().map(ToString::to_string).collect()
    }

    fn check(bytes: &[u8], row: &ManifestRow, expected: &[&str]) {
        let faults = faults(bytes, row);
        assert_eq!(faults.len(), expected.len(), "{faults:#?}");
        for (fault, part) in faults.iter().zip(expected) {
            assert!(fault.contains(part), "{fault}");
        }
    }

    #[test]
    fn an_object_as_written_has_no_faults() {
        let (bytes, row) = object(&[&[("acme", 4950), ("acme", 4952)], &[("beta", 4951)]]);
        check(&bytes, &row, &[]);
        let days_to_live = BTreeMap::from([(Tier::parse("pro").unwrap(), 90)]);
        let items = Items { days_to_live, ..Items::default() };
        let mut lines = Vec::new();
        read(KEY, &bytes, None, None, &items, |line, _| lines.push(line));
        let line = &lines[2];
        assert_eq!((line.event.tenant.as_str(), line.event.id.as_str()), ("beta", "e4951"));
        assert_eq!(line.origin.to_string(), "shardId-000000000000:4951:0");
        assert_eq!(line.item_until.unwrap().to_string(), "2027-02-19T09:30:00.123Z");
    }

    #[test]
    fn an_object_without_one_of_its_members_differs_from_its_row() {
        let (_, row) = object(&[&[("acme", 4950)], &[("beta", 4951)]]);
        let (bytes, _) = object(&[&[("acme", 4950)]]);
        check(
            &bytes,
            &row,
            &["says bytes", "says SHA-256", "says lines 2, and it has 1", "other byte ranges"],
        );
    }

    #[test]
    fn a_line_outside_its_objects_range_is_named() {
        let (bytes, row) = object(&[&[("acme", 4950), ("acme", 4960)]]);
        check(&bytes, &row, &["misplaced acme e4960 at shardId-000000000000:4960:0"]);
    }

    #[test]
    fn a_member_with_lines_of_two_tenants_is_a_fault() {
        let (bytes, row) = object(&[&[("acme", 4950), ("beta", 4951)]]);
        check(&bytes, &row, &["the member at byte 0 has lines of several tenants"]);
    }

    #[test]
    fn bytes_that_are_not_an_object_are_a_fault() {
        let (bytes, row) = object(&[&[("acme", 4950)]]);
        check(&bytes[..bytes.len() - 4], &row, &["it cannot be read"]);
        check(&gzip::compress(b"{}\n", gzip::Level::FAST), &row, &["is not an archive line"]);
    }

    #[test]
    fn rows_that_overlap_are_named_and_rows_with_a_gap_are_not() {
        let row = |first: &str, before: &str| {
            let (_, row) = object(&[&[("acme", 4950)]]);
            ManifestRow { first: ShardPosition::new(first, 0), end: ShardPosition::new(before, 0), ..row }
        };
        assert_eq!(overlap(&row("10", "12"), &row("12", "13")), None);
        assert_eq!(overlap(&row("10", "12"), &row("20", "21")), None);
        assert!(overlap(&row("10", "13"), &row("12", "14")).is_some());
    }
}
