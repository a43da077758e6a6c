//! The consumer as it is written first in Rust, with the usual crates: `KinesisEvent`, `Value`, `regex`, flate2. It does
//! the same work as Tidegate's and stores the same; what can fail is not handled.
//!
//! `naive FILE` runs it each time that it reads a line, as `work serve consumer FILE` does.

#![expect(clippy::unwrap_used, reason = "this is a benchmark")]

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write as _};
use std::ops::Range;
use std::path::Path;

use aws_lambda_events::event::kinesis::KinesisEvent;
use base64_simd::URL_SAFE_NO_PAD;
use bench::cpu;
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use prost::Message;
use regex::Regex;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use shared::time::{Clock, Timestamp};
use uuid::{Builder, Uuid};

fn main() {
    let payload = fs::read_to_string(std::env::args().nth(1).expect("usage: naive FILE")).unwrap();
    let consumer = Consumer::new();
    for folder in std::io::stdin().lines() {
        let before = cpu::used();
        let stores = consumer.handle(&payload);
        println!("{}", cpu::used().checked_sub(before).unwrap().as_secs_f64());
        let folder = folder.unwrap();
        if !folder.is_empty() {
            stores.write(Path::new(&folder));
        }
    }
}

#[derive(Default)]
struct Stores {
    items: HashMap<(String, String), Value>,
    /// The keys of the items in the order in which they came.
    order: Vec<(String, String)>,
    archive: Vec<u8>,
}

impl Stores {
    /// Whether there was no item with this key.
    fn insert(&mut self, item: &Value) -> bool {
        let key = |name: &str| item[name].as_str().unwrap().to_owned();
        let key = (key("pk"), key("sk"));
        if let Some(there) = self.items.get(&key) {
            assert_eq!(there["hash"], item["hash"], "the id was used again");
            return false;
        }
        self.items.insert(key.clone(), item.clone());
        self.order.push(key);
        true
    }

    fn write(&self, folder: &Path) {
        let items: Vec<_> = self.order.iter().map(|key| self.items[key].to_string()).collect();
        fs::write(folder.join("items.ndjson"), items.join("\n")).unwrap();
        fs::write(folder.join("archive.ndjson.gz"), &self.archive).unwrap();
    }
}

struct Consumer {
    rules: Rules,
    clock: Clock,
}

impl Consumer {
    fn new() -> Self {
        Self { rules: Rules::new(), clock: Clock::system() }
    }

    fn handle(&self, payload: &str) -> Stores {
        let event: KinesisEvent = serde_json::from_str(payload).unwrap();
        let now = self.clock.now();
        let mut stores = Stores::default();
        let mut tenants: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        for record in event.records {
            let shard = record.event_id.as_deref().unwrap().split(':').next().unwrap().to_owned();
            let arrival = record.kinesis.approximate_arrival_timestamp.timestamp_millis();
            let arrival = Timestamp::from_unix_ms(arrival).to_string();
            for (position, line) in lines(&record.kinesis.data.0).into_iter().enumerate() {
                let origin = json!({"shard": shard, "sequence_number": record.kinesis.sequence_number, "position": position});
                let event = read(&line, &origin, &arrival);
                let text = event["text"].as_str().unwrap();
                let redacted = self.rules.redact(text);
                let item = item(&event, text, &redacted, &origin, now);
                if stores.insert(&item) {
                    let tenant = event["tenant"].as_str().unwrap().to_owned();
                    let line = archive_line(&event, &redacted, &origin, now);
                    writeln!(tenants.entry(tenant).or_default(), "{line}").unwrap();
                }
            }
        }
        for lines in tenants.values() {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::new(3));
            encoder.write_all(lines).unwrap();
            stores.archive.extend(encoder.finish().unwrap());
        }
        stores
    }
}

#[derive(Clone, PartialEq, Message)]
struct Aggregate {
    #[prost(message, repeated, tag = "3")]
    records: Vec<UserRecord>,
}

#[derive(Clone, PartialEq, Message)]
struct UserRecord {
    #[prost(bytes = "vec", required, tag = "3")]
    data: Vec<u8>,
}

/// The lines of a record: plain, in gzip, or an aggregate of the Kinesis Producer Library.
fn lines(data: &[u8]) -> Vec<String> {
    if let Some(aggregate) = data.strip_prefix(b"\xf3\x89\x9a\xc2") {
        let aggregate = Aggregate::decode(&aggregate[..aggregate.len() - 16]).unwrap();
        return aggregate.records.iter().flat_map(|record| lines(&record.data)).collect();
    }
    let mut text = String::new();
    if data.starts_with(b"\x1f\x8b") {
        MultiGzDecoder::new(data).read_to_string(&mut text).unwrap();
    } else {
        str::from_utf8(data).unwrap().clone_into(&mut text);
    }
    text.lines().filter(|line| !line.is_empty()).map(ToOwned::to_owned).collect()
}

/// An event line; or a foreign producer's object, which is made one.
fn read(line: &str, origin: &Value, arrival: &str) -> Value {
    let mut object: Map<String, Value> = serde_json::from_str(line).unwrap();
    if object.contains_key("admission_id") {
        return object.into();
    }
    let tenant = object.remove("tenant_id").unwrap();
    let id = ["event_id", "log_id", "id"].iter().find_map(|name| object.remove(*name));
    let text = ["text", "payload", "body", "message"].iter().find_map(|name| object.remove(*name)).unwrap();
    let [shard, number] = ["shard", "sequence_number"].map(|name| origin[name].as_str().unwrap());
    let digest = Sha256::digest(format!("{shard}\n{number}\n{}", origin["position"]));
    let admission_id = Builder::from_custom_bytes(digest[..16].try_into().unwrap()).into_uuid().to_string();
    let id = id.unwrap_or_else(|| admission_id.clone().into());
    json!({
        "v": 1, "id": id, "admission_id": admission_id, "tenant": tenant, "tier": "free", "source": "json_upload",
        "received_at": arrival, "text": text, "fields": object,
    })
}

const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const HELD_BYTES: usize = 150_000;

fn item(event: &Value, text: &str, redacted: &str, origin: &Value, now: Timestamp) -> Value {
    let text_of = |name: &str| event[name].as_str().unwrap();
    let received_at: Timestamp = serde_json::from_value(event["received_at"].clone()).unwrap();
    let days = match text_of("tier") {
        "free" => 30,
        "pro" => 90,
        _ => 365,
    };
    let mut item = json!({
        "pk": format!("tenants/{}", text_of("tenant")),
        "sk": format!("processed_logs/{}", utf8_percent_encode(text_of("id"), UNRESERVED)),
        "source": event["source"],
        "original_text": &text[..text.floor_char_boundary(HELD_BYTES)],
        "modified_data": &redacted[..redacted.floor_char_boundary(HELD_BYTES)],
        "processed_at": now.to_string(),
        "received_at": event["received_at"],
        "tier": event["tier"],
        "origin": short_origin(origin),
        "admission": URL_SAFE_NO_PAD.encode_to_string(Uuid::parse_str(text_of("admission_id")).unwrap()),
        "hash": content_hash(event),
        "expires_at": received_at.max(now).unix_ms() / 1_000 + days * 86_400,
    });
    let object = item.as_object_mut().unwrap();
    if let Some(fields) = event.get("fields").and_then(Value::as_object).filter(|fields| !fields.is_empty()) {
        object.insert("fields".to_owned(), serde_json::to_string(fields).unwrap().into());
    }
    for name in ["event_time", "trace"] {
        if let Some(value) = event.get(name) {
            object.insert(name.to_owned(), value.clone());
        }
    }
    for (name, text) in [("original_text_bytes", text), ("modified_data_bytes", redacted)] {
        if text.len() > HELD_BYTES {
            object.insert("truncated".to_owned(), true.into());
            object.insert(name.to_owned(), text.len().into());
        }
    }
    item
}

fn short_origin(origin: &Value) -> String {
    let [shard, sequence_number] = ["shard", "sequence_number"].map(|name| origin[name].as_str().unwrap());
    let shard: u64 = shard.trim_start_matches("shardId-").parse().unwrap();
    match origin["position"].as_u64().unwrap() {
        0 => format!("{shard}:{sequence_number}"),
        position => format!("{shard}:{sequence_number}.{position}"),
    }
}

fn archive_line(event: &Value, redacted: &str, origin: &Value, now: Timestamp) -> Value {
    let mut line = event.clone();
    let object = line.as_object_mut().unwrap();
    object.insert("text".to_owned(), redacted.into());
    object.insert("processed_at".to_owned(), now.to_string().into());
    object.extend(origin.as_object().unwrap().clone());
    line
}

/// By value, not by spelling.
fn content_hash(event: &Value) -> String {
    let mut bytes = event["text"].as_str().unwrap().as_bytes().to_vec();
    bytes.push(0xff);
    bytes.extend(canonical(event.get("fields").unwrap_or(&json!({}))));
    bytes.extend(event.get("event_time").and_then(Value::as_str).unwrap_or_default().as_bytes());
    Sha256::digest(bytes)[..16].iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    })
}

fn canonical(value: &Value) -> Vec<u8> {
    match value {
        Value::Null => b"n".to_vec(),
        Value::Bool(true) => b"t".to_vec(),
        Value::Bool(false) => b"f".to_vec(),
        Value::Number(number) => {
            [&b"i"[..], &number.as_i64().expect("inputs have integers only").to_le_bytes()].concat()
        }
        Value::String(text) => [b"\"", text.as_bytes(), b"\xff"].concat(),
        Value::Array(values) => {
            [b"[", &values.iter().flat_map(canonical).collect::<Vec<_>>()[..], b"]"].concat()
        }
        Value::Object(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            // A name ends with a byte that sorts after all others.
            sorted.sort_by_key(|(name, _)| [name.as_bytes(), b"\xff"].concat());
            let member = |(name, value): (&String, &Value)| {
                [b"\"", name.as_bytes(), b"\xff", &canonical(value)].concat()
            };
            let out = [b"{", &sorted.into_iter().flat_map(member).collect::<Vec<_>>()[..], b"}"].concat();
            if out.len() > 1_024 { [b"#", &Sha256::digest(out)[..]].concat() } else { out }
        }
    }
}

struct Rules {
    spelled: Regex,
    email: Regex,
    digits: Regex,
    run: Regex,
    phone: Regex,
}

impl Rules {
    fn new() -> Self {
        let regex = |pattern| Regex::new(pattern).unwrap();
        Self {
            spelled: regex(
                r"(?x) %(?:25)*(?P<percent>[0-9A-Fa-f]{2})? | \\+(?:u(?P<unicode>[0-9A-Fa-f]{4})|(?P<break>[nrt])[0-9+(])?
                | (?P<other>[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000\u2010-\u2013\ufe63\u2212\u0660-\u0669\u06f0-\u06f9
                \uff01-\uff5e\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufe00-\ufe0f\ufeff\u20e3])",
            ),
            email: regex(
                r"(?-u)[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@(?:[A-Za-z0-9-]+\.)+[A-Za-z](?:[A-Za-z0-9-]*[A-Za-z0-9])",
            ),
            digits: regex("(?-u)[0-9]+"),
            run: regex(r"(?-u)\b[0-9](?:[ .\x1f-]?[0-9]){12,}\b"),
            phone: regex(
                r"(?x-u) \+ [1-9][0-9]{0,14} (?: [\ ./\x1f-]? \(? [0-9]{1,12} \)? ){0,6} \b
                | (?: \b 1 [\ .\x1f-]? )? \( [0-9]{3} \) [\ .\x1f-]? [0-9]{3} [\ .\x1f-]? [0-9]{4} \b
                | \b (?: 1 [\ .\x1f-] )? [0-9]{3} [\ .\x1f-] [0-9]{3} [\ .\x1f-] [0-9]{4} \b
                | \b [0-9]{3} - [0-9]{4} \b",
            ),
        }
    }

    fn redact(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for _ in 0..8 {
            let found = self.found(&text);
            if found.is_empty() {
                break;
            }
            for range in found.into_iter().rev() {
                text.replace_range(range, "[REDACTED]");
            }
        }
        text
    }

    fn found(&self, text: &str) -> Vec<Range<usize>> {
        let (spelled, ends) = self.spelling(text);
        let original = |at: usize| {
            let passed = ends.partition_point(|(end, _)| *end <= at);
            let (here, there) = passed.checked_sub(1).map_or((0, 0), |last| ends[last]);
            there + (at - here)
        };
        let mut found: Vec<_> = self.email.find_iter(&spelled).map(|found| found.range()).collect();
        for more in [self.cards(&spelled), self.phones(&spelled)] {
            let is_free = |range: &Range<usize>| {
                found.iter().all(|other| other.end <= range.start || range.end <= other.start)
            };
            let free: Vec<_> = more.into_iter().filter(is_free).collect();
            found.extend(free);
        }
        found.sort_by_key(|range| range.start);
        found.into_iter().map(|range| original(range.start)..original(range.end)).collect()
    }

    /// The text in one spelling, and after each character that was spelled in another way: the index there and here.
    fn spelling(&self, text: &str) -> (String, Vec<(usize, usize)>) {
        let (mut spelled, mut ends, mut copied, mut at) = (String::new(), Vec::new(), 0, 0);
        while let Some(found) = self.spelled.captures_at(text, at) {
            let whole = found.get(0).unwrap();
            at = whole.end();
            let code = |name: &str| {
                found
                    .name(name)
                    .and_then(|hex| char::from_u32(u32::from_str_radix(hex.as_str(), 16).unwrap()))
            };
            let meaning = if let Some(char) = code("percent") {
                (char.is_ascii_punctuation() || char.is_ascii_whitespace()).then(|| char.to_string())
            } else if let Some(char) = code("unicode") {
                Some(meaning(char))
            } else if found.name("break").is_some() {
                at -= 1;
                Some("\n".to_owned())
            } else {
                found.name("other").map(|other| meaning(other.as_str().chars().next().unwrap()))
            };
            if let Some(meaning) = meaning {
                spelled.push_str(&text[copied..whole.start()]);
                spelled.push_str(&meaning);
                copied = at;
                ends.push((spelled.len(), copied));
            }
        }
        spelled.push_str(&text[copied..]);
        (spelled, ends)
    }

    fn cards(&self, text: &str) -> Vec<Range<usize>> {
        let mut found: Vec<Range<usize>> = Vec::new();
        for run in self.run.find_iter(text) {
            let groups: Vec<_> = self.digits.find_iter(run.as_str()).collect();
            for (index, group) in groups.iter().enumerate() {
                let start = run.start() + group.start();
                if found.last().is_some_and(|last| start < last.end) {
                    continue;
                }
                let ends = groups[index..groups.len().min(index + 5)].iter().rev();
                let ranges = ends.map(|last| start..run.start() + last.end());
                found.extend({ ranges }.find(|range| is_card(&text[range.clone()])));
            }
        }
        found
    }

    fn phones(&self, text: &str) -> Vec<Range<usize>> {
        let (mut found, mut at) = (Vec::new(), 0);
        while let Some(candidate) = self.phone.find_at(text, at) {
            let is_phone = is_phone(text.as_bytes(), candidate.range());
            at = if is_phone { candidate.end() } else { candidate.start() + 1 };
            found.extend(is_phone.then(|| candidate.range()));
        }
        found
    }
}

fn meaning(char: char) -> String {
    let digit = |zero: u32| char::from_digit(u32::from(char) - zero, 10).unwrap();
    match char {
        '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => ' ',
        '\u{2010}'..='\u{2012}' | '\u{fe63}' => '-',
        '\u{2013}' | '\u{2212}' => '\x1f',
        '\u{660}'..='\u{669}' => digit(0x660),
        '\u{6f0}'..='\u{6f9}' => digit(0x6f0),
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(char) - 0xfee0).unwrap(),
        '\u{ad}'
        | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{2069}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}'
        | '\u{20e3}' => return String::new(),
        other => other,
    }
    .to_string()
}

fn is_card(spelling: &str) -> bool {
    let digits: Vec<u32> = spelling.chars().filter_map(|char| char.to_digit(10)).collect();
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| if place % 2 == 0 { *digit } else { digit * 2 / 10 + digit * 2 % 10 })
        .sum();
    if spelling.len() > 23
        || !(13..=19).contains(&digits.len())
        || !(2..=6).contains(&digits[0])
        || !sum.is_multiple_of(10)
    {
        return false;
    }
    let groups: Vec<_> = spelling.split(|char: char| !char.is_ascii_digit()).map(str::len).collect();
    let mut separators: Vec<_> = spelling.chars().filter(|char| !char.is_ascii_digit()).collect();
    separators.dedup();
    let (last, others) = groups.split_last().unwrap();
    if separators.len() <= 1 && separators != ['.'] {
        return others.iter().all(|digits| *digits >= 4);
    }
    matches!(groups[..], [4, 6, 4 | 5])
        || groups.len() >= 4 && *last <= 4 && others.iter().all(|digits| *digits == 4)
}

/// Whether a candidate is a number of its own, not a piece of something longer.
fn is_phone(text: &[u8], range: Range<usize>) -> bool {
    let is_digit = |at: Option<usize>| at.and_then(|at| text.get(at)).is_some_and(u8::is_ascii_digit);
    let in_chain =
        |at: Option<usize>| at.and_then(|at| text.get(at)).is_some_and(|byte| b"-.\x1f".contains(byte));
    match text[range.start] {
        b'+' => {
            let digits = text[range.clone()].iter().filter(|byte| byte.is_ascii_digit()).count();
            digits >= 8 && !is_digit(range.start.checked_sub(1))
        }
        b'(' => true,
        _ => {
            let before = in_chain(range.start.checked_sub(1)) && is_digit(range.start.checked_sub(2));
            let after = in_chain(Some(range.end)) && is_digit(Some(range.end + 1));
            !before && !after
        }
    }
}
