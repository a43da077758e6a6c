//! Inputs, the same for each run: events as HTTP bodies, and batches as Kinesis brings them to the consumer.

use std::fmt::Write as _;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use md5::{Digest, Md5};
use prost::Message;
use shared::format::kpl;

use crate::ingest::{self, Ingest};

/// What a run is measured on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// Events of 390 bytes, one a record.
    Small,
    /// Events of 8 KB, one a record.
    Big,
    /// Small events, fifty a record, as ingest packs them.
    Packed,
    /// Small events, fifty a record, as a foreign producer's gzip NDJSON.
    GzipPacked,
    /// Small events, fifty a record, in aggregates of the Kinesis Producer Library.
    Kpl,
    /// Events of 1 KB of which each character is an escape in JSON.
    Escapes,
    /// Events of 1 KB without ASCII letters.
    NonAscii,
    /// Small events of one tenant.
    OneTenant,
    /// Small events, each of another of 10,000 tenants.
    Tenants,
    /// One event of nearly 1 MiB.
    OneMib,
    /// What redaction finds and what it leaves, in several spellings. Only for comparing outputs.
    Redaction,
}

impl Input {
    pub const ALL: [Self; 11] = [
        Self::Small,
        Self::Big,
        Self::Packed,
        Self::GzipPacked,
        Self::Kpl,
        Self::Escapes,
        Self::NonAscii,
        Self::OneTenant,
        Self::Tenants,
        Self::OneMib,
        Self::Redaction,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Big => "big",
            Self::Packed => "packed",
            Self::GzipPacked => "gzip-packed",
            Self::Kpl => "kpl",
            Self::Escapes => "escapes",
            Self::NonAscii => "non-ascii",
            Self::OneTenant => "one-tenant",
            Self::Tenants => "tenants",
            Self::OneMib => "one-mib",
            Self::Redaction => "redaction",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|input| input.name() == name)
    }

    /// Events in one record.
    fn packed(self) -> usize {
        match self {
            Self::Packed | Self::GzipPacked | Self::Kpl => 50,
            _ => 1,
        }
    }

    /// As much of it as is measured by default.
    pub fn load(self) -> Load {
        let (events, tenants) = match self {
            Self::Small | Self::Packed | Self::GzipPacked | Self::Kpl => (10_000, 5),
            Self::OneTenant => (10_000, 1),
            Self::Tenants => (10_000, 10_000),
            Self::Big => (500, 5),
            Self::Escapes | Self::NonAscii => (2_000, 5),
            Self::OneMib => (1, 1),
            Self::Redaction => (REDACTION.len(), 5),
        };
        Load { input: self, events, tenants }
    }
}

/// Events of one kind.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub input: Input,
    pub events: usize,
    pub tenants: usize,
}

impl Load {
    /// The events as objects of JSON. Ids differ, and with them the whole: nothing is a duplicate.
    pub fn objects(self) -> Vec<String> {
        let mut random = fastrand::Rng::with_seed(20_261_128);
        (0..self.events).map(|index| self.object(index, &mut random)).collect()
    }

    fn object(self, index: usize, random: &mut fastrand::Rng) -> String {
        // Ingest packs a record of events of one tenant.
        let tenant = if self.tenants <= 5 {
            index / self.input.packed() % self.tenants
        } else {
            random.usize(..self.tenants)
        };
        let text = match self.input {
            Input::Big => sentences(random, 7_900),
            Input::Escapes => (0..1_000).map(|_| *random.choice(&ESCAPED).unwrap()).collect(),
            Input::NonAscii => (0..340).map(|_| random.char('\u{4e00}'..'\u{9fff}')).collect(),
            Input::OneMib => (0..1_000_000).map(|_| random.alphanumeric()).collect(),
            Input::Redaction => REDACTION[index % REDACTION.len()].to_owned(),
            _ => sentences(random, 270),
        };
        serde_json::json!({
            "tenant_id": format!("tenant-{tenant}"),
            "log_id": uuid::Builder::from_random_bytes(random.u128(..).to_be_bytes()).into_uuid().to_string(),
            "level": random.choice(["info", "warn", "error"]),
            "text": text,
        })
        .to_string()
    }

    /// The payload of one invocation of the consumer.
    pub async fn batch(self) -> String {
        let objects = self.objects();
        let records = match self.input {
            Input::GzipPacked => objects.chunks(50).map(|objects| ("k".to_owned(), gzip(objects))).collect(),
            Input::Kpl => objects.chunks(50).map(|objects| ("k".to_owned(), aggregate(objects))).collect(),
            _ => Ingest::new().records(&objects, self.input.packed()).await,
        };
        batch(&records)
    }

    /// The payloads of invocations of ingest: one for each event, or one for all where events come packed.
    pub fn requests(self) -> Vec<String> {
        let objects = self.objects();
        match self.input.packed() {
            1 => objects.iter().map(|object| ingest::event(object)).collect(),
            _ => vec![ingest::event(&format!("[{}]", objects.join(",")))],
        }
    }
}

const ESCAPED: [char; 6] = ['"', '\\', '\n', '\t', '\u{1}', '\r'];

const REDACTION: [&str; 18] = [
    "User 555-0199 accessed /reports",
    "call (555) 555-0199, or (555)555-0199. 555.555.0199 1-555-555-0199, 1 (555) 555-0199",
    "+1 555 555 0199 +15555550199 +49 30 1234567, +49 (0)30 1234567; tel:+49-30-1234567",
    "2024-01-11T01:42:50Z 555-0199, [11/Jan/2024:01:42:50 +0000] 2024-01-11T01:42:50.234-0500",
    "555\u{2011}0199, 555\u{2013}555\u{2013}0199, (555)\u{202f}555\u{2011}0199 +49 30\u{2212}1234567",
    "\u{202a}+1 555\u{ad} 555\u{200b} 0199\u{202c} is from an address book, é555-0199é",
    "５５５－０１９９, ＋４９　３０　１２３４５６７, ٥٥٥-٠١٩٩, +۹۸ ۲۱ ۱۲۳۴۵۶۷۸",
    "?phone=%2B1%20555%20555%200199&q=%22555-0199%22 %28555%29%20555-0199",
    r#"{"a":"call\n555-0199\t+1 555 555 0199","b":"555\u00a0555\u20110199","c":"{\"d\":\"\\n555-0199\"}"}"#,
    "mail jo.doe+x@example.com! <a@b.co>, O'Neil@mail.example.co.uk. 555-0199@example.com",
    "jo%40example.com jo%2540example.com user@host @handle a@b lodash@4.17.21",
    "card 4111 1111 1111 1111 ok 4111-1111-1111-1111, 4111111111111111 12 4111 1111 1111 1111 99",
    "378282246310005, 3782 822463 10005, 4222222222222, 4111.1111.1111.1111 3782.822463.10005",
    "4111 1111-1111.1111. card=4111%201111%201111%201111, 4111\u{a0}1111\u{a0}1111\u{a0}1111",
    "4111 1111 1111 1112, 550e8400-e29b-41d4-a716-446655440000 12345678-1234-1234-1234-123456789012",
    "192.168.100.200 10.0.0.1:8080 v1.2.3 1.555.10 2.555.555.0199 1704937370234 12345678901234567890",
    "12.50 1,234,567.89 -273.15 100% (200) + 300 = 500, 100–2000 ms, 52.520006599999996",
    "100% %zz C:\\new\\temp \\u12 \\ud83d %4111 %C3%A9 %2525 日本—…",
];

/// Log lines of about `bytes` bytes. In one of four there is something to redact.
fn sentences(random: &mut fastrand::Rng, bytes: usize) -> String {
    const USERS: [&str; 8] = ["mira", "jonas", "lena", "otto", "rosa", "emil", "ida", "paul"];
    const ACTIONS: [&str; 8] =
        ["opened", "deleted", "renamed", "downloaded", "shared", "updated", "archived", "printed"];
    const THINGS: [&str; 8] =
        ["report", "invoice", "dashboard", "ticket", "contract", "picture", "comment", "session"];
    let mut text = String::with_capacity(bytes + 100);
    while text.len() < bytes {
        let [user, action, thing] =
            [USERS, ACTIONS, THINGS].map(|words| *random.choice(words.iter()).unwrap());
        let (number, address, port) = (random.u32(..), random.u32(..0xffff), random.u16(1024..));
        write!(
            text,
            "{user} {action} {thing} {number:08x} from 10.0.{}.{}:{port}",
            address >> 8,
            address & 255
        )
        .unwrap();
        match random.u8(..12) {
            0 => write!(text, ", call 555-{:04}", random.u16(..10_000)).unwrap(),
            1 => write!(text, ", mail {user}{}@example.com", random.u16(..1000)).unwrap(),
            2 => write!(
                text,
                ", ssn {:03}-{:02}-{:04}",
                random.u16(1..900),
                random.u8(1..99),
                random.u16(1..9999)
            )
            .unwrap(),
            _ => write!(text, " in {} ms", random.u16(..2_000)).unwrap(),
        }
        text.push_str(". ");
    }
    text.truncate(bytes);
    text
}

fn gzip(objects: &[String]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    for object in objects {
        writeln!(encoder, "{object}").unwrap();
    }
    encoder.finish().unwrap()
}

#[derive(Clone, PartialEq, Message)]
struct Aggregate {
    #[prost(string, repeated, tag = "1")]
    partition_keys: Vec<String>,
    #[prost(message, repeated, tag = "3")]
    records: Vec<UserRecord>,
}

#[derive(Clone, PartialEq, Message)]
struct UserRecord {
    #[prost(uint64, required, tag = "1")]
    partition_key_index: u64,
    #[prost(bytes = "vec", required, tag = "3")]
    data: Vec<u8>,
}

fn aggregate(objects: &[String]) -> Vec<u8> {
    let record = |object: &String| UserRecord { partition_key_index: 0, data: object.clone().into_bytes() };
    let records = objects.iter().map(record).collect();
    let message = Aggregate { partition_keys: vec!["k".to_owned()], records }.encode_to_vec();
    [&kpl::MAGIC[..], &message, &Md5::digest(&message)].concat()
}

/// Records of one shard, with their partition keys, as Lambda brings them.
fn batch(records: &[(String, Vec<u8>)]) -> String {
    let record = |(index, (key, data)): (usize, &(String, Vec<u8>))| {
        let sequence_number = format!("49{index:054}");
        serde_json::json!({
            "kinesis": {
                "kinesisSchemaVersion": "1.0",
                "partitionKey": key,
                "sequenceNumber": sequence_number,
                "data": base64_simd::STANDARD.encode_to_string(data),
                // Three digits, since `aws_lambda_events` reads `.19` as 19 milliseconds.
                "approximateArrivalTimestamp": 1_790_000_000.191,
            },
            "eventSource": "aws:kinesis",
            "eventVersion": "1.0",
            "eventID": format!("shardId-000000000000:{sequence_number}"),
            "eventName": "aws:kinesis:record",
            "invokeIdentityArn": "arn:aws:iam::123456789012:role/consumer",
            "awsRegion": "us-east-1",
            "eventSourceARN": "arn:aws:kinesis:us-east-1:123456789012:stream/events",
        })
    };
    let records: Vec<_> = records.iter().enumerate().map(record).collect();
    serde_json::json!({ "Records": records }).to_string()
}
