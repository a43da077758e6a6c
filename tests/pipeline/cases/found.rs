//! What a way left in a data folder, by the forms' tenants.

use std::borrow::Cow;
use std::collections::BTreeMap;

use shared::format::archive_line::ArchiveLine;
use shared::format::facts::Source;
use shared::format::key;
use shared::format::quarantine_line::QuarantineLine;
use shared::id::{AdmissionId, EventId};
use shared::origin::Origin;
use shared::tier::Tier;
use shared::time::Timestamp;
use tests::site::Site;
use tests::stored::{StoredData, StoredItem};

use super::way::NEIGHBOUR;

/// Everything that a way left in a data folder.
pub(super) struct Found {
    /// Archive lines, as they are written, by tenant.
    pub(super) lines: BTreeMap<String, Vec<String>>,
    /// Texts of items, by tenant and id.
    items: BTreeMap<(String, String), String>,
    /// The reasons for which events are in quarantine, by tenant.
    pub(super) reasons: BTreeMap<String, Vec<String>>,
    /// Reason and bytes of what could not be read.
    pub(super) unreadable: Vec<(String, Vec<u8>)>,
}

impl Found {
    pub(super) fn of(site: &Site) -> Self {
        let stored: StoredData = site.stored();
        let mut lines = BTreeMap::<_, Vec<_>>::new();
        for line in stored.archive_text().lines() {
            lines.entry(read(line).facts.tenant.to_string()).or_default().push(line.to_owned());
        }
        let item = |((partition, sort), item): ((String, String), StoredItem)| {
            let (tenant, id) = key::item_name(&partition, &sort).unwrap();
            ((tenant.to_string(), id.to_string()), item.modified_data)
        };
        let items = stored.items().into_iter().map(item).collect();
        let (mut reasons, mut unreadable) = (BTreeMap::<_, Vec<_>>::new(), Vec::new());
        for line in stored.quarantined() {
            let tenant = line["tenant"].as_str().map(str::to_owned);
            let line: QuarantineLine = serde_json::from_value(line).unwrap();
            match tenant {
                Some(tenant) => reasons.entry(tenant).or_default().push(line.reason.clone()),
                None => unreadable.push((line.reason.clone(), line.bytes)),
            }
        }
        Self { lines, items, reasons, unreadable }
    }

    /// One item for each line, with the same text.
    pub(super) fn check_items(&mut self, tenant: &str, lines: &[String], failed: &mut impl FnMut(String)) {
        for line in lines {
            let line = read(line);
            let item = self.items.remove(&(tenant.to_owned(), line.facts.id.to_string()));
            if item.as_deref() != Some(&*line.text) {
                failed(format!("the item of {} has the text {item:?}", line.facts.id));
            }
        }
    }

    /// What no form has left.
    pub(super) fn rest(mut self, neighbours: usize) -> Vec<String> {
        let beside = self.lines.remove(NEIGHBOUR).unwrap_or_default();
        let mut wrong = Vec::new();
        self.check_items(NEIGHBOUR, &beside, &mut |what| wrong.push(what));
        if beside.len() != neighbours {
            wrong.push(format!("{} of {neighbours} events beside others are stored", beside.len()));
        }
        wrong.extend(self.lines.into_values().flatten().map(|line| format!("a line of no form: {line}")));
        wrong.extend(self.items.into_keys().map(|name| format!("an item of no form: {name:?}")));
        wrong.extend(
            self.reasons.into_iter().map(|reasons| format!("in quarantine for no form: {reasons:?}")),
        );
        let shown = |(reason, bytes): (String, Vec<u8>)| {
            format!("in quarantine for no form as `{reason}`: {}", String::from_utf8_lossy(&bytes))
        };
        wrong.extend(self.unreadable.into_iter().map(shown));
        wrong
    }
}

pub(super) fn read(line: &str) -> ArchiveLine<'_> {
    serde_json::from_str(line).unwrap()
}

/// The line with fixed values in place of those that differ from run to run.
pub(super) fn masked(line: &str, index: usize, keeps_sender: bool) -> String {
    let mut line = read(line);
    let facts = line.facts.to_mut();
    let received_at = Timestamp::from_unix_ms(1_795_253_400_000);
    facts.received_at = received_at;
    // Lambda's runtime adds one.
    facts.trace = None;
    facts.admission_id = AdmissionId(uuid::Uuid::nil());
    if uuid::Uuid::parse_str(facts.id.as_str()).is_ok() {
        facts.id = EventId::parse(format!("new-{index}")).unwrap();
    }
    if !keeps_sender {
        (facts.tier, facts.source) = (Tier::parse("pro").unwrap(), Source::JsonUpload);
    }
    line.processed_at = received_at;
    line.origin =
        Cow::Owned(Origin { shard: "shardId-000000000000".into(), sequence_number: "1".into(), position: 0 });
    String::from_utf8(line.to_bytes()).unwrap()
}
