//! One event, as it is sent and as it must be stored.

use std::fmt::Write as _;

use anyhow::Context;
use fastrand::Rng;
use serde_json::Value;
use shared::config::Config;
use shared::fields::Fields;
use shared::format::event_line::Event as EventLine;
use shared::format::facts::{EventTime, Facts, Source};
use shared::id::{AdmissionId, EventId, TenantId};
use shared::tier::Tier;
use shared::time::Timestamp;
use uuid::Uuid;

/// Members that name a text.
const TEXT_MEMBERS: [&str; 4] = ["text", "payload", "body", "message"];
const SERVICES: [&str; 4] = ["checkout", "search", "billing", "web"];
const LEVELS: [&str; 4] = ["debug", "info", "warning", "error"];
/// Texts have up to so many bytes, and of a thousand so many have up to that. Most are lines of a log; a few are as large as a
/// stack trace or a dump.
const SIZES: [(u32, usize); 5] = [(600, 160), (300, 500), (90, 4_000), (9, 40_000), (1, 200_000)];

/// Where ingest looks for ids.
#[derive(Debug)]
pub(super) struct Naming {
    pub(super) header: Option<String>,
    members: Vec<String>,
}

impl Naming {
    pub(super) fn of(config: &Config) -> anyhow::Result<Self> {
        // The same `webhook-id` is the same message, whatever its content.
        let mut headers = config.ids.headers.iter().filter(|name| !name.eq_ignore_ascii_case("webhook-id"));
        let members = config.ids.members.clone();
        members.first().context("`ids.members` is empty, so objects cannot name themselves")?;
        Ok(Self { header: headers.next().cloned(), members })
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub tenant: TenantId,
    pub id: EventId,
    pub source: Source,
    /// That of the request; unknown where a key has one, or of a text.
    pub tier: Option<Tier>,
    /// Without it, the text is made of the other members.
    pub text: Option<String>,
    /// When it happened: RFC 3339.
    time: Option<String>,
    /// The other members, as a JSON object.
    members: String,
    /// Which of the names for id and text it uses.
    spelling: usize,
}

impl Event {
    pub(super) fn draw(
        random: &mut Rng,
        tenant: TenantId,
        tier: Option<Tier>,
        id: String,
        source: Source,
    ) -> Self {
        let id = EventId::parse(id).expect("the name of a run is short");
        let is_object = source != Source::TextUpload;
        let has_text = !is_object || random.u8(0..10) > 0;
        let text = has_text.then(|| text(random));
        let (mut time, mut members) = (None, "{}".to_owned());
        if is_object {
            // A time of today would be another one in another run with the same seed.
            let [hour, minute, second] = [24, 60, 60].map(|end| random.u8(0..end));
            time = Some(format!("2026-11-21T{hour:02}:{minute:02}:{second:02}Z"));
            members = self::members(random);
        }
        let spelling = random.usize(0..100);
        Self { tenant, id, source, tier, text, time, members, spelling }
    }

    /// The body.
    pub(super) fn object(&self, naming: &Naming) -> String {
        let id = &naming.members[self.spelling % naming.members.len()];
        let mut object = format!(r#"{{"tenant_id":"{}","{id}":"{}""#, self.tenant, self.id);
        if let Some(time) = &self.time {
            let _infallible = write!(object, r#","timestamp":"{time}""#);
        }
        let _infallible = write!(object, ",{}", &self.members[1..self.members.len() - 1]);
        if let Some(text) = &self.text {
            let name = TEXT_MEMBERS[self.spelling % TEXT_MEMBERS.len()];
            let _infallible = write!(object, r#","{name}":{}"#, Value::from(text.as_str()));
        }
        object.push('}');
        object
    }

    pub fn fields(&self) -> Fields {
        Fields::of_object(&self.members).expect("members are an object")
    }

    pub fn event_time(&self) -> Option<EventTime> {
        self.time.as_ref().and_then(|time| serde_json::from_value(time.as_str().into()).ok())
    }

    /// That of the item.
    pub fn content_hash(&self) -> String {
        let facts = Facts {
            id: self.id.clone(),
            admission_id: AdmissionId(Uuid::nil()),
            tenant: self.tenant.clone(),
            tier: self.tier.clone().unwrap_or_else(|| Tier::parse("any").expect("it is a tier")),
            source: self.source,
            received_at: Timestamp::default(),
            event_time: self.event_time(),
            trace: None,
        };
        let mut line = EventLine::of_facts(facts);
        line.is_flattened = self.text.is_none();
        line.text = self.text.clone().unwrap_or_default();
        line.fields = self.fields();
        line.content_hash()
    }
}

fn members(random: &mut Rng) -> String {
    let [level, service] = [LEVELS, SERVICES].map(|names| random.choice(names).unwrap_or_default());
    let (status, host) = (random.choice([200, 201, 302, 404, 500]).unwrap_or_default(), random.u8(0..40));
    let (whole, tenths) = (random.u16(0..2_000), random.u8(0..10));
    let mut members = format!(
        r#"{{"level":"{level}","service":"{service}","status":{status},"host":"node-{host}","duration_ms":{whole}.{tenths}"#
    );
    if random.bool() {
        let (id, plan) = (random.u32(..), random.choice(["trial", "paid"]).unwrap_or_default());
        let _infallible =
            write!(members, r#","user":{{"id":{id},"plan":"{plan}","roles":["reader","写者"]}}"#);
    }
    if random.u8(0..4) == 0 {
        members.push_str(r#","session":null,"retry":true"#);
    }
    members.push('}');
    members
}

/// Of a log: some lines have what must be redacted, and some what must be escaped.
fn text(random: &mut Rng) -> String {
    let mut left = random.u32(0..SIZES.iter().map(|(share, _)| share).sum());
    let mut least = 20;
    let mut most = SIZES[0].1;
    for (share, up_to) in SIZES {
        most = up_to;
        match left.checked_sub(share) {
            Some(more) => (left, least) = (more, up_to),
            None => break,
        }
    }
    let bytes = random.usize(least..=most);
    let mut text = String::with_capacity(bytes + 100);
    while text.len() < bytes {
        sentence(random, &mut text);
    }
    text.truncate(text.floor_char_boundary(bytes));
    text
}

fn sentence(random: &mut Rng, text: &mut String) {
    let n = random.u16(..);
    let _infallible = match random.u8(0..8) {
        0 => write!(text, "User 555-{:04} accessed /reports/{n}. ", n % 10_000),
        1 => write!(text, "order {n} was paid by buyer{n}@example.com. "),
        2 => write!(text, "connection to db-{} timed out after {} s. ", n % 8, n % 60),
        3 => write!(text, "card 4111 1111 1111 1111 declined, attempt {}. ", n % 5),
        4 => write!(text, "Überweisung {n} nach Zürich bestätigt ✓ "),
        5 => write!(text, "at app.rs:{n}\n\tcaused by \"C:\\temp\\{n}\"\n"),
        6 => write!(text, "在庫 {n} 件 🚚 "),
        _ => write!(text, "GET /items/{n} 200 in {} ms; ", n % 900),
    };
}
