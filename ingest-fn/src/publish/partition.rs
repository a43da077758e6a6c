//! Which partition key an event has, and so which shard it goes to.

use std::collections::BTreeMap;

use shared::blob::sha256;
use shared::id::{EventId, TenantId};

/// The tenant, or, for a tenant that is spread over `k` keys, one of `tenant#0` to `tenant#k-1` by its id's hash: the
/// same id always has the same key, so that a second sending of an event finds the first on the same shard.
/// `#` is in no tenant id, so nobody's key is another tenant's.
pub fn partition_key(tenant: &TenantId, id: &EventId, spread: &BTreeMap<TenantId, u16>) -> String {
    let Some(keys) = spread.get(tenant) else { return tenant.to_string() };
    let digest = sha256(id.as_str().as_bytes());
    let hash = u64::from_str_radix(&digest[..16], 16).expect("a digest is hexadecimal");
    format!("{tenant}#{}", hash % u64::from((*keys).max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: &str, spread: u16) -> String {
        let tenant = TenantId::parse("acme").unwrap();
        let spread = BTreeMap::from([(tenant.clone(), spread)]);
        partition_key(&tenant, &EventId::parse(id).unwrap(), &spread)
    }

    #[test]
    fn a_tenant_is_its_own_key_unless_it_is_spread() {
        let tenant = TenantId::parse("acme").unwrap();
        assert_eq!(partition_key(&tenant, &EventId::parse("1").unwrap(), &BTreeMap::new()), "acme");
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
}
