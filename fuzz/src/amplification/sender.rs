//! What a sender may send, as a shape that can be changed step by step: a tree of JSON, how often it is repeated, how it is
//! wrapped. A changed shape is nearly always valid, unlike changed bytes.

use std::fmt;
use std::io::Write;

use axum::body::Body;
use flate2::Compression;
use flate2::write::{DeflateEncoder, ZlibEncoder};
use http::Request;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Kind;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use shared::format::kpl::UserRecord;
use shared::format::record::RECORD_EVENTS;
use shared::gzip::{self, Level};
use shared::limits;

use crate::aggregate;
use crate::mutate::Dice;

/// Pieces of texts and names. The last two stand for letters, and for control characters, that do not compress.
const PIECES: &[&str] = &[
    "a",
    "\\u0001",
    "\\n",
    "\\\"",
    "\\ud800",
    "\\u0061",
    "\\u00e9",
    "\u{1}",
    "é",
    "\u{2028}",
    "\u{149}",
    ".",
    "a@b.co ",
    "555-0199 ",
    "4111 1111 1111 1111 ",
    "tenant_id",
    "text",
    "timestamp",
    NOISE,
    CONTROLS,
];
/// In a search. Costs of events add up, so a few show what many cost.
const MOST_EVENTS: usize = 64;
const LETTERS: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_";
const NOISE: &str = "noise";
const CONTROLS: &str = "controls";

/// The ways in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Json,
    Ndjson,
    Text,
    CloudEvents,
    CloudEventBinary,
    OtlpProtobuf,
    OtlpJson,
    Record,
    Array,
    Aggregate,
}

/// By kind: our own protocol, log records of OpenTelemetry, records of foreign producers.
pub const WAYS: [&[Way]; 3] = [
    &[Way::Json, Way::Ndjson, Way::Text, Way::CloudEvents, Way::CloudEventBinary],
    &[Way::OtlpProtobuf, Way::OtlpJson],
    &[Way::Record, Way::Array, Way::Aggregate],
];

impl Way {
    pub fn is_foreign(self) -> bool {
        matches!(self, Self::Record | Self::Array | Self::Aggregate)
    }

    pub fn is_otlp(self) -> bool {
        matches!(self, Self::OtlpProtobuf | Self::OtlpJson)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Identity,
    Gzip,
    Deflate,
    Zlib,
    Zstd,
    /// Gzip in gzip.
    Twice,
}

const CODINGS: [Coding; 6] =
    [Coding::Identity, Coding::Gzip, Coding::Deflate, Coding::Zlib, Coding::Zstd, Coding::Twice];

/// Pieces, each so many times.
type Text = Vec<(usize, usize)>;

#[derive(Clone, Debug)]
enum Json {
    Number,
    Text(Text),
    Array(usize, Box<Json>),
    Object(Vec<(Text, Json)>),
    /// Many members; their names are distinct, or all the same.
    Members {
        count: usize,
        name: Text,
        value: Box<Json>,
        are_distinct: bool,
    },
}

/// Everything that is sent at once.
#[derive(Clone)]
pub struct Shape {
    pub way: Way,
    coding: Coding,
    /// The longest tenant id and trace that are allowed.
    is_long: bool,
    /// The ids of events.
    named: Named,
    /// Each event has a tenant of its own.
    has_tenants: bool,
    /// The stream refuses, so the lines are spilled.
    pub is_spilled: bool,
    events: usize,
    event: Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Named {
    No,
    /// The longest header.
    ByHeader,
    /// The longest id of each event, in characters that are percent-encoded in keys.
    ByMember,
    /// The same id for all.
    Alike,
}

/// What reaches the way in.
pub enum Sent {
    Request { request: Box<Request<Body>>, wire: usize, inflated: usize },
    Record { data: Vec<u8>, inflated: usize },
}

impl Shape {
    /// One small event.
    pub fn small(way: Way) -> Self {
        Self {
            way,
            coding: Coding::Identity,
            is_long: false,
            named: Named::No,
            has_tenants: false,
            is_spilled: false,
            events: 1,
            event: Json::Object(vec![(vec![(0, 1)], Json::Number)]),
        }
    }

    /// What a search does not reach, because it is large: the most events, claim checks, many tenants.
    pub fn known() -> Vec<Self> {
        let piece = |name| PIECES.iter().position(|piece| *piece == name).unwrap();
        let text = |name, times| {
            Json::Object(vec![(vec![(piece("text"), 1)], Json::Text(vec![(piece(name), times)]))])
        };
        let many =
            Self { coding: Coding::Gzip, is_long: true, events: RECORD_EVENTS, ..Self::small(Way::Ndjson) };
        let empty = Json::Object(Vec::new());
        // Each number is a line of the flattened text, with its whole path.
        let paths =
            Json::Object(vec![(vec![(piece("a"), 2_000)], Json::Array(1_000, Box::new(Json::Number)))]);
        let attributes = |name| Json::Object(vec![(vec![(piece(name), 2_000)], Json::Text(vec![(0, 1)]))]);
        vec![
            Self { event: empty.clone(), events: RECORD_EVENTS, ..many.clone() },
            Self { event: empty.clone(), named: Named::ByHeader, ..many.clone() },
            Self { event: empty.clone(), named: Named::ByMember, is_spilled: true, ..many.clone() },
            Self { event: empty.clone(), named: Named::Alike, ..many.clone() },
            Self { event: empty, has_tenants: true, ..many.clone() },
            Self { event: paths, coding: Coding::Gzip, ..Self::small(Way::Json) },
            Self { event: text(NOISE, 1_500_000), ..Self::small(Way::Json) },
            Self { event: text(CONTROLS, 1_500_000), ..Self::small(Way::Text) },
            Self { event: text(CONTROLS, 1_500_000), is_spilled: true, ..Self::small(Way::Text) },
            Self { event: text("a", 4_000_000), coding: Coding::Gzip, ..Self::small(Way::Text) },
            Self { event: text("\\u0001", 20), ..many.clone() },
            Self { way: Way::OtlpProtobuf, event: attributes("a"), ..many.clone() },
            Self { way: Way::OtlpProtobuf, event: attributes(CONTROLS), ..many.clone() },
            Self { way: Way::Record, event: text("a", 1), ..many },
        ]
    }

    /// A neighbour: one to three things are different.
    #[must_use]
    pub fn changed(&self, ways: &[Way], dice: &mut Dice) -> Self {
        let mut shape = self.clone();
        for _ in 0..=dice.below(3) {
            match dice.below(12) {
                0 => shape.coding = CODINGS[dice.below(CODINGS.len())],
                1 => shape.is_long = !shape.is_long,
                2 => {
                    let all = [Named::No, Named::ByHeader, Named::ByMember, Named::Alike];
                    shape.named = all[dice.below(all.len())];
                }
                3 => shape.has_tenants = !shape.has_tenants,
                4 => shape.is_spilled = !shape.is_spilled,
                5 | 6 => shape.events = count(dice, shape.events).min(MOST_EVENTS),
                7 if dice.below(4) == 0 => shape.way = ways[dice.below(ways.len())],
                _ => {
                    let mut at = dice.below(shape.event.size());
                    shape.event.change(&mut at, dice);
                }
            }
        }
        shape
    }

    /// Of at most about `most` bytes, before it is compressed.
    pub fn sent(&self, most: usize) -> Sent {
        let plain = self.plain(most);
        let inflated = plain.len();
        if self.way.is_foreign() {
            let data = match self.coding {
                Coding::Identity | Coding::Zstd | Coding::Deflate => plain,
                coding => encoded(&plain, coding),
            };
            return Sent::Record { data, inflated };
        }
        let (path, media_type) = match self.way {
            Way::Json | Way::CloudEventBinary => ("/events", "application/json"),
            Way::Ndjson => ("/events", "application/x-ndjson"),
            Way::Text => ("/events", "text/plain"),
            Way::CloudEvents => ("/events", "application/cloudevents-batch+json"),
            Way::OtlpProtobuf => ("/v1/logs", "application/x-protobuf"),
            _ => ("/v1/logs", "application/json"),
        };
        let mut request = Request::post(path).header("content-type", media_type);
        let coding = match self.coding {
            Coding::Identity => None,
            Coding::Gzip | Coding::Twice => Some("gzip"),
            Coding::Deflate | Coding::Zlib => Some("deflate"),
            Coding::Zstd => Some("zstd"),
        };
        if let Some(coding) = coding {
            request = request.header("content-encoding", coding);
        }
        if !self.has_tenants {
            let tenant = if self.is_long { letters(limits::TENANT_ID_BYTES) } else { "t".to_owned() };
            request = request.header("x-tenant-id", tenant);
        }
        if self.is_long {
            request = request.header("traceparent", letters(256));
        }
        if self.named == Named::ByHeader {
            request = request.header("idempotency-key", letters(limits::EVENT_ID_BYTES - 24));
        }
        if self.way == Way::CloudEventBinary {
            let long = "c".repeat(if self.is_long { 120 } else { 1 });
            request = request.header("ce-specversion", "1.0").header("ce-type", &long);
            request = request.header("ce-source", &long).header("ce-id", &long);
        }
        let body = encoded(&plain, self.coding);
        let wire = body.len();
        Sent::Request { request: Box::new(request.body(Body::from(body)).unwrap()), wire, inflated }
    }

    fn plain(&self, most: usize) -> Vec<u8> {
        let mut out = Out { bytes: Vec::new(), noise: Dice::new(1), most };
        if self.way.is_otlp() {
            return self.otlp(&mut out);
        }
        if let (Way::Text, Json::Object(members)) = (self.way, &self.event) {
            for (name, value) in members {
                value.inner().unwrap_or(name).write(&mut out);
            }
            return out.bytes;
        }
        let [before, between, after] = match self.way {
            Way::Ndjson | Way::Record => ["", "\n", ""],
            Way::CloudEventBinary => ["", "", ""],
            Way::Json if self.events == 1 => ["", "", ""],
            _ => ["[", ",", "]"],
        };
        if self.way == Way::Aggregate {
            return self.aggregate(most);
        }
        out.bytes.extend(before.bytes());
        let events = if self.way == Way::CloudEventBinary { 1 } else { self.events };
        for index in 0..events {
            if index > 0 {
                if out.is_full() {
                    break;
                }
                out.bytes.extend(between.bytes());
            }
            self.event(index, &mut out);
        }
        out.bytes.extend(after.bytes());
        out.bytes
    }

    /// A KPL aggregate of the events.
    fn aggregate(&self, most: usize) -> Vec<u8> {
        let mut events = Vec::new();
        let mut bytes = 0;
        for index in 0..self.events {
            let mut out = Out { bytes: Vec::new(), noise: Dice::new(index as u64), most };
            self.event(index, &mut out);
            bytes += out.bytes.len();
            if bytes > most {
                break;
            }
            let partition_key = "t".into();
            events.push(UserRecord { partition_key, explicit_hash_key: None, data: out.bytes.into() });
        }
        aggregate::encode(&events).to_vec()
    }

    fn event(&self, index: usize, out: &mut Out) {
        let Json::Object(members) = &self.event else { return self.event.write(out) };
        out.bytes.push(b'{');
        if self.way == Way::CloudEvents {
            write!(out.bytes, r#""specversion":"1.0","type":"t","source":"s","id":"{index}","data":{{"#)
                .unwrap();
        }
        let length = out.bytes.len();
        if self.has_tenants || self.way.is_foreign() {
            let tenants = if self.has_tenants { index } else { 0 };
            let width = if self.is_long { limits::TENANT_ID_BYTES } else { 1 };
            write!(out.bytes, r#""tenant_id":"{tenants:0width$}","#).unwrap();
        }
        match self.named {
            Named::ByMember => {
                write!(out.bytes, r#""id":"{index:06}{}","#, "é".repeat(125)).unwrap();
            }
            Named::Alike => write!(out.bytes, r#""id":"a","n":{index},"#).unwrap(),
            Named::No | Named::ByHeader => {}
        }
        for (name, value) in members {
            out.string(name);
            out.bytes.push(b':');
            value.write(out);
            out.bytes.push(b',');
        }
        if out.bytes.len() > length {
            out.bytes.pop();
        }
        out.bytes.extend(if self.way == Way::CloudEvents { &b"}}"[..] } else { b"}" });
    }

    /// The event's members are the attributes of the resource; their values are the bodies of the records.
    fn otlp(&self, out: &mut Out) -> Vec<u8> {
        let mut text = |text: &Text| out.text(text);
        let value = |text: String| AnyValue { value: Some(Kind::StringValue(text)) };
        let members: &[(Text, Json)] = match &self.event {
            Json::Object(members) => members,
            _ => &[],
        };
        let attributes: Vec<_> = members
            .iter()
            .map(|(name, _)| KeyValue {
                key: text(name),
                value: Some(value(text(name))),
                ..Default::default()
            })
            .collect();
        let bodies: Vec<_> = members.iter().map(|(_, body)| body.otlp(out)).collect();
        let body_bytes = bodies.iter().map(AnyValue::encoded_len).max().unwrap_or_default().max(2);
        let events = self.events.min((out.most / body_bytes).max(1));
        let record = |index: usize| LogRecord {
            time_unix_nano: if self.named == Named::No { 0 } else { 1 + index as u64 },
            body: bodies.get(index % bodies.len().max(1)).cloned(),
            ..LogRecord::default()
        };
        let scope = ScopeLogs { log_records: (0..events).map(record).collect(), ..ScopeLogs::default() };
        let resource = Some(Resource { attributes, ..Resource::default() });
        let resource = ResourceLogs { resource, scope_logs: vec![scope], ..ResourceLogs::default() };
        let request = ExportLogsServiceRequest { resource_logs: vec![resource] };
        match self.way {
            Way::OtlpProtobuf => request.encode_to_vec(),
            _ => serde_json::to_vec(&request).unwrap(),
        }
    }
}

impl fmt::Debug for Shape {
    /// Shortened: what a report shows.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { way, coding, is_long, named, has_tenants, is_spilled, events, event } = self;
        write!(f, "{way:?} {coding:?}, {events} events")?;
        for (is, what) in [
            (*is_long, "longest headers".to_owned()),
            (*named != Named::No, format!("ids {named:?}")),
            (*has_tenants, "a tenant each".to_owned()),
            (*is_spilled, "spilled".to_owned()),
        ] {
            if is {
                write!(f, ", {what}")?;
            }
        }
        let mut out = Out { bytes: Vec::new(), noise: Dice::new(1), most: 160 };
        event.write(&mut out);
        let shown: String = String::from_utf8_lossy(&out.bytes).chars().take(160).collect();
        write!(f, " of {}", shown.escape_debug())
    }
}

impl Json {
    fn size(&self) -> usize {
        1 + match self {
            Self::Number | Self::Text(_) => 0,
            Self::Array(_, value) | Self::Members { value, .. } => value.size(),
            Self::Object(members) => members.iter().map(|(_, value)| value.size()).sum(),
        }
    }

    /// The text of a value that is one.
    fn inner(&self) -> Option<&Text> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The same as a value of OpenTelemetry.
    fn otlp(&self, out: &mut Out) -> AnyValue {
        let kind = match self {
            Self::Number => Kind::IntValue(0),
            Self::Text(value) => Kind::StringValue(out.text(value)),
            Self::Array(times, value) => {
                let value = value.otlp(out);
                let times = (*times).min(1 + out.most / value.encoded_len().max(2));
                Kind::ArrayValue(ArrayValue { values: vec![value; times] })
            }
            Self::Object(members) => {
                let names: Vec<_> = members.iter().map(|(name, _)| out.text(name)).collect();
                let values = members.iter().zip(names).map(|((_, value), key)| KeyValue {
                    key,
                    value: Some(value.otlp(out)),
                    ..KeyValue::default()
                });
                Kind::KvlistValue(KeyValueList { values: values.collect() })
            }
            Self::Members { count, name, value, are_distinct } => {
                let (name, value) = (out.text(name), value.otlp(out));
                let count = (*count).min(1 + out.most / (name.len() + value.encoded_len()).max(2));
                let member = |index: usize| KeyValue {
                    key: if *are_distinct { format!("{name}{index:x}") } else { name.clone() },
                    value: Some(value.clone()),
                    ..KeyValue::default()
                };
                Kind::KvlistValue(KeyValueList { values: (0..count).map(member).collect() })
            }
        };
        AnyValue { value: Some(kind) }
    }

    /// Changes the value with the number `at`, counted from the root.
    fn change(&mut self, at: &mut usize, dice: &mut Dice) {
        if *at == 0 {
            *at = usize::MAX;
            return self.change_here(dice);
        }
        *at -= 1;
        match self {
            Self::Number | Self::Text(_) => {}
            Self::Array(_, value) | Self::Members { value, .. } => value.change(at, dice),
            Self::Object(members) => {
                for (_, value) in members {
                    if *at != usize::MAX {
                        value.change(at, dice);
                    }
                }
            }
        }
    }

    fn change_here(&mut self, dice: &mut Dice) {
        match (dice.below(6), &mut *self) {
            // Another kind of value.
            (0, Self::Object(members)) if dice.below(2) == 0 => {
                members.push((vec![(dice.below(PIECES.len()), 1)], any(dice)));
            }
            (0, _) | (_, Self::Number) => *self = any(dice),
            // Around itself.
            (1, _) if dice.below(4) == 0 => {
                let depth = 1 << dice.below(7);
                let inner = std::mem::replace(self, Self::Number);
                let depth = if inner.depth() + depth > 118 { 1 } else { depth };
                let nested = (0..depth).fold(inner, |inner, _| Self::Array(1, Box::new(inner)));
                *self = Self::Object(vec![(vec![(0, 1)], nested)]);
            }
            (_, Self::Text(text)) => change_text(text, dice),
            (2, Self::Members { are_distinct, .. }) => *are_distinct = !*are_distinct,
            (3, Self::Members { name, .. }) => change_text(name, dice),
            (_, Self::Array(times, _) | Self::Members { count: times, .. }) => *times = count(dice, *times),
            (2, Self::Object(members)) if members.len() > 1 => {
                let removed = dice.below(members.len());
                members.remove(removed);
            }
            (_, Self::Object(members)) => {
                if members.is_empty() {
                    members.push((vec![(0, 1)], any(dice)));
                }
                let changed = dice.below(members.len());
                change_text(&mut members[changed].0, dice);
            }
        }
    }

    fn depth(&self) -> usize {
        1 + match self {
            Self::Number | Self::Text(_) => 0,
            Self::Array(_, value) | Self::Members { value, .. } => value.depth(),
            Self::Object(members) => members.iter().map(|(_, value)| value.depth()).max().unwrap_or_default(),
        }
    }

    fn write(&self, out: &mut Out) {
        match self {
            Self::Number => out.bytes.push(b'0'),
            Self::Text(text) => out.string(text),
            Self::Array(times, value) => {
                out.bytes.push(b'[');
                out.repeat(*times, |out, _| value.write(out));
                out.bytes.push(b']');
            }
            Self::Object(members) => {
                out.bytes.push(b'{');
                for (index, (name, value)) in members.iter().enumerate() {
                    if index > 0 {
                        out.bytes.push(b',');
                    }
                    out.string(name);
                    out.bytes.push(b':');
                    value.write(out);
                }
                out.bytes.push(b'}');
            }
            Self::Members { count, name, value, are_distinct } => {
                out.bytes.push(b'{');
                out.repeat(*count, |out, index| {
                    out.string(name);
                    if *are_distinct {
                        out.bytes.pop();
                        write!(out.bytes, "{index:x}\"").unwrap();
                    }
                    out.bytes.push(b':');
                    value.write(out);
                });
                out.bytes.push(b'}');
            }
        }
    }
}

/// Letters that do not compress.
fn letters(count: usize) -> String {
    let mut dice = Dice::new(count as u64);
    (0..count).map(|_| char::from(LETTERS[dice.below(LETTERS.len())])).collect()
}

fn any(dice: &mut Dice) -> Json {
    match dice.below(5) {
        0 => Json::Number,
        1 => Json::Text(vec![(dice.below(PIECES.len()), 1 << dice.below(12))]),
        2 => Json::Array(1 << dice.below(12), Box::new(Json::Number)),
        3 => Json::Object(Vec::new()),
        _ => Json::Members {
            count: 1 << dice.below(12),
            name: vec![(dice.below(PIECES.len()), 1)],
            value: Box::new(Json::Number),
            are_distinct: dice.below(2) == 0,
        },
    }
}

fn change_text(text: &mut Text, dice: &mut Dice) {
    match dice.below(4) {
        0 => text.push((dice.below(PIECES.len()), 1 << dice.below(8))),
        1 if !text.is_empty() => drop(text.pop()),
        _ => {
            let Some(last) = text.last_mut() else { return };
            match dice.below(2) {
                0 => last.0 = dice.below(PIECES.len()),
                _ => last.1 = count(dice, last.1),
            }
        }
    }
}

/// Another number: twice as many, half as many, one more, or one.
fn count(dice: &mut Dice, count: usize) -> usize {
    match dice.below(5) {
        0 | 1 => (2 * count).min(1 << 24),
        2 => count.div_ceil(2),
        3 => count + 1,
        _ => 1,
    }
}

/// Bytes up to a limit.
struct Out {
    bytes: Vec<u8>,
    noise: Dice,
    most: usize,
}

impl Out {
    fn is_full(&self) -> bool {
        self.bytes.len() >= self.most
    }

    fn string(&mut self, text: &Text) {
        self.bytes.push(b'"');
        text.write(self);
        self.bytes.push(b'"');
    }

    /// A text alone.
    fn text(&mut self, text: &Text) -> String {
        self.bytes.clear();
        text.write(self);
        String::from_utf8(std::mem::take(&mut self.bytes)).unwrap()
    }

    /// With commas between.
    fn repeat(&mut self, times: usize, write: impl Fn(&mut Self, usize)) {
        for index in 0..times {
            if index > 0 {
                if self.is_full() {
                    break;
                }
                self.bytes.push(b',');
            }
            write(self, index);
        }
    }
}

trait WriteText {
    fn write(&self, out: &mut Out);
}

impl WriteText for Text {
    fn write(&self, out: &mut Out) {
        for (piece, times) in self {
            for _ in 0..*times {
                if out.is_full() {
                    return;
                }
                match PIECES[*piece] {
                    CONTROLS => out.bytes.push(u8::try_from(out.noise.below(32)).unwrap()),
                    NOISE => out.bytes.push(LETTERS[out.noise.below(LETTERS.len())]),
                    piece => out.bytes.extend(piece.bytes()),
                }
            }
        }
    }
}

fn encoded(plain: &[u8], coding: Coding) -> Vec<u8> {
    let gzip = |plain: &[u8]| gzip::compress(plain, Level::new(9).unwrap());
    match coding {
        Coding::Identity => plain.to_vec(),
        Coding::Gzip => gzip(plain),
        Coding::Twice => gzip(&gzip(plain)),
        Coding::Deflate => {
            let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(plain).unwrap();
            encoder.finish().unwrap()
        }
        Coding::Zlib => {
            let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(plain).unwrap();
            encoder.finish().unwrap()
        }
        Coding::Zstd => compress_to_vec(plain, CompressionLevel::Fastest),
    }
}
