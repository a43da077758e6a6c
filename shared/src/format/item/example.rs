//! For tests: an item.

use std::time::Duration;

use uuid::Uuid;

use super::{HeldContent, HeldFields, HeldText, Item};
use crate::config::ItemContent;
use crate::fields::Fields;
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
            content: Some(HeldContent {
                original_text: HeldText { held: "hello".to_owned(), whole_bytes: Some(1) },
                modified_data: Some(HeldText { held: "HELLO".to_owned(), whole_bytes: Some(2) }),
                fields: HeldFields {
                    held: serde_json::from_str("{\"n\":1.0}").expect("valid"),
                    whole_bytes: Some(3),
                },
            }),
            expires_at: Some(1_800_000_000),
            received_partition: Some("tenants/acme#3".to_owned()),
        }
    }

    /// An item with no optional member.
    pub fn smallest() -> Self {
        let whole = Self::example();
        let facts = Facts { event_time: None, trace: None, ..whole.facts };
        Self { facts, content: None, expires_at: None, received_partition: None, ..whole }
    }

    /// What it has of the text before and after the transform.
    pub fn texts(&self) -> [&str; 2] {
        let content = self.content.as_ref().expect("the item has texts");
        [&content.original_text, content.text()].map(|text| text.held.as_str())
    }

    /// The same with these texts, whole, and no fields.
    #[must_use]
    pub fn with_texts(self, original_text: &str, text: &str) -> Self {
        let content =
            HeldContent::new(ItemContent::Both, original_text, text, &Fields::empty(), Fields::empty);
        Self { content, ..self }
    }
}
