//! Names of what is stored: objects on S3, items in DynamoDB. Readers and writers build them here and nowhere else.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::id::{EventId, TenantId};
use crate::time::Timestamp;

/// What stands as it is in a key; everything else is percent-encoded (RFC 3986, "unreserved").
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The partition key of a tenant's items.
pub fn item_partition(tenant: &TenantId) -> String {
    format!("tenants/{tenant}")
}

/// The sort key of one event's item.
pub fn item_sort(id: &EventId) -> String {
    format!("processed_logs/{}", encoded(id))
}

/// Where a large text lies as the client sent it.
pub fn payload(tenant: &TenantId, id: &EventId, sha256: &str) -> String {
    format!("payloads/{tenant}/{}/{sha256}", encoded(id))
}

/// Where a large text lies after the transform.
pub fn text(tenant: &TenantId, id: &EventId, sha256: &str) -> String {
    format!("texts/{tenant}/{}/{sha256}", encoded(id))
}

/// An archive object: the shard, the first place on it that the object covers, and that record's arrival time.
pub fn archive_object(shard: &str, sequence_number: &str, position: u32, arrival: Timestamp) -> String {
    format!("events/{}/{shard}-{sequence_number}-{position}.ndjson.gz", arrival.hour_partition())
}

/// A quarantine object: the shard, the first record of the batch, and that record's arrival time.
pub fn quarantine_object(shard: &str, sequence_number: &str, arrival: Timestamp) -> String {
    format!("errors/{}/{shard}-{sequence_number}.ndjson", arrival.day_partition())
}

fn encoded(id: &EventId) -> percent_encoding::PercentEncode<'_> {
    // `.` and `..` would be path segments of their own meaning to a file system.
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
        let key = |id: &str| payload(&tenant, &EventId::parse(id).unwrap(), "ab");
        assert_eq!(key("a/b ü"), "payloads/acme/a%2Fb%20%C3%BC/ab");
        assert_eq!(key(".."), "payloads/acme/%2E%2E/ab");
        assert_eq!(key("../x"), "payloads/acme/..%2Fx/ab");
    }

    #[test]
    fn the_longest_id_fits_a_sort_key() {
        let id = EventId::parse("é".repeat(128)).unwrap();
        assert!(item_sort(&id).len() <= 1024, "DynamoDB: a sort key has at most 1,024 bytes");
    }

    #[test]
    fn archive_keys_sort_by_time_and_name_their_first_record() {
        let key =
            archive_object("shardId-000000000002", "4951", 3, Timestamp::from_unix_ms(1_704_937_370_234));
        assert_eq!(key, "events/dt=2024-01-11/hr=01/shardId-000000000002-4951-3.ndjson.gz");
    }
}
