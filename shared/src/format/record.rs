//! A stream record's data, in both directions.
//!
//! Written: event lines of one tenant, each ended by a newline, as a gzip member where that is smaller. Read: the
//! same, a foreign producer's JSON objects in any form that [`crate::sequence`] reads, compressed by gzip or zlib or not,
//! and aggregates of the Kinesis Producer Library whose user records are any of these. The first bytes decide which one it
//! is. All else is refused, with a reason that has a stable name.
//!
//! What cannot be read goes to quarantine as it was sent. A record of which no line can be read is refused whole: its bytes
//! are the record's, before they are decompressed. The same holds for a user record among good ones: its bytes are those in
//! the aggregate. A bad line among good ones has its own bytes, after decompression. Compression in compressed data is not
//! followed.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::event_line::{Event, VERSION};
use super::kpl::{self, NoAggregate};
use crate::client_object::{ClientObject, InvalidObject};
use crate::gzip::{self, Cap, InflateError, Level};
use crate::limits;
use crate::sequence::{self, Arrays, Piece, TooMany};

/// Smaller records are never compressed. A shard takes 1,000 records and 1 MB a second, so of records up to 1,000 bytes only
/// their number counts; but a record may have bytes besides, and other records are larger.
pub const COMPRESS_FROM_BYTES: usize = 512;

/// The most event lines in one record. With the cap on bytes, this bounds the memory of a reader.
pub const RECORD_EVENTS: usize = 10_000;

/// A record's data: `lines` ended by newlines, compressed where that is smaller.
pub fn pack<L: AsRef<[u8]>>(lines: &[L]) -> Vec<u8> {
    pack_from(lines, COMPRESS_FROM_BYTES)
}

/// The same, not compressed below so many bytes.
pub fn pack_from<L: AsRef<[u8]>>(lines: &[L], compress_from: usize) -> Vec<u8> {
    let mut plain = Vec::with_capacity(lines.iter().map(|line| line.as_ref().len() + 1).sum());
    for line in lines {
        plain.extend_from_slice(line.as_ref());
        plain.push(b'\n');
    }
    if plain.len() < compress_from {
        return plain;
    }
    let member = gzip::compress(&plain, Level::FAST);
    if member.len() < plain.len() { member } else { plain }
}

/// One line of a record. Its index among them is its *position*.
pub type Entry = Result<Content, BadLine>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// From ingest.
    Event(Box<Event>),
    /// A foreign producer's object, with a tenant. The consumer makes it an event.
    Foreign(Box<ClientObject>),
}

/// A line, or a user record of an aggregate, that is no event.
#[derive(Debug)]
pub struct BadLine {
    pub reason: Undecodable,
    /// As they were sent, without what ends the line.
    pub bytes: Vec<u8>,
}

/// Why a record or a line cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Undecodable {
    #[error("the record is empty")]
    Empty,
    #[error("the record is neither event lines, nor gzip, nor zlib, nor an aggregate, nor JSON objects")]
    Unrecognised,
    #[error("none of the {lines} lines can be read, the first of them because {first}")]
    NoLine { lines: usize, first: Box<Undecodable> },
    #[error("the record is compressed, but {0}")]
    Gzip(#[from] InflateError),
    #[error("the record begins as a KPL aggregate, but {0}")]
    Aggregate(#[from] NoAggregate),
    #[error("the user record is an aggregate itself")]
    NestedAggregate,
    #[error("the record has more than {RECORD_EVENTS} lines")]
    TooManyLines,
    /// It has the marks of an event line ([`read_other`]).
    #[error("the line is not an event: {0}")]
    Event(#[source] serde_json::Error),
    #[error("the event has version {0}, this reader knows {VERSION}")]
    NewerVersion(u64),
    #[error("the line is neither an event nor a JSON object with `tenant_id`: {0}")]
    Foreign(#[from] InvalidObject),
    #[error("the JSON object has no `tenant_id`")]
    TenantMissing,
    #[error("the line is not UTF-8")]
    NotUtf8,
}

impl Undecodable {
    /// The reason's name in quarantine and in queries. On disk: never renamed. A fault that a request can have, too, has the
    /// name of ingest's answer.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty => "body_empty",
            Self::Unrecognised => "unrecognised",
            Self::NoLine { first, .. } => first.code(),
            Self::Gzip(error) => error.code(),
            Self::Aggregate(_) => "aggregate_malformed",
            Self::NestedAggregate => "aggregate_nested",
            Self::TooManyLines => "batch_too_large",
            Self::Event(_) => "event_malformed",
            Self::NewerVersion(_) => "version_newer",
            Self::Foreign(invalid) => invalid.code(),
            Self::TenantMissing => "tenant_missing",
            Self::NotUtf8 => "not_utf8",
        }
    }
}

#[derive(Debug, Default)]
pub struct UnpackedRecord {
    /// Without blank lines.
    pub entries: Vec<Entry>,
    /// The size in memory: the lines, inflated, and the texts that objects were flattened to.
    pub bytes: usize,
}

/// Reads a record's data. An error concerns the record as a whole, of which nothing can be read; a bad line, or a bad user
/// record of an aggregate, among good ones is an [`Entry`].
///
/// `limits.inflate_ratio` does not hold here, only the cap in bytes and gzip's own ratio: we may compress a text better than
/// a client's body may be compressed.
///
/// `id_members` name the events of foreign producers.
pub fn unpack(data: &[u8], id_members: &[String]) -> Result<UnpackedRecord, Undecodable> {
    let mut record = UnpackedRecord::default();
    record.unpack(data, id_members).map(|()| record)
}

/// The same, and the size in memory, which a record that cannot be read has, too: it may have been inflated to the last byte
/// before that was found.
pub fn unpack_sized(data: &[u8], id_members: &[String]) -> (Result<Vec<Entry>, Undecodable>, usize) {
    let mut record = UnpackedRecord::default();
    let unpacked = record.unpack(data, id_members);
    (unpacked.map(|()| record.entries), record.bytes)
}

impl UnpackedRecord {
    fn unpack(&mut self, data: &[u8], id_members: &[String]) -> Result<(), Undecodable> {
        if !kpl::is_aggregate(data) {
            return self.read(data, id_members);
        }
        for user_record in kpl::user_records(&Bytes::copy_from_slice(data), RECORD_EVENTS)? {
            // The library does not nest. A reader that followed nested aggregates could be made to recurse.
            let is_nested = kpl::is_aggregate(&user_record.data);
            let read = if is_nested {
                Err(Undecodable::NestedAggregate)
            } else {
                self.read(&user_record.data, id_members)
            };
            match read {
                Ok(()) => {}
                Err(whole @ Undecodable::TooManyLines) => return Err(whole),
                Err(reason) => self.push(Err(BadLine { reason, bytes: user_record.data.to_vec() }))?,
            }
        }
        self.refuse_if_all_bad(0)
    }

    fn read(&mut self, data: &[u8], id_members: &[String]) -> Result<(), Undecodable> {
        let inflated = if data.starts_with(&gzip::MAGIC) {
            Some(self.inflate(data, gzip::inflate))
        } else if gzip::is_zlib(data) {
            let inflated = self.inflate(data, gzip::inflate_zlib);
            let may_be_text = matches!(inflated, Err(InflateError::Corrupt { .. })) && !is_usual_zlib(data);
            (!may_be_text).then_some(inflated)
        } else {
            None
        };
        if let Some(plain) = inflated {
            return self.read_inflated(&plain?, id_members);
        }
        self.bytes += data.len();
        self.read_lines(data, id_members)
    }

    /// Inflates to at most what the record may still have. What cannot be inflated counts as far as it was: otherwise an
    /// aggregate of such user records would take as much work as all of them may inflate to.
    fn inflate(
        &mut self,
        data: &[u8],
        inflate: fn(&[u8], Cap) -> Result<Vec<u8>, InflateError>,
    ) -> Result<Vec<u8>, InflateError> {
        let bytes = limits::RECORD_INFLATED_BYTES.saturating_sub(self.bytes);
        let cap = Cap { bytes, ratio: limits::INFLATE_RATIO };
        let plain = inflate(data, cap);
        self.bytes += match &plain {
            Ok(plain) => plain.len(),
            Err(InflateError::Corrupt { inflated, .. }) => *inflated,
            Err(InflateError::TooLarge { .. } | InflateError::Ratio { .. }) => cap.of(data.len()),
        };
        plain
    }

    /// Compressed data may hold lines that can be read, between bytes that are none. Their neighbours would be lost.
    fn read_inflated(&mut self, plain: &[u8], id_members: &[String]) -> Result<(), Undecodable> {
        if plain.starts_with(&gzip::MAGIC) || kpl::is_aggregate(plain) || is_usual_zlib(plain) {
            return Err(Undecodable::Unrecognised);
        }
        self.read_lines(plain, id_members)
    }

    fn read_lines(&mut self, data: &[u8], id_members: &[String]) -> Result<(), Undecodable> {
        let before = self.entries.len();
        for piece in sequence::pieces(data, Arrays::Opened, RECORD_EVENTS, |line| read_line(line, id_members))
        {
            let Piece { bytes, read } = piece.map_err(|TooMany| Undecodable::TooManyLines)?;
            self.push(read.map_err(|reason| BadLine { reason, bytes: bytes.to_vec() }))?;
        }
        match self.refuse_if_all_bad(before) {
            refused if sequence::begins_as_json(data) => refused,
            Ok(()) if self.entries.len() > before => Ok(()),
            Ok(()) => Err(Undecodable::Empty),
            Err(_) => Err(Undecodable::Unrecognised),
        }
    }

    /// Fails if there are entries from `start` on, and none of them can be read. Then it removes them: what is kept of them is
    /// what they came in.
    fn refuse_if_all_bad(&mut self, start: usize) -> Result<(), Undecodable> {
        let entries = &self.entries[start..];
        if entries.is_empty() || entries.iter().any(Result::is_ok) {
            return Ok(());
        }
        let lines = entries.len();
        let first = self.entries.drain(start..).next().and_then(Result::err);
        let first = first.expect("all entries are bad").reason;
        Err(if lines == 1 { first } else { Undecodable::NoLine { lines, first: Box::new(first) } })
    }

    fn push(&mut self, entry: Entry) -> Result<(), Undecodable> {
        if self.entries.len() == RECORD_EVENTS {
            return Err(Undecodable::TooManyLines);
        }
        if let Ok(Content::Foreign(object)) = &entry {
            self.bytes += object.text.len();
        }
        self.entries.push(entry);
        Ok(())
    }
}

/// zlib with the window that nearly all encoders use. The headers of smaller windows may also begin a text.
fn is_usual_zlib(data: &[u8]) -> bool {
    data.starts_with(b"x") && gzip::is_zlib(data)
}

fn read_line(line: &[u8], id_members: &[String]) -> Result<Content, Undecodable> {
    let text = std::str::from_utf8(line).map_err(|_| Undecodable::NotUtf8)?;
    match serde_json::from_str(text) {
        Ok(event) => Ok(Content::Event(Box::new(event))),
        Err(error) => read_other(text, error, id_members),
    }
}

/// A line that is no event of this version: one of another version, a broken one, or a foreign producer's object. It is ours
/// only if it has both marks, a number as its version and an admission. A foreign object may have one of these members.
fn read_other(line: &str, error: serde_json::Error, id_members: &[String]) -> Result<Content, Undecodable> {
    #[derive(Deserialize)]
    struct Marks<'a> {
        v: Option<u64>,
        #[serde(borrow)]
        admission_id: Option<&'a RawValue>,
    }

    match serde_json::from_str(line) {
        Ok(Marks { v: Some(v), admission_id: Some(_) }) if v > u64::from(VERSION) => {
            Err(Undecodable::NewerVersion(v))
        }
        Ok(Marks { v: Some(_), admission_id: Some(_) }) => Err(Undecodable::Event(error)),
        _ => {
            let object = ClientObject::parse(line, id_members)?;
            if object.tenant.is_none() {
                return Err(Undecodable::TenantMissing);
            }
            Ok(Content::Foreign(Box::new(object)))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::config::IdSources;
    use crate::format::facts::{Facts, Source};
    use crate::id::{AdmissionId, EventId, TenantId};
    use crate::tier::Tier;
    use crate::time::Timestamp;

    fn read(data: &[u8]) -> Result<UnpackedRecord, Undecodable> {
        unpack(data, &IdSources::default().members)
    }

    fn code(data: &[u8]) -> &'static str {
        match read(data) {
            Err(reason) => reason.code(),
            Ok(record) => match &record.entries[..] {
                [Err(bad)] => bad.reason.code(),
                [Ok(Content::Event(_))] => "event",
                [Ok(Content::Foreign(_))] => "foreign",
                entries => panic!("{} entries", entries.len()),
            },
        }
    }

    #[test]
    fn what_cannot_be_read_has_a_named_reason() {
        let bomb = gzip::compress(&vec![b' '; 40_000_000], Level::FAST);
        let lines = b"{\n".repeat(RECORD_EVENTS + 1);
        let cases: [(&[u8], &str); 15] = [
            (b"", "body_empty"),
            (b" \r\n\0", "body_empty"),
            (b"hello", "unrecognised"),
            (b"\xf3\x89\x9a\xc2rest", "aggregate_malformed"),
            (b"\x1f\x8bnot gzip", "body_corrupt"),
            (&bomb, "body_too_large"),
            (&lines, "batch_too_large"),
            (b"{\"tenant_id\":\"acme\",\"text\":\"\xff\"}", "not_utf8"),
            (b"{\"text\":\"x\"}", "tenant_missing"),
            (b"{\"tenant_id\":\"no spaces\"}", "tenant_invalid"),
            (b"{\"tenant_id\":\"acme\",\"id\":[]}", "event_id_invalid"),
            (b"{\"broken\":", "malformed_json"),
            (b"[5]", "not_an_object"),
            (b"{\"v\":2,\"admission_id\":\"x\"}", "version_newer"),
            (b"{\"v\":1,\"admission_id\":\"x\"}", "event_malformed"),
        ];
        for (data, expected) in cases {
            assert_eq!(code(data), expected, "{}", String::from_utf8_lossy(&data[..data.len().min(60)]));
        }
    }

    #[test]
    fn a_line_is_ours_only_with_a_number_for_its_version_and_an_admission() {
        for other in [
            r#""admission_id":"A-17""#,
            r#""admission_id":5,"v":"1.2""#,
            r#""v":2"#,
            r#""admission_id":{},"v":null"#,
        ] {
            let line = format!("{{\"tenant_id\":\"acme\",\"text\":\"x\",{other}}}");
            let entries = read(line.as_bytes()).unwrap().entries;
            let [Ok(Content::Foreign(object))] = &entries[..] else { panic!("{line}: {entries:?}") };
            assert_eq!(
                object.fields.as_json(),
                format!("{{{other}}}"),
                "what it has of ours is the client's own"
            );
        }
    }

    #[test]
    fn a_foreign_object_may_be_spread_over_lines_or_compressed() {
        let object = b"{\n  \"tenant_id\": \"acme\",\n  \"text\": \"x\"\n}\n";
        assert_eq!(code(object), "foreign");
        assert_eq!(code(&gzip::compress(object, Level::FAST)), "foreign");
    }

    #[test]
    fn a_bad_line_leaves_its_neighbours_alone() {
        let data = b"{\"tenant_id\":\"a\",\"text\":\"1\"}\n\nbad\n{\"tenant_id\":\"a\",\"text\":\"2\"}";
        let entries = read(data).unwrap().entries;
        assert!(matches!(&entries[..], [Ok(_), Err(bad), Ok(_)] if bad.bytes == b"bad"));
    }

    #[test]
    fn what_cannot_be_inflated_counts_against_its_record() {
        let mut corrupt = gzip::compress(&vec![b' '; 1_048_576], Level::FAST);
        let checksum = corrupt.len() - 8;
        corrupt[checksum] ^= 1;
        let good = b"{\"tenant_id\":\"a\",\"text\":\"1\"}".to_vec();
        let aggregate = kpl::aggregate_of([good].into_iter().chain((0..40).map(|_| corrupt.clone())));
        let record = read(&aggregate).unwrap();
        let codes: Vec<_> =
            record.entries.iter().filter_map(|entry| Some(entry.as_ref().err()?.reason.code())).collect();
        let inflated = limits::RECORD_INFLATED_BYTES / 1_048_576;
        assert_eq!(codes[..inflated - 1], vec!["body_corrupt"; inflated - 1]);
        assert_eq!(codes[inflated..], vec!["body_too_large"; 40 - inflated]);
        assert!(record.bytes <= limits::RECORD_INFLATED_BYTES, "{}", record.bytes);
    }

    fn aggregate(name: &str) -> Vec<u8> {
        std::fs::read(format!("{}/../tests/fixtures/kpl/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    }

    #[test]
    fn an_aggregate_is_read_and_a_bad_user_record_leaves_its_neighbours_alone() {
        assert_eq!(code(&aggregate("one.bin")), "foreign");
        assert_eq!(code(&aggregate("nested.bin")), "aggregate_nested");
        let entries = read(&aggregate("one-bad-among-good.bin")).unwrap().entries;
        assert!(matches!(&entries[..], [Ok(_), Err(bad), Ok(_)] if bad.bytes == b"not an event"));
        assert_eq!(read(&aggregate("thousand.bin")).unwrap().entries.len(), 1_000);
    }

    #[test]
    fn a_record_is_compressed_only_where_that_is_smaller() {
        assert!(pack(&[b"{}"]).starts_with(b"{}\n"));
        assert!(pack(&[vec![b'x'; 4_000]]).starts_with(&gzip::MAGIC));
        let noise: Vec<u8> =
            (0..4_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[2] | 128).collect();
        assert!(pack(&[&noise]).len() <= noise.len() + 1);
    }

    prop_compose! {
        fn any_event()(
            id in "[^\\p{Cc}]{1,64}",
            tenant in "[A-Za-z0-9][A-Za-z0-9._-]{0,63}",
            admission: u128,
            received in 0_i64..4_102_444_800_000,
            text in ".{0,200}",
            fields in proptest::collection::btree_map(".{0,8}", any::<i64>(), 0..4),
            source in prop_oneof![Just(Source::JsonUpload), Just(Source::TextUpload), Just(Source::Webhook), Just(Source::Otlp)],
        ) -> Event {
            Event {
                facts: Facts {
                    id: EventId::parse(id).unwrap(),
                    admission_id: AdmissionId(Uuid::from_u128(admission)),
                    tenant: TenantId::parse(&tenant).unwrap(),
                    tier: Tier::parse("pro").unwrap(),
                    source,
                    received_at: Timestamp::from_unix_ms(received),
                    event_time: None,
                    trace: None,
                },
                text,
                fields: serde_json::from_str(&serde_json::to_string(&fields).unwrap()).unwrap(),
                is_flattened: false,
                is_message: false,
                claim_check: None,
                redrive_of: Vec::new(),
            }
        }
    }

    #[test]
    fn a_foreign_producers_objects_are_read_in_the_forms_in_which_they_come() {
        let [one, two] = [1, 2].map(|n| format!("{{\"tenant_id\":\"acme\",\"id\":{n},\"text\":\"{n}\"}}"));
        let forms = [
            format!("[{one},{two}]"),
            format!("{one}{two}"),
            format!("{one}\0{two}\0"),
            format!("\u{feff}{one}\n{two}\n"),
            format!("\x1e{one}\n\x1e{two}\n"),
            format!("{one}\r\n{two}\r\n\0\0\0"),
            format!("{}\n{}", one.replace(',', ",\n  "), two.replace(',', ",\n  ")),
        ];
        for form in forms {
            let plain = form.as_bytes();
            let padded = [&gzip::compress(plain, Level::FAST)[..], &[0; 512]].concat();
            let wrapped = [plain.to_vec(), padded, zlib(plain)];
            let aggregated = wrapped.clone().map(|data| kpl::aggregate_of([data]));
            for data in wrapped.into_iter().chain(aggregated) {
                let entries = unpack(&data, &IdSources::default().members)
                    .unwrap_or_else(|error| panic!("{form:?}: {error}"))
                    .entries;
                let texts: Vec<_> = entries
                    .iter()
                    .map(|entry| match entry {
                        Ok(Content::Foreign(object)) => object.text.as_str(),
                        other => panic!("{form:?}: {other:?}"),
                    })
                    .collect();
                assert_eq!(texts, ["1", "2"], "{form:?}");
            }
        }
        assert_eq!(code(b"(\x11 a text that begins as zlib does"), "unrecognised");
        // As zlib with a dictionary.
        let lines = b"x}\n{\"tenant_id\":\"a\"}";
        for data in [lines.to_vec(), gzip::compress(lines, Level::FAST)] {
            let entries = unpack(&data, &[]).unwrap().entries;
            assert_eq!(entries.iter().map(Result::is_ok).collect::<Vec<_>>(), [false, true]);
        }
    }

    fn zlib(data: &[u8]) -> Vec<u8> {
        use std::io::Write;
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    /// What a producer sent.
    #[derive(Clone, Debug)]
    enum Sent {
        Noise(Vec<u8>),
        /// Each is an event, or something else.
        Lines(Vec<Result<String, String>>),
        Gzip(Box<Sent>),
        Zlib(Box<Sent>),
        Aggregate(Vec<Sent>),
    }

    impl Sent {
        fn bytes(&self) -> Vec<u8> {
            match self {
                // It is no JSON, and neither compressed nor an aggregate.
                Self::Noise(noise) => [b"\xff", &noise[..]].concat(),
                Self::Lines(lines) => {
                    let lines: Vec<_> =
                        lines.iter().map(|line| line.as_ref().unwrap_or_else(|bad| bad)).collect();
                    lines.into_iter().flat_map(|line| [line.as_bytes(), b"\n"].concat()).collect()
                }
                Self::Gzip(sent) => gzip::compress(&sent.bytes(), Level::FAST),
                Self::Zlib(sent) => zlib(&sent.bytes()),
                Self::Aggregate(sent) => kpl::aggregate_of(sent.iter().map(Self::bytes)),
            }
        }

        /// Each event, and the bytes of what is none. `None`: the whole is refused.
        fn expected(&self) -> Option<Vec<Result<(), Vec<u8>>>> {
            let entries: Vec<_> = match self {
                Self::Lines(lines) => {
                    let entry = |line: &Result<_, String>| match line {
                        Ok(_) => Ok(()),
                        Err(bad) => Err(bad.clone().into_bytes()),
                    };
                    lines.iter().map(entry).collect()
                }
                Self::Gzip(sent) | Self::Zlib(sent) => match &**sent {
                    Self::Lines(_) => return sent.expected(),
                    _ => return None,
                },
                Self::Aggregate(sent) => {
                    let entries = |sent: &Self| match sent {
                        Self::Aggregate(_) => vec![Err(sent.bytes())],
                        _ => sent.expected().unwrap_or_else(|| vec![Err(sent.bytes())]),
                    };
                    sent.iter().flat_map(entries).collect()
                }
                Self::Noise(_) => return None,
            };
            entries.iter().any(Result::is_ok).then_some(entries)
        }
    }

    fn any_sent() -> impl Strategy<Value = Sent> {
        let good = "[ \t]{0,2}\\{\"tenant_id\":\"a\",\"text\":\"[a-z]{0,9}\"\\}[ \t\r]{0,2}";
        let bad = prop_oneof![
            "[ \t]{0,3}[a-z{}\\[\":,]{1,9}[ \t\r]{0,3}"
                .prop_filter("an empty array", |line| !line.contains("[]")),
            Just("{\"text\":\"no tenant\"} ".to_owned()),
            Just("  5\r".to_owned()),
        ];
        let line = prop_oneof![good.prop_map(Ok), bad.prop_map(Err)];
        let lines = proptest::collection::vec(line, 1..6).prop_map(Sent::Lines);
        let noise = proptest::collection::vec(any::<u8>(), 0..99).prop_map(Sent::Noise);
        prop_oneof![3 => lines, 1 => noise].prop_recursive(3, 16, 4, |sent| {
            prop_oneof![
                sent.clone().prop_map(|sent| Sent::Gzip(Box::new(sent))),
                sent.clone().prop_map(|sent| Sent::Zlib(Box::new(sent))),
                proptest::collection::vec(sent, 1..4).prop_map(Sent::Aggregate),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_cannot_be_read_is_kept_once_and_byte_for_byte(sent in any_sent()) {
            let found = unpack(&sent.bytes(), &[]).ok().map(|record| {
                let entry = |entry: Entry| entry.map(|_| ()).map_err(|bad| bad.bytes);
                record.entries.into_iter().map(entry).collect::<Vec<_>>()
            });
            prop_assert_eq!(found, sent.expected());
        }

        #[test]
        fn events_that_were_packed_come_back_in_order(events in proptest::collection::vec(any_event(), 1..20)) {
            let lines: Vec<_> = events.iter().map(Event::line).collect();
            let entries = read(&pack(&lines)).unwrap().entries;
            let back: Vec<Event> = entries
                .into_iter()
                .map(|entry| match entry.unwrap() {
                    Content::Event(event) => *event,
                    Content::Foreign(object) => panic!("{object:?}"),
                })
                .collect();
            prop_assert_eq!(back, events);
        }

        #[test]
        fn no_bytes_make_the_reader_panic(data: Vec<u8>) {
            let _ = read(&data);
        }

        #[test]
        fn no_json_like_bytes_make_the_reader_panic(data in r#"\{("(v|admission_id|tenant_id|text|id)":("[a-z\\]{0,3}"|[0-9]{1,3}|\{\}|null),?){0,5}\}?"#) {
            let _ = read(data.as_bytes());
        }
    }
}
