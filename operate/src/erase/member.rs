//! An archive object without the erased events. Bytes in, bytes out.
//!
//! A member keeps its place and its length: without its lines it is compressed again and filled. So the other members stay where
//! they are, to the byte, and readers who have the manifest row of before, or that of after, read them right.

use anyhow::Context;
use consumer_fn::manifest::Contents;
use shared::archive::each_line_of_first;
use shared::digest::sha256;
use shared::format::archive_line::Identity;
use shared::format::manifest_row::{ManifestRow, TenantIndex};
use shared::gzip;

use super::Erasure;

/// What is left of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    /// As many bytes as before.
    pub(crate) bytes: Vec<u8>,
    pub(crate) removed: u64,
}

/// The object without the erasure's events; `None` if it has none of them.
pub(crate) fn cut(object: &[u8], erasure: &Erasure) -> anyhow::Result<Option<Cut>> {
    let mut cut = Cut { bytes: object.to_vec(), removed: 0 };
    let mut offset = 0;
    while offset < object.len() {
        let (mut kept, mut removed) = (Vec::new(), 0);
        let length = each_line_of_first(&object[offset..], |line: Identity, bytes| {
            if !erasure.is_of(&line.tenant, &line.id) {
                kept.extend_from_slice(bytes);
                kept.push(b'\n');
                return;
            }
            removed += 1;
        })?;
        if removed > 0 {
            let member = gzip::compress_to(&kept, length);
            let member = member.with_context(|| {
                format!(
                    "the member at byte {offset} does not fit its {length} bytes without the event's line"
                )
            })?;
            cut.bytes[offset..offset + length].copy_from_slice(&member);
            cut.removed += removed;
        }
        offset += length;
    }
    Ok((cut.removed > 0).then_some(cut))
}

/// The row of an object from which something was erased, and the sidecar that it refers to, if it has one. A row that had a
/// sidecar keeps it: where the two are written one after the other, the sidecar comes last, and names the tenant until then.
pub(crate) fn row(before: &ManifestRow, object: &[u8]) -> anyhow::Result<(ManifestRow, Option<Vec<u8>>)> {
    let contents = Contents::scan(object).map_err(anyhow::Error::msg)?;
    let lines = contents.ranges.iter().map(|range| range.lines).sum();
    let (tenants, sidecar) = match &before.tenants {
        TenantIndex::Ranges(_) => (TenantIndex::Ranges(contents.ranges), None),
        TenantIndex::Sidecar(key) => {
            let sidecar = gzip::compress(&serde_json::to_vec(&contents.ranges)?, gzip::Level::FAST);
            (TenantIndex::Sidecar(key.clone()), Some(sidecar))
        }
    };
    let row = ManifestRow {
        bytes: object.len(),
        sha256: sha256(object),
        lines,
        // Without lines there are no times. Those of before say where the row was.
        received_at: contents.received_at.unwrap_or(before.received_at),
        tenants,
        ..before.clone()
    };
    Ok((row, sidecar))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use shared::format::manifest_row::TenantRange;
    use shared::id::{EventId, TenantId};
    use shared::origin::ShardPosition;
    use shared::time::Timestamp;

    use super::super::Wanted;
    use super::*;

    fn erasure(tenant: &str, event: Option<&str>) -> Erasure {
        let event = event.map(|id| EventId::parse(id).unwrap());
        let wanted = Wanted { tenant: TenantId::parse(tenant).unwrap(), event };
        Erasure::new(&wanted, Timestamp::from_unix_ms(0), [].into())
    }

    fn line(tenant: usize, number: usize, text: &str) -> String {
        format!(
            r#"{{"v":1,"id":"{number}","admission_id":"019aa553-4a00-7000-8000-000000000001","tenant":"t{tenant}","tier":"pro","source":"webhook","received_at":"2026-11-21T09:30:{number:02}.123Z","processed_at":"2026-11-21T09:31:01.123Z","text":"{text}","shard":"s","sequence_number":"9{number}","position":0}}"#
        )
    }

    /// A member for each tenant, with these texts.
    fn object(texts: &[Vec<String>], level: u8) -> (Vec<u8>, Vec<TenantRange>) {
        let (mut bytes, mut ranges) = (Vec::new(), Vec::new());
        for (tenant, texts) in texts.iter().enumerate() {
            let lines = texts.iter().enumerate().map(|(number, text)| line(tenant, number, text) + "\n");
            let member =
                gzip::compress(lines.collect::<String>().as_bytes(), gzip::Level::new(level).unwrap());
            ranges.push(TenantRange {
                tenant: TenantId::parse(&format!("t{tenant}")).unwrap(),
                offset: bytes.len(),
                length: member.len(),
                lines: texts.len(),
            });
            bytes.extend(member);
        }
        (bytes, ranges)
    }

    fn lines(object: &[u8]) -> Vec<String> {
        let all = gzip::inflate(object, gzip::Cap { bytes: 10_000_000, ratio: u32::MAX }).unwrap();
        String::from_utf8(all).unwrap().lines().map(str::to_owned).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn only_the_erased_lines_are_gone_and_no_other_byte_has_moved(
            texts in prop::collection::vec(prop::collection::vec("[a-z]{0,40}|[ab]{200}", 1..5), 1..6),
            level in 1_u8..=12,
            (tenant, number) in (0_usize..5, 0_usize..4),
            is_single in any::<bool>(),
        ) {
            let tenant = tenant % texts.len();
            let number = number % texts[tenant].len();
            let (object, ranges) = object(&texts, level);
            let erasure = erasure(&format!("t{tenant}"), is_single.then_some(&*number.to_string()));
            let cut = cut(&object, &erasure).unwrap().unwrap();
            let is_erased = |of: usize, line: usize| of == tenant && (!is_single || line == number);
            let expected: Vec<_> = (0..texts.len())
                .flat_map(|of| (0..texts[of].len()).map(move |line| (of, line)))
                .filter(|(of, line)| !is_erased(*of, *line))
                .map(|(of, number)| line(of, number, &texts[of][number]))
                .collect();
            prop_assert_eq!(lines(&cut.bytes), expected);
            prop_assert_eq!(cut.removed, if is_single { 1 } else { texts[tenant].len() as u64 });
            prop_assert_eq!(cut.bytes.len(), object.len());
            for range in ranges.iter().filter(|range| range.tenant.as_str() != format!("t{tenant}")) {
                let bytes = range.offset..range.offset + range.length;
                prop_assert_eq!(&cut.bytes[bytes.clone()], &object[bytes]);
            }
            // A second run has nothing to do, and finds the same row.
            prop_assert_eq!(super::cut(&cut.bytes, &erasure).unwrap(), None);
        }
    }

    #[test]
    fn a_row_without_lines_keeps_its_times_and_a_sidecar_stays_one() {
        let (bytes, ranges) = object(&[vec!["a".to_owned()]], 6);
        let at = [7, 9].map(Timestamp::from_unix_ms);
        let before = ManifestRow {
            key: "events/x".to_owned(),
            first: ShardPosition::new("90", 0),
            end: ShardPosition::new("91", 0),
            bytes: bytes.len(),
            sha256: sha256(&bytes),
            lines: 1,
            received_at: at,
            tenants: TenantIndex::Ranges(ranges),
        };
        let cut = cut(&bytes, &erasure("t0", None)).unwrap().unwrap();
        let (after, sidecar) = row(&before, &cut.bytes).unwrap();
        assert_eq!((after.lines, after.received_at, sidecar), (0, at, None));
        assert_eq!(after.tenants, TenantIndex::Ranges(Vec::new()));
        let tenants = TenantIndex::Sidecar("manifests/x".to_owned());
        let (after, sidecar) = row(&ManifestRow { tenants: tenants.clone(), ..before }, &cut.bytes).unwrap();
        assert_eq!(after.tenants, tenants);
        assert!(sidecar.is_some());
    }
}
