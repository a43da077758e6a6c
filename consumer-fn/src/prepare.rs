//! From an event to what is stored of it: its item, and its archive line.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use shared::config::{Archive, ArchiveContent, Config};
use shared::fields::Fields;
use shared::format::archive_line::ArchiveLine;
use shared::format::claim_check::{ClaimCheck, Part};
use shared::format::event_line::Event;
use shared::format::item::HeldContent;
use shared::format::key;
use shared::{gzip, partition};

use crate::items::Item;
use crate::transform::Transform;
use crate::transform::work::Worked;
use shared::origin::Origin;

/// An event, ready to be stored.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) item: Arc<Item>,
    /// The archive line, with its newline.
    pub(crate) line: Bytes,
    /// What is to be stored before the line: the line itself, if it is too large for an archive object.
    pub(crate) parts: Vec<Part>,
    /// The event as it came, for quarantine.
    pub(crate) event: Box<Event>,
}

impl Prepared {
    /// Transforms an event, and lays out what is stored of it.
    pub(crate) fn new(worked: Worked, origin: Origin, transform: &Transform, config: &Config) -> Self {
        let Worked { mut event, done_at: processed_at } = worked;
        let facts = &event.facts;
        let received_partition = (config.reads.enabled == Some(true))
            .then(|| partition::received_partition(&facts.tenant, &facts.id, &config.tenants.spread));
        // A replayed or redriven event may be older than an item lives. Its item still detects duplicates for as long.
        let lives_from = facts.received_at.max(processed_at);
        let expires_at = config.items.time_to_live(&facts.tier).map(|life| lives_from.plus(life));
        let text = transform.text(&event.text);
        let fields = transform.fields(&event.fields);
        let content_hash = event.content_hash();

        let line = ArchiveLine {
            facts: Cow::Borrowed(facts),
            processed_at,
            origin: Cow::Borrowed(&origin),
            text: Cow::Borrowed(&text),
            fields: Cow::Borrowed(&fields),
            original_text: match config.archive.content {
                ArchiveContent::Transformed => None,
                ArchiveContent::Both => Some(Cow::Borrowed(&event.text)),
            },
            claim_check: None,
        };
        let (line, parts) = fit_object(line, &content_hash, &config.archive);

        let only_constants = || transform.fields(&Fields::empty());
        let item = Item {
            facts: facts.clone(),
            origin,
            content_hash,
            processed_at,
            content: HeldContent::new(config.items.content, &event.text, text, &fields, only_constants),
            expires_at: expires_at.map(|at| at.unix_ms() / 1_000),
            received_partition,
        };
        if event.claim_check.is_some() {
            // It goes to quarantine as a head, so its text is not needed any more.
            (event.text, event.fields) = (String::new(), Fields::empty());
        }
        Self { item: Arc::new(item), line, parts, event }
    }
}

/// The line as it goes into an archive object; as a head, and with the parts to store, if it alone is too large for one.
fn fit_object(mut line: ArchiveLine<'_>, content_hash: &str, archive: &Archive) -> (Bytes, Vec<Part>) {
    let whole = line.to_bytes();
    // This much fits for certain, without being compressed first.
    if gzip::compressed_bound(whole.len()) <= archive.object_bytes {
        // Of a small line, a third of the memory that it was written into is not needed.
        return (whole.into_boxed_slice().into(), Vec::new());
    }
    let stored = gzip::compress(&whole, archive.level());
    if stored.len() <= archive.object_bytes {
        return (whole.into(), Vec::new());
    }
    let key = |sha256: &str| key::text(&line.facts.tenant, &line.facts.id, sha256);
    let (claim_check, parts) = ClaimCheck::new(stored, whole.len(), content_hash.to_owned(), key);
    line.claim_check = Some(claim_check);
    (line.to_bytes().into(), parts)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use shared::client_object::ClientObject;
    use shared::config::TransformStep;
    use shared::format::item;
    use shared::id::{EventId, TenantId};
    use shared::limits;
    use shared::time::Timestamp;

    use super::*;
    use crate::items::{Attribute, RECEIVED_AT, RECEIVED_PARTITION};
    use crate::tests::admitted;

    const NOW_MS: i64 = 1_795_253_400_000;

    /// The largest event that each kind of limit allows, all at once.
    fn largest() -> (Event, Config) {
        let mut event = admitted(u128::MAX, &"t".repeat(limits::TENANT_ID_BYTES), "x", "");
        event.facts.id = EventId::parse("é".repeat(limits::EVENT_ID_BYTES / 2)).unwrap();
        event.text = "ß".repeat(5_000_000);
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
        let worked = Worked { event: event.into(), done_at: Timestamp::from_unix_ms(NOW_MS) };
        Prepared::new(worked, origin, &transform, config)
    }

    fn item_size(item: &Item) -> usize {
        item::bytes(&item.attributes())
    }

    #[test]
    fn the_largest_item_fits_dynamodb() {
        let (event, config) = largest();
        let prepared = prepare(event.clone(), &config);
        assert!(item_size(&prepared.item) < limits::ITEM_BYTES, "{}", item_size(&prepared.item));
        let item = &prepared.item;
        let content = item.content.as_ref().unwrap();
        let sizes =
            [content.original_text.whole_bytes, content.text().whole_bytes, content.fields.whole_bytes];
        assert_eq!(sizes, [Some(10_000_000), Some(10_000_000), Some(1_009_922)]);
        assert_eq!(*prepared.event, event, "what is redriven is whole");

        // Just below where fields are cut.
        let mut event = event;
        let room = 60_000 - 9_900 - 40;
        event.fields = serde_json::from_str(&format!("{{\"a\":\"{}\"}}", "x".repeat(room))).unwrap();
        let item = prepare(event, &config).item;
        assert_eq!(item.content.as_ref().unwrap().fields.whole_bytes, None);
        assert!(item_size(&item) < limits::ITEM_BYTES, "{}", item_size(&item));
    }

    #[test]
    fn an_entry_of_the_index_by_time_costs_one_write_unit_whatever_the_ids() {
        let (event, mut config) = largest();
        config.tenants.spread.insert(event.facts.tenant.clone(), 1_000);
        config.reads.enabled = Some(true);
        let keys = ["pk", "sk", RECEIVED_PARTITION, RECEIVED_AT];
        let attributes = prepare(event, &config).item.attributes();
        let entry: Vec<_> = attributes.into_iter().filter(|(name, _)| keys.contains(name)).collect();
        assert_eq!(entry.len(), keys.len());
        let bytes = item::bytes(&entry);
        assert!(bytes <= 1_024, "a write unit is 1 KB, this is {bytes}: the limits in docs/limits.md halve");
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
            "the clock of ingest may be ahead of ours"
        );
    }

    #[test]
    fn an_item_of_a_spread_tenant_names_its_part_of_the_index_and_stays_in_the_tenants_partition() {
        let partition = |spread: &[(&str, u16)]| {
            let mut config = Config::default();
            config.reads.enabled = Some(true);
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
    fn an_item_is_in_the_index_by_time_only_where_events_are_read_back() {
        let is_in_the_index = |enabled| {
            let mut config = Config::default();
            config.reads.enabled = enabled;
            let attributes = prepare(admitted(1, "acme", "1", "hello"), &config).item.attributes();
            attributes.iter().any(|(name, _)| *name == RECEIVED_PARTITION)
        };
        assert_eq!([None, Some(false), Some(true)].map(is_in_the_index), [false, false, true]);
    }

    #[test]
    fn an_item_that_holds_everything_is_not_truncated() {
        let item = prepare(admitted(1, "acme", "1", "hello"), &Config::default()).item;
        assert!(item.attributes().iter().all(|(name, _)| !name.ends_with("_bytes") && *name != "truncated"));
        assert_eq!(item.facts.tenant, TenantId::parse("acme").unwrap());
    }

    proptest! {
        /// The item has the text twice and the fields, the line has both once, in JSON within JSON; and both have the facts.
        #[test]
        fn what_is_stored_of_any_object_is_at_most_eight_times_its_size_or_eight_kilobytes(
            name in "[a-z\\\\]{1,300}", values in proptest::collection::vec("[a-z0-9 \n\u{1}é]{0,40}", 0..200), depth in 0_usize..20,
        ) {
            let [name, values] =
                [serde_json::to_string(&name), serde_json::to_string(&values)].map(Result::unwrap);
            let body = format!("{{{name}:{}{values}{}}}", "[".repeat(depth), "]".repeat(depth));
            let object = ClientObject::parse(&body, &[]).unwrap();
            let mut event = admitted(1, "acme", "1", &object.text);
            event.fields = object.fields;
            let mut config = Config::default();
            config.transform.steps = Vec::new();
            let prepared = prepare(event, &config);
            let stored = item_size(&prepared.item) + prepared.line.len();
            prop_assert!(stored <= 8 * body.len().max(1_024), "{stored} bytes of {}", body.len());
        }
    }
}
