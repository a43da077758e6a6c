//! From an event to what is stored of it: its item, its archive line, and the large parts that neither of them holds
//! and that become objects of their own.

use bytes::Bytes;
use shared::config::{Archive, Config};
use shared::fields::Fields;
use shared::format::claim_check::BlobRef;
use shared::format::event_line::{Event, Text};
use shared::format::key;
use shared::time::Timestamp;
use shared::{gzip, limits, partition};

use crate::archive::line;
use crate::content::content_hash;
use crate::items::Item;
use crate::resolve::Resolved;
use crate::transform::Transform;
use shared::origin::Origin;

/// Text in an item, before and after the transform each. With [`ITEM_FIELDS_BYTES`], all names, ids and references
/// the whole stays below [`limits::ITEM_BYTES`].
const ITEM_TEXT_BYTES: usize = 150_000;
/// Fields in an item.
const ITEM_FIELDS_BYTES: usize = 60_000;

/// An event, ready to be stored.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) item: Item,
    /// The archive line's text, where the item does not hold all of it.
    pub(crate) line_text: Option<Text>,
    /// The archive line's fields, where the item does not hold all of them.
    pub(crate) line_fields: Option<Fields>,
    /// What is to be written before anything refers to it.
    pub(crate) blobs: Vec<(BlobRef, Bytes)>,
    /// The event as it came in, but for its text: that is in the item, or where the item says.
    event: Event,
}

impl Prepared {
    /// Transforms an event, and lays out what is stored of it.
    pub(crate) fn new(
        resolved: Resolved,
        origin: Origin,
        transform: &Transform,
        config: &Config,
        processed_at: Timestamp,
    ) -> Self {
        let Resolved { mut event, fetched } = resolved;
        let content_hash = content_hash(&event);
        let (original, original_ref) = match std::mem::replace(&mut event.text, Text::Inline(String::new())) {
            Text::Inline(text) => (text, None),
            Text::Ref(blob) => (fetched.unwrap_or_default(), Some(blob)),
        };
        let received_partition =
            partition::received_partition(&event.facts.tenant, &event.facts.id, &config.tenants.spread);
        // A replayed or redriven event may be older than an item lives. Its item still tells a repeat for as long as any.
        let lives_from = event.facts.received_at.max(processed_at);
        let expires_at = config.items.time_to_live(&event.facts.tier).map(|life| lives_from.plus(life));
        let came_by_reference = original_ref.is_some();

        let mut prepared = Self {
            item: Item {
                facts: event.facts.clone(),
                origin,
                content_hash,
                processed_at,
                modified_data: transform.text(&original),
                original_text: original,
                original_ref,
                modified_ref: None,
                fields: transform.fields(&event.fields),
                fields_ref: event.fields_ref.clone(),
                expires_at: expires_at.map(|at| at.unix_ms() / 1_000),
                received_partition,
            },
            line_text: None,
            line_fields: None,
            blobs: Vec::new(),
            event,
        };
        if came_by_reference {
            prepared.refer_to_text();
        }
        prepared.fit_line(transform, &config.archive);
        prepared.fit_item(transform);
        prepared
    }

    /// Every place where the event lay before, if it was brought back.
    pub(crate) fn redrive_of(&self) -> &[Origin] {
        &self.event.redrive_of
    }

    /// The event as it came in, for quarantine. A text that became an object of its own is referred to.
    pub(crate) fn into_event(self) -> Event {
        let text = match self.item.original_ref {
            Some(blob) => Text::Ref(blob),
            None => Text::Inline(self.item.original_text),
        };
        Event { text, ..self.event }
    }

    /// Takes out of the archive line what would make it larger than an object may be.
    fn fit_line(&mut self, transform: &Transform, archive: &Archive) {
        if !self.line_is_too_large(archive) {
            return;
        }
        self.refer_to_text();
        if self.line_is_too_large(archive) {
            self.refer_to_fields(transform);
        }
    }

    fn line_is_too_large(&self, archive: &Archive) -> bool {
        // JSON spells a character with at most six bytes. This much is sure to fit, and goes without a line being built.
        let texts = self.item.modified_data.len() + self.item.original_text.len();
        let most = 6 * texts + self.item.fields.as_json().len() + 16 * 1024;
        if gzip::compressed_bound(most) <= archive.object_bytes {
            return false;
        }
        let line = line::line(self, archive.content);
        line.len() > limits::INLINE_BYTES
            || gzip::compressed_bound(line.len()) > archive.object_bytes
                && gzip::compress(&line, archive.level()).len() > archive.object_bytes
    }

    /// Cuts what an item does not hold, and keeps the whole of it elsewhere.
    fn fit_item(&mut self, transform: &Transform) {
        if self.item.original_text.len() > ITEM_TEXT_BYTES {
            if self.item.original_ref.is_none() {
                let whole = self.item.original_text.clone();
                let key = |sha256: &str| key::payload(&self.event.facts.tenant, &self.event.facts.id, sha256);
                self.item.original_ref = Some(store(&mut self.blobs, whole.into(), key));
            }
            cut(&mut self.item.original_text);
        }
        if self.item.modified_data.len() > ITEM_TEXT_BYTES {
            if self.item.modified_ref.is_none() {
                let whole = self.item.modified_data.clone();
                self.refer_to_text();
                self.line_text = Some(Text::Inline(whole));
            }
            cut(&mut self.item.modified_data);
        }
        if self.item.fields.as_json().len() > ITEM_FIELDS_BYTES {
            let whole = self.item.fields.clone();
            self.refer_to_fields(transform);
            self.line_fields = Some(whole);
        }
    }

    /// Makes the transformed text an object of its own.
    fn refer_to_text(&mut self) {
        let whole = self.item.modified_data.clone();
        let key = |sha256: &str| key::text(&self.event.facts.tenant, &self.event.facts.id, sha256);
        let blob = store(&mut self.blobs, whole.into(), key);
        self.item.modified_ref = Some(blob.clone());
        self.line_text = Some(Text::Ref(blob));
    }

    /// Makes the client's fields an object of its own. What the transform adds stays.
    fn refer_to_fields(&mut self, transform: &Transform) {
        let whole = Bytes::from(self.event.fields.as_json().to_owned());
        let key = |sha256: &str| key::payload(&self.event.facts.tenant, &self.event.facts.id, sha256);
        self.item.fields_ref = Some(store(&mut self.blobs, whole, key));
        self.item.fields = transform.fields(&Fields::empty());
    }
}

fn store(blobs: &mut Vec<(BlobRef, Bytes)>, whole: Bytes, key: impl FnOnce(&str) -> String) -> BlobRef {
    let blob = BlobRef::to(&whole, key);
    blobs.push((blob.clone(), whole));
    blob
}

fn cut(text: &mut String) {
    text.truncate(text.floor_char_boundary(ITEM_TEXT_BYTES));
    text.shrink_to_fit();
}

#[cfg(test)]
mod tests {
    use shared::config::TransformStep;
    use shared::id::{AdmissionId, EventId, TenantId};

    use super::*;
    use crate::items::{Attribute, RECEIVED_AT, RECEIVED_PARTITION};
    use crate::tests::admitted;

    const NOW_MS: i64 = 1_795_253_400_000;

    /// The largest event that each kind of limit allows, all at once.
    fn largest() -> (Event, Config) {
        let mut event = admitted(u128::MAX, &"t".repeat(limits::TENANT_ID_BYTES), "x", "");
        event.facts.id = EventId::parse("é".repeat(limits::EVENT_ID_BYTES / 2)).unwrap();
        event.text = Text::Inline("ß".repeat(5_000_000));
        event.fields = serde_json::from_str(&format!("{{\"a\":\"{}\"}}", "x".repeat(1_000_000))).unwrap();
        let mut config = Config::default();
        config.transform.steps = vec![TransformStep::Uppercase, TransformStep::Enrich];
        config.transform.enrich.insert("constant".to_owned(), "x".repeat(9_900).into());
        (event, config)
    }

    fn prepare(event: Event, config: &Config) -> Prepared {
        let transform = Transform::new(&config.transform).unwrap();
        let origin = Origin {
            shard: "shardId-000000000000".into(),
            sequence_number: "4".repeat(56).into(),
            position: u32::MAX,
        };
        let now = Timestamp::from_unix_ms(NOW_MS);
        Prepared::new(Resolved { event, fetched: None }, origin, &transform, config, now)
    }

    fn item_size(item: &Item) -> usize {
        item.attributes().into_iter().map(size).sum()
    }

    /// By DynamoDB's rules: names and strings count their UTF-8 bytes, a number at most 21.
    fn size((name, value): (&str, Attribute)) -> usize {
        name.len()
            + match value {
                Attribute::Text(text) => text.len(),
                Attribute::Number(_) => 21,
            }
    }

    #[test]
    fn the_largest_item_fits_dynamodb() {
        let (event, config) = largest();
        let prepared = prepare(event.clone(), &config);
        assert!(item_size(&prepared.item) < limits::ITEM_BYTES, "{}", item_size(&prepared.item));
        assert!(prepared.item.original_ref.is_some() && prepared.item.modified_ref.is_some());
        assert_eq!(prepared.into_event().fields, event.fields, "what is redriven is whole");

        // Just below where fields are cut.
        let mut event = event;
        let room = ITEM_FIELDS_BYTES - 9_900 - 40;
        event.fields = serde_json::from_str(&format!("{{\"a\":\"{}\"}}", "x".repeat(room))).unwrap();
        let item = prepare(event, &config).item;
        assert!(item.fields_ref.is_none());
        assert!(item_size(&item) < limits::ITEM_BYTES, "{}", item_size(&item));
    }

    #[test]
    fn an_entry_of_the_index_by_time_costs_one_write_unit_whatever_the_ids() {
        let (event, mut config) = largest();
        config.tenants.spread.insert(event.facts.tenant.clone(), 1_000);
        let keys = ["pk", "sk", RECEIVED_PARTITION, RECEIVED_AT];
        let attributes = prepare(event, &config).item.attributes();
        let entry: Vec<_> = attributes.into_iter().filter(|(name, _)| keys.contains(name)).collect();
        assert_eq!(entry.len(), keys.len());
        let bytes: usize = entry.into_iter().map(size).sum();
        assert!(
            bytes <= 1_024,
            "a write unit is 1 KB, this is {bytes}: the ceilings in ARCHITECTURE.md halve"
        );
    }

    #[test]
    fn an_item_lives_its_time_from_when_it_is_written_however_old_its_event_is() {
        let expires = |received_at| {
            let mut event = admitted(1, "acme", "1", "hello");
            event.facts.received_at = Timestamp::from_unix_ms(received_at);
            prepare(event, &Config::default()).item.expires_at.unwrap()
        };
        let life = 90 * 86_400;
        assert_eq!(expires(0), NOW_MS / 1_000 + life, "a replayed event's repeat finds the item");
        assert_eq!(expires(NOW_MS - 2_000), NOW_MS / 1_000 + life);
        assert_eq!(
            expires(NOW_MS + 2_000),
            NOW_MS / 1_000 + 2 + life,
            "the door's clock may be ahead of ours"
        );
    }

    #[test]
    fn an_item_of_a_spread_tenant_names_its_part_of_the_index_and_stays_in_the_tenants_partition() {
        let partition = |spread: &[(&str, u16)]| {
            let mut config = Config::default();
            let spread = spread.iter().map(|(tenant, keys)| (TenantId::parse(tenant).unwrap(), *keys));
            config.tenants.spread = spread.collect();
            let attributes = prepare(admitted(1, "acme", "1", "hello"), &config).item.attributes();
            let of = |name: &str| attributes.iter().find(|(each, _)| *each == name).unwrap().1.clone();
            assert_eq!(of("pk"), Attribute::Text("tenants/acme".to_owned()));
            of(RECEIVED_PARTITION)
        };
        assert_eq!(partition(&[]), Attribute::Text("tenants/acme".to_owned()));
        assert_eq!(partition(&[("beta", 4)]), Attribute::Text("tenants/acme".to_owned()));
        assert_eq!(partition(&[("acme", 4)]), Attribute::Text("tenants/acme#1".to_owned()));
    }

    #[test]
    fn an_item_refers_only_to_what_it_does_not_hold() {
        let item = prepare(admitted(1, "acme", "1", "hello"), &Config::default()).item;
        assert_eq!((item.original_ref, item.modified_ref, item.fields_ref), (None, None, None));
        assert_eq!(item.facts.admission_id, AdmissionId(uuid::Uuid::from_u128(1)));
        assert_eq!(item.facts.tenant, TenantId::parse("acme").unwrap());
    }
}
