//! Inputs, the same for each run: events as HTTP bodies, and batches as Kinesis brings them to the consumer.

use std::fmt::Write as _;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use md5::{Digest, Md5};
use prost::Message;
use shared::format::kpl;

use crate::ingest::Ingest;

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
    /// Small events, each of another of 10,000 tenants.
    Tenants,
    /// One event whose record has 1 MiB.
    OneMib,
}

impl Input {
    pub const ALL: [Self; 9] = [
        Self::Small,
        Self::Big,
        Self::Packed,
        Self::GzipPacked,
        Self::Kpl,
        Self::Escapes,
        Self::NonAscii,
        Self::Tenants,
        Self::OneMib,
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
            Self::Tenants => "tenants",
            Self::OneMib => "one-mib",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|input| input.name() == name)
    }

    /// Events in one batch: about what an invocation of 6 MiB takes.
    pub fn events(self) -> usize {
        match self {
            Self::Small | Self::Packed | Self::GzipPacked | Self::Kpl | Self::Tenants => 10_000,
            Self::Big => 500,
            Self::Escapes | Self::NonAscii => 2_000,
            Self::OneMib => 1,
        }
    }

    /// Events in one record.
    fn packed(self) -> usize {
        match self {
            Self::Packed | Self::GzipPacked | Self::Kpl => 50,
            _ => 1,
        }
    }

    /// The events as objects of JSON. Ids differ, and with them the whole: nothing is a duplicate.
    pub fn objects(self) -> Vec<String> {
        let mut random = fastrand::Rng::with_seed(20_261_128);
        (0..self.events()).map(|index| self.object(index, &mut random)).collect()
    }

    fn object(self, index: usize, random: &mut fastrand::Rng) -> String {
        let tenants = if self == Self::Tenants { 10_000 } else { 5 };
        let tenant = if tenants == 5 { index % 5 } else { random.usize(..tenants) };
        let text = match self {
            Self::Big => sentences(random, 7_900),
            Self::Escapes => (0..1_000).map(|_| *random.choice(&ESCAPED).unwrap()).collect(),
            Self::NonAscii => (0..340).map(|_| random.char('\u{4e00}'..'\u{9fff}')).collect(),
            Self::OneMib => (0..1_000_000).map(|_| random.alphanumeric()).collect(),
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
        let records = match self {
            Self::GzipPacked => objects.chunks(50).map(|objects| ("k".to_owned(), gzip(objects))).collect(),
            Self::Kpl => objects.chunks(50).map(|objects| ("k".to_owned(), aggregate(objects))).collect(),
            _ => Ingest::new().records(&objects, self.packed()).await,
        };
        batch(&records)
    }
}

const ESCAPED: [char; 6] = ['"', '\\', '\n', '\t', '\u{1}', '\r'];

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
                "approximateArrivalTimestamp": 1_790_000_000.19,
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
