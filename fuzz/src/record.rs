//! Stream records: every line of a record is read as the event that it contains, or returned with its bytes and a
//! reason.

use std::io::Read;

use bytes::Bytes;
use flate2::read::{MultiGzDecoder, ZlibDecoder};
use serde_json::Value;
use shared::format::event_line::Event;
use shared::format::kpl;
use shared::format::record::{self, Content, Entry, Undecodable, UnpackedRecord};
use shared::gzip::{self, InflateError, Level};
use shared::limits;
use shared::sequence::{self, Arrays};

use crate::aggregate::{bytes_field, seal};
use crate::members;

/// Pieces of records.
pub const WORDS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    "\"",
    ":",
    ",",
    "\n",
    "\r\n",
    " ",
    "z",
    "k",
    "\u{1e}",
    "\0",
    "}{",
    "},{",
    "null",
    "true",
    "1e400",
    "-0",
    "\\ud800",
    "\\u0000",
    "\\n",
    "\u{feff}",
    "\"v\":1,",
    "\"v\":2,",
    "\"admission_id\":",
    "\"019aa553-4a00-7000-8000-000000000001\"",
    "\"tenant_id\":",
    "\"tenant\":\"acme\",",
    "\"tier\":\"pro\",",
    "\"source\":\"webhook\",",
    "\"id\":",
    "\"log_id\":",
    "\"event_id\":",
    "\"text\":",
    "\"payload\":",
    "\"body\":",
    "\"message\":",
    "\"fields\":{",
    "\"claim_check\":{",
    "\"key\":\"claims/acme/1/ab\",",
    "\"line_bytes\":",
    "\"content_hash\":",
    "\"parts\":",
    "\"bytes\":",
    "\"sha256\":",
    "\"trace\":",
    "\"redrive_of\":[{",
    "\"position\":0}]",
    "\"timestamp\":",
    "\"event_time\":\"2016-12-31T23:59:60Z\"",
    "\"received_at\":\"2026-11-21T09:30:00.123Z\"",
    "18446744073709551616",
    "-9223372036854775809",
    "\"0000-01-01T00:00:00+23:59\"",
];

/// `input` is the data of a record. If it begins with one of these letters, the rest is wrapped, because mutation
/// would break the wrapping: `z` compresses it with gzip, `k` makes it the message of an aggregate, `u` makes an
/// aggregate of user records, cut at each byte `1e`. Those can be wrapped, too.
pub fn check(input: &[u8]) {
    let data = wrapped(input, 2);
    match record::unpack(&data, &[]) {
        Ok(record) => {
            assert!(record.entries.len() <= record::RECORD_EVENTS);
            every_line_has_an_entry(&data, &record.entries);
            unpacked_events_survive_packing(&record);
        }
        Err(reason) => check_reason(&data, &reason),
    }
}

fn wrapped(input: &[u8], levels: u8) -> Vec<u8> {
    match (input.split_first(), levels.checked_sub(1)) {
        (Some((b'z', rest)), Some(_)) => gzip::compress(rest, Level::FAST),
        (Some((b'k', message)), Some(_)) => seal(message).into(),
        (Some((b'u', rest)), Some(levels)) => aggregate(rest.split(|byte| *byte == 0x1e), levels),
        _ => input.to_vec(),
    }
}

fn aggregate<'a>(user_records: impl Iterator<Item = &'a [u8]>, levels: u8) -> Vec<u8> {
    let mut message = Vec::new();
    bytes_field(1, b"acme", &mut message);
    for data in user_records {
        let mut user_record = vec![1 << 3, 0];
        bytes_field(3, &wrapped(data, levels), &mut user_record);
        bytes_field(3, &user_record, &mut message);
    }
    seal(&message).into()
}

/// Each entry comes from the piece or user record at the same position, and between the pieces nothing is lost.
fn every_line_has_an_entry(data: &[u8], entries: &[Entry]) {
    let mut rest = entries.iter();
    let parts = if kpl::is_aggregate(data) {
        let user_records = kpl::user_records(&Bytes::copy_from_slice(data), record::RECORD_EVENTS).unwrap();
        user_records.into_iter().map(|user_record| user_record.data.to_vec()).collect()
    } else {
        vec![data.to_vec()]
    };
    for part in parts {
        // An unreadable user record is one entry with all its bytes.
        if let Some(Err(bad)) = rest.as_slice().first()
            && bad.bytes == part
        {
            rest.next();
            continue;
        }
        let plain = inflated(&part).unwrap_or(part);
        let mut end = 0;
        for piece in sequence::pieces(&plain, Arrays::Opened, record::RECORD_EVENTS, is_read) {
            let piece = piece.unwrap();
            let start = piece.bytes.as_ptr().addr() - plain.as_ptr().addr();
            is_between_values(&plain[end..start]);
            end = start + piece.bytes.len();
            match rest
                .next()
                .unwrap_or_else(|| panic!("no entry for the line {}", piece.bytes.escape_ascii()))
            {
                Ok(Content::Event(event)) => check_event(piece.bytes, event),
                Ok(Content::Foreign(object)) => {
                    members::check(piece.bytes, object.tenant.as_ref(), &object.text, &object.fields);
                }
                Err(bad) => assert_eq!(bad.bytes, piece.bytes, "{}", bad.reason),
            }
        }
        is_between_values(&plain[end..]);
    }
    assert_eq!(rest.len(), 0, "entries without a line");
}

/// Whether one line is an event.
fn is_read(line: &[u8]) -> Result<(), ()> {
    let is_event = |record: UnpackedRecord| record.entries.len() == 1 && record.entries[0].is_ok();
    if line.starts_with(b"{") && record::unpack(line, &[]).is_ok_and(is_event) { Ok(()) } else { Err(()) }
}

fn is_between_values(bytes: &[u8]) {
    let bytes = bytes.split(|byte| b" \t\r\n\x0c\0\x1e[],".contains(byte));
    for lost in bytes.filter(|bytes| !bytes.is_empty()) {
        assert_eq!(lost, sequence::BYTE_ORDER_MARK, "bytes that no entry has");
    }
}

/// Another JSON parser reads the same event from the line.
fn check_event(line: &[u8], event: &Event) {
    // This parser fails on numbers that do not fit an `f64`. Ours does not parse them.
    let Ok(value) = serde_json::from_slice::<Value>(line) else { return };
    assert_eq!(value["id"], event.facts.id.as_str());
    assert_eq!(value["tenant"], event.facts.tenant.as_str());
    assert_eq!(
        value["admission_id"].as_str().map(str::to_lowercase),
        Some(event.facts.admission_id.to_string())
    );
    if let Some(claim_check) = &event.claim_check {
        assert_eq!(value["claim_check"]["sha256"], claim_check.sha256.as_str());
        return;
    }
    assert_eq!(value["text"], event.text.as_str());
    let fields: Value = serde_json::from_str(event.fields.as_json()).unwrap();
    assert_eq!(value.get("fields").cloned().unwrap_or_else(|| Value::Object(serde_json::Map::new())), fields);
}

/// Events that are packed and unpacked again are the same.
fn unpacked_events_survive_packing(record: &UnpackedRecord) {
    let events = |entries: &[Entry]| -> Vec<Event> {
        let event = |entry: &Entry| match entry {
            Ok(Content::Event(event)) => Some((**event).clone()),
            _ => None,
        };
        entries.iter().filter_map(event).collect()
    };
    let read = events(&record.entries);
    if !read.is_empty() {
        let packed = record::pack(&read.iter().map(Event::line).collect::<Vec<_>>());
        let again = record::unpack(&packed, &[]).unwrap();
        assert_eq!(again.entries.len(), read.len());
        assert_eq!(events(&again.entries), read);
    }
}

/// A record is refused as a whole only if nothing of it can be read, or if it is too large.
fn check_reason(data: &[u8], reason: &Undecodable) {
    match reason {
        Undecodable::Unrecognised => {
            assert!(!sequence::begins_as_json(data));
        }
        Undecodable::Gzip(InflateError::Corrupt { .. }) => assert!(inflated(data).is_none()),
        Undecodable::Gzip(InflateError::Ratio { limit }) => {
            panic!("no gzip inflates to {limit} times its size")
        }
        Undecodable::Gzip(InflateError::TooLarge { limit }) => {
            assert!(inflated(data).is_none_or(|plain| plain.len() > *limit));
        }
        Undecodable::Aggregate(_) => {
            assert!(kpl::user_records(&Bytes::copy_from_slice(data), record::RECORD_EVENTS).is_err());
        }
        Undecodable::NoLine { lines, .. } => assert!(*lines > 1),
        // It has too many lines, or its only one cannot be read.
        _ => {}
    }
}

/// Inflates gzip or zlib, up to one byte over the limit. `None` if it is neither, or corrupt before that.
fn inflated(data: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::new();
    let most = limits::RECORD_INFLATED_BYTES as u64 + 1;
    if data.starts_with(&gzip::MAGIC) {
        // A member's last bytes may be zeros, too: its length has four bytes, after a checksum of four.
        let end = data.iter().rposition(|byte| *byte != 0)? + 1;
        return (end..=data.len()).take(9).find_map(|end| {
            plain.clear();
            MultiGzDecoder::new(&data[..end]).take(most).read_to_end(&mut plain).ok()?;
            Some(plain.clone())
        });
    }
    gzip::is_zlib(data).then(|| ZlibDecoder::new(data).take(most).read_to_end(&mut plain).ok())??;
    Some(plain)
}
