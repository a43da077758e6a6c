//! How a tenant that outgrows a partition is spread: over keys of the stream, and over partitions of the index of items by
//! time. `tenants.spread` says it once for both, and one function of the event's id decides for both.

use std::collections::BTreeMap;

use crate::digest::sha256;
use crate::id::{EventId, TenantId};

/// The stream's partition key of an event, and so which shard it goes to: the tenant, or, for a tenant that is spread
/// over `k` keys, one of `tenant#0` to `tenant#k-1` by its id's hash. The same id always has the same key, so an event that
/// is sent again is on the same shard. No tenant id has a `#`, so no two tenants have the same key.
pub fn partition_key(tenant: &TenantId, id: &EventId, spread: &BTreeMap<TenantId, u16>) -> String {
    let Some(keys) = spread.get(tenant) else { return tenant.to_string() };
    let digest = sha256(id.as_str().as_bytes());
    let hash = u64::from_str_radix(&digest[..16], 16).expect("a digest is hexadecimal");
    format!("{tenant}#{}", hash % u64::from((*keys).max(1)))
}

/// The partition of an event's item in the index by time: `tenants/` and the event's key on the stream.
///
/// Time only rises, so entries are written at the end of a partition, where DynamoDB does not split it: it takes 1,000 of
/// them a second, and when it refuses an entry, the item is refused too. An item keeps its partition, also if its tenant is
/// spread otherwise later. The role that reads a tenant's items is allowed these names, by a pattern in `cdk/`.
pub fn received_partition(tenant: &TenantId, id: &EventId, spread: &BTreeMap<TenantId, u16>) -> String {
    format!("tenants/{}", partition_key(tenant, id, spread))
}

/// All partitions of a tenant in the index by time, for one that is spread over `keys` keys, or 0. The first is that of the
/// time before it was spread.
pub fn received_partitions(tenant: &TenantId, keys: u16) -> Vec<String> {
    let spread = (0..keys).map(|key| format!("tenants/{tenant}#{key}"));
    std::iter::once(format!("tenants/{tenant}")).chain(spread).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant() -> TenantId {
        TenantId::parse("acme").unwrap()
    }

    fn id(id: &str) -> EventId {
        EventId::parse(id).unwrap()
    }

    fn over(keys: u16) -> BTreeMap<TenantId, u16> {
        BTreeMap::from([(tenant(), keys)])
    }

    fn key(event: &str, keys: u16) -> String {
        partition_key(&tenant(), &id(event), &over(keys))
    }

    #[test]
    fn a_tenant_is_its_own_key_unless_it_is_spread() {
        assert_eq!(partition_key(&tenant(), &id("1"), &BTreeMap::new()), "acme");
        let other = BTreeMap::from([(TenantId::parse("acme2").unwrap(), 4)]);
        assert_eq!(partition_key(&tenant(), &id("1"), &other), "acme");
    }

    #[test]
    fn an_id_keeps_its_key_from_release_to_release() {
        assert_eq!(key("1", 4), "acme#1");
        assert_eq!(key("2", 4), "acme#2");
    }

    #[test]
    fn a_spread_tenant_uses_all_its_keys_about_evenly() {
        let mut counts = BTreeMap::new();
        for id in 0..4_000 {
            *counts.entry(key(&id.to_string(), 4)).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 4);
        assert!(counts.values().all(|count| (900..1_100).contains(count)), "{counts:?}");
    }

    #[test]
    fn the_index_by_time_is_spread_as_the_stream_is() {
        assert_eq!(received_partition(&tenant(), &id("1"), &BTreeMap::new()), "tenants/acme");
        assert_eq!(received_partition(&tenant(), &id("1"), &over(4)), "tenants/acme#1");
        assert_eq!(received_partition(&tenant(), &id("2"), &over(4)), "tenants/acme#2");
    }

    #[test]
    fn every_entry_of_a_tenant_is_in_one_of_its_partitions_also_from_before_it_was_spread() {
        assert_eq!(received_partitions(&tenant(), 0), ["tenants/acme"]);
        let all = received_partitions(&tenant(), 4);
        assert_eq!(all.len(), 5);
        for event in 0..100 {
            let id = id(&event.to_string());
            for spread in [BTreeMap::new(), over(2), over(3), over(4)] {
                assert!(all.contains(&received_partition(&tenant(), &id, &spread)));
            }
        }
    }
}
