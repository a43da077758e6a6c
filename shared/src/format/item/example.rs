//! For tests: an item.

use std::time::Duration;

use uuid::Uuid;

use super::Item;
use crate::format::facts::{Facts, Source};
use crate::id::{AdmissionId, EventId, TenantId};
use crate::origin::Origin;
use crate::tier::Tier;
use crate::time::Timestamp;

impl Item {
    /// An item with every optional member.
    pub fn example() -> Self {
        let at = Timestamp::from_unix_ms(1_795_253_400_123);
        Self {
            facts: Facts {
                tenant: TenantId::parse("acme").expect("valid"),
                id: EventId::parse("a/b ü").expect("valid"),
                admission_id: AdmissionId(Uuid::from_u128(1)),
                source: Source::Webhook,
                tier: Tier::parse("pro").expect("valid"),
                received_at: at,
                event_time: serde_json::from_str("\"2024-01-11T01:42:50.234200Z\"").expect("valid"),
                trace: Some("00-4bf9-00f0-01".to_owned()),
            },
            origin: Origin { shard: "shardId-0".into(), sequence_number: "8".into(), position: 3 },
            content_hash: "cd".to_owned(),
            processed_at: at.plus(Duration::from_secs(1)),
            original_text: "hello".to_owned(),
            modified_data: "HELLO".to_owned(),
            fields: serde_json::from_str("{\"n\":1.0}").expect("valid"),
            original_text_bytes: Some(1),
            modified_data_bytes: Some(2),
            fields_bytes: Some(3),
            expires_at: Some(1_800_000_000),
            received_partition: Some("tenants/acme#3".to_owned()),
        }
    }
}
