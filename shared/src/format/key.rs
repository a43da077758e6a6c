//! Keys of objects on S3 and of items in DynamoDB. All readers and writers build them here.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::digest::is_sha256;
use crate::id::{EventId, TenantId};
use crate::origin::{ShardPosition, is_sequence_number};
use crate::time::Timestamp;

/// In a key, all but RFC 3986's "unreserved" characters are percent-encoded.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The prefix of claim checks ([`super::claim_check`]).
pub const CLAIMS: &str = "claims/";

/// The prefix of archive lines that are too large for an archive object.
pub const TEXTS: &str = "texts/";

/// The archive and the objects that it refers to. All have the same lifetime.
pub const ARCHIVE: [&str; 3] = ["events/", "manifests/", TEXTS];

/// The prefix of quarantine objects.
pub const QUARANTINE: &str = "errors/";

/// The prefix of the failure destination, which Lambda sets.
pub const FAILURE_DESTINATION: &str = "aws/lambda/";

/// The prefix of notes of what was redriven.
pub const REDRIVEN: &str = "redriven/";

/// The prefix of notes of what was erased. They have no lifetime: `tidegate audit` and `tidegate redrive` read them as long as a
/// copy of the events may be found.
pub const ERASED: &str = "erased/";

/// Objects that expire: quarantine, the failure destination, notes of what was redriven from them, and claim checks. The last
/// must live [`crate::limits::DELIVERY_DAYS`] longer than the others.
pub const TEMPORARY: [&str; 4] = [QUARANTINE, FAILURE_DESTINATION, REDRIVEN, CLAIMS];

/// The attribute that is the partition key, of items and of ledger rows.
pub const PARTITION_ATTRIBUTE: &str = "pk";

/// The attribute that is the sort key, of items and of ledger rows.
pub const SORT_ATTRIBUTE: &str = "sk";

/// The partition key of a tenant's items.
pub fn item_partition(tenant: &TenantId) -> String {
    ["tenants/", tenant.as_str()].concat()
}

/// The sort key of one event's item.
pub fn item_sort(id: &EventId) -> String {
    ["processed_logs/", &Cow::from(encoded(id))].concat()
}

/// Reads [`item_partition`] and [`item_sort`] back. `None` if they are not an item's.
pub fn item_name(partition: &str, sort: &str) -> Option<(TenantId, EventId)> {
    Some((item_tenant(partition)?, decoded(sort.strip_prefix("processed_logs/")?)?))
}

/// Reads [`item_partition`] back.
pub fn item_tenant(partition: &str) -> Option<TenantId> {
    TenantId::parse(partition.strip_prefix("tenants/")?).ok()
}

/// The claim check of an event's line.
pub fn claim(tenant: &TenantId, id: &EventId, sha256: &str) -> String {
    format!("{CLAIMS}{tenant}/{}/{sha256}", encoded(id))
}

/// What the target of dispatch knows an event by: the same for each call, another for each event of any tenant. It fits a
/// header.
pub fn idempotency(tenant: &TenantId, id: &EventId) -> String {
    format!("{tenant}/{}", encoded(id))
}

/// An archive line that is too large for an archive object.
pub fn text(tenant: &TenantId, id: &EventId, sha256: &str) -> String {
    format!("{TEXTS}{tenant}/{}/{sha256}", encoded(id))
}

/// The key of a part of [`claim`] or [`text`], read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredLineKey<'a> {
    pub tenant: TenantId,
    pub id: EventId,
    pub sha256: &'a str,
    /// From 0, and 0 if there is only one.
    pub part: u32,
    /// The key without the part.
    pub whole: &'a str,
}

impl<'a> StoredLineKey<'a> {
    /// `None` for any other key.
    pub fn parse(key: &'a str) -> Option<Self> {
        let name = key.strip_prefix(CLAIMS).or_else(|| key.strip_prefix(TEXTS))?;
        let mut segments = name.splitn(4, '/');
        let (tenant, id, sha256) = (segments.next()?, segments.next()?, segments.next()?);
        let (part, whole) = match segments.next() {
            None => (0, key),
            Some(part) => (part.parse().ok()?, key.strip_suffix(part)?.strip_suffix('/')?),
        };
        let (tenant, id) = (TenantId::parse(tenant).ok()?, decoded(id)?);
        is_sha256(sha256).then_some(Self { tenant, id, sha256, part, whole })
    }
}

/// An archive object: the shard, the first position that the object covers, and that record's arrival time.
pub fn archive_object(shard: &str, sequence_number: &str, position: u32, arrival: Timestamp) -> String {
    format!("events/{}/{shard}-{sequence_number}-{position}.ndjson.gz", arrival.hour_partition())
}

/// The object with the ranges of an archive object's tenants, if they are too many for its manifest row.
pub fn manifest_sidecar(archive_object: &str) -> String {
    let name = archive_object.strip_prefix("events/").unwrap_or(archive_object);
    format!("manifests/{}.json.gz", name.strip_suffix(".ndjson.gz").unwrap_or(name))
}

/// The archive object of a [`manifest_sidecar`]. `None` for any other key.
pub fn archive_object_of(sidecar: &str) -> Option<String> {
    let name = sidecar.strip_prefix("manifests/")?.strip_suffix(".json.gz")?;
    Some(format!("events/{name}.ndjson.gz"))
}

/// The ledger table's partition of a shard: its ledger row, and its manifest rows.
pub fn ledger_partition(shard: &str) -> String {
    format!("shard/{shard}")
}

/// The sort key of a shard's ledger row.
pub const LEDGER_SORT: &str = "ledger";

/// The sort key of a manifest row, by the first position that the object covers. Sequence numbers differ in length: with
/// the length before them, keys are in the shard's order.
pub fn manifest_sort(sequence_number: &str, position: u32) -> String {
    format!("object/{:03}-{sequence_number}/{position:010}", sequence_number.len())
}

/// The position in such a sort key. `None` if it is another key.
pub fn manifest_position(sort: &str) -> Option<ShardPosition> {
    let (sequence_number, position) = sort.strip_prefix("object/")?.split_once('-')?.1.split_once('/')?;
    is_sequence_number(sequence_number).then_some(ShardPosition::new(sequence_number, position.parse().ok()?))
}

/// A quarantine object: the shard, the first record of the batch and that record's arrival time, and the content's
/// checksum. Because of the checksum, no attempt at a batch overwrites the object of another attempt that wrote more.
pub fn quarantine_object(shard: &str, sequence_number: &str, arrival: Timestamp, sha256: &str) -> String {
    let digest = &sha256[..16];
    format!("errors/{}/{shard}-{sequence_number}-{digest}.ndjson", arrival.day_partition())
}

/// The note that events of the object `source` were redriven. The content says which events, and its checksum is in the key.
pub fn redriven_marker(source: &str, sha256: &str) -> String {
    format!("{REDRIVEN}{source}/{}.json", &sha256[..16])
}

/// The note that a tenant's events, or the one event with this digest, were erased from this time on.
pub fn erasure_note(tenant: &TenantId, event: Option<&str>, begun: Timestamp) -> String {
    format!("{ERASED}{tenant}/{}/{:015}.json", event.unwrap_or("all"), begun.unix_ms())
}

fn decoded(id: &str) -> Option<EventId> {
    EventId::parse(percent_decode_str(id).decode_utf8().ok()?).ok()
}

fn encoded(id: &EventId) -> percent_encoding::PercentEncode<'_> {
    // In a file system, the path segments `.` and `..` have a meaning of their own.
    match id.as_str() {
        "." | ".." => utf8_percent_encode(id.as_str(), NON_ALPHANUMERIC),
        id => utf8_percent_encode(id, ENCODED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_cannot_leave_its_tenants_folder() {
        let tenant = TenantId::parse("acme").unwrap();
        let key = |id: &str| claim(&tenant, &EventId::parse(id).unwrap(), "ab");
        assert_eq!(key("a/b ü"), "claims/acme/a%2Fb%20%C3%BC/ab");
        assert_eq!(key(".."), "claims/acme/%2E%2E/ab");
        assert_eq!(key("../x"), "claims/acme/..%2Fx/ab");
    }

    #[test]
    fn the_key_of_a_stored_line_is_read_back() {
        let (tenant, id) = (TenantId::parse("acme").unwrap(), EventId::parse("a/b ü%").unwrap());
        let digest = "ab".repeat(32);
        for whole in [claim(&tenant, &id, &digest), text(&tenant, &id, &digest)] {
            let check = |key: &str, part| {
                let read = StoredLineKey::parse(key).unwrap();
                assert_eq!((&read.tenant, &read.id, read.sha256), (&tenant, &id, &*digest));
                assert_eq!((read.part, read.whole), (part, &*whole));
            };
            check(&whole, 0);
            check(&format!("{whole}/11"), 11);
            for other in [format!("{whole}0"), format!("{whole}/x"), whole.replace("ab", "AB")] {
                assert_eq!(StoredLineKey::parse(&other), None, "{other}");
            }
        }
    }

    #[test]
    fn the_longest_id_fits_a_sort_key() {
        let id = EventId::parse("é".repeat(128)).unwrap();
        assert!(item_sort(&id).len() <= 1024, "DynamoDB: a sort key has at most 1,024 bytes");
    }

    #[test]
    fn an_items_keys_are_read_back() {
        let tenant = TenantId::parse("acme").unwrap();
        for id in ["1", "a/b ü%", "..", "."] {
            let id = EventId::parse(id).unwrap();
            let name = item_name(&item_partition(&tenant), &item_sort(&id));
            assert_eq!(name, Some((tenant.clone(), id)));
        }
        assert_eq!(item_name("shard/x", "ledger"), None);
    }

    #[test]
    fn archive_keys_sort_by_time_and_name_their_first_record() {
        let key =
            archive_object("shardId-000000000002", "4951", 3, Timestamp::from_unix_ms(1_704_937_370_234));
        assert_eq!(key, "events/dt=2024-01-11/hr=01/shardId-000000000002-4951-3.ndjson.gz");
        assert_eq!(
            manifest_sidecar(&key),
            "manifests/dt=2024-01-11/hr=01/shardId-000000000002-4951-3.json.gz"
        );
        assert_eq!(archive_object_of(&manifest_sidecar(&key)), Some(key));
    }

    #[test]
    fn every_key_has_a_prefix_with_a_lifetime() {
        let (tenant, id) = (TenantId::parse("acme").unwrap(), EventId::parse("1").unwrap());
        let at = Timestamp::from_unix_ms(0);
        let archive = archive_object("shardId-0", "1", 0, at);
        let together = [&archive, &manifest_sidecar(&archive), &text(&tenant, &id, "ab")];
        for (prefix, key) in ARCHIVE.iter().zip(together) {
            assert!(key.starts_with(prefix), "{key}");
        }
        let quarantined = quarantine_object("shardId-0", "1", at, &"ab".repeat(32));
        assert!(quarantined.starts_with(TEMPORARY[0]), "{quarantined}");
        assert!(claim(&tenant, &id, "ab").starts_with(TEMPORARY[3]));
    }

    #[test]
    fn manifest_rows_are_in_the_order_of_the_shard() {
        let rows = [("99", 0), ("99", 2), ("99", 10), ("100", 0)].map(|(n, p)| manifest_sort(n, p));
        assert_eq!(rows[1], "object/002-99/0000000002");
        assert!(rows.is_sorted());
        assert_eq!(manifest_position(&rows[1]), Some(ShardPosition::new("99", 2)));
        assert_eq!(manifest_position("object/002-9x/0000000002"), None);
    }
}
