//! The services' limits, and our own limits that follow from them. Each has its source.

use std::time::Duration;

/// The largest HTTP body, in bytes after decompression: 10 MiB, which satisfies a requirement of 10 MB under either
/// reading.
pub const BODY_BYTES: usize = 10_485_760;

/// The largest request event of a Function URL, base64 included: 6 MiB (Lambda quotas, "Invocation payload").
/// Stream batches obey the same limit.
pub const LAMBDA_PAYLOAD_BYTES: usize = 6 * 1024 * 1024;

/// What one tenant may send in a second where no quota is set: what a deployment of one shard with a new table stores of it
/// and has room for others. A shard takes 1 MB/s. Where that is not enough, records are compressed, text to a quarter of it or
/// less: this is half a shard. Events of 1 KB have items of two write units, of which a new on-demand table takes 4,000 a second
/// (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/on-demand-capacity-mode.html>).
pub const TENANT_BYTES_PER_SECOND: u32 = 2_000_000;

/// And at once, after a pause: two of the largest bodies.
pub const TENANT_BYTES_BURST: u32 = 20_971_520;

/// The largest Kinesis record: data and partition key together, 1 MiB by default (Kinesis quotas).
pub const RECORD_BYTES: usize = 1024 * 1024;

/// What a provisioned stream bills a record by: 25 KB begun (Kinesis pricing).
pub const PUT_UNIT_BYTES: usize = 25_600;

/// Records in one `PutRecords` call (Kinesis quotas).
pub const PUT_RECORDS: usize = 500;

/// Bytes in one `PutRecords` call, partition keys included: 10 MiB (Kinesis quotas, since 2025; 5 MiB before).
pub const PUT_BYTES: usize = 10 * 1024 * 1024;

/// The largest event line, uncompressed, that travels inline in a record. It bounds the memory of the record's reader.
pub const INLINE_BYTES: usize = 16 * 1024 * 1024;

/// The most bytes that one record may inflate to: one line of the largest size, or many small ones.
pub const RECORD_INFLATED_BYTES: usize = INLINE_BYTES + 1024 * 1024;

/// The most bytes that an event line has besides a body's text: facts, names, a flattened text. The largest line has these,
/// and a text in which JSON escapes each byte with six.
pub const LINE_BYTES_BESIDES_TEXT: usize = 1024 * 1024;

/// The most text that an object without a text is flattened to.
pub const FLATTENED_BYTES: usize = 150_000;

/// The largest object that Tidegate writes to S3, in bytes: 5 MB, from the customers' requirement for archive
/// files; parts of claim checks keep to it too.
pub const OBJECT_BYTES: usize = 5_000_000;

/// The largest SQS message, and the largest batch of them: 1 MiB each (SQS API reference, `SendMessageBatch`; since
/// 2025, 256 KiB before).
pub const MESSAGE_BYTES: usize = 1024 * 1024;

/// Messages in one `SendMessageBatch` or `ReceiveMessage` (SQS quotas).
pub const BATCH_MESSAGES: usize = 10;

/// The longest that a message can be hidden: 12 hours (SQS quotas, "Message visibility timeout").
pub const VISIBILITY: Duration = Duration::from_hours(12);

/// How long the stream keeps records, as it is deployed: Kinesis's least, and four times as long as the mapping tries.
pub const STREAM_RETENTION: Duration = Duration::from_hours(24);

/// How long a spilled event may wait for the stream, as it is deployed.
pub const SPILL_RETENTION: Duration = Duration::from_hours(4 * 24);

/// How long a dead letter is stored, as it is deployed: SQS allows no more. It counts from the time when the event was
/// spilled, not from the time when it became a dead letter.
pub const DEAD_LETTER_RETENTION: Duration = Duration::from_hours(14 * 24);

/// How long an event may wait to be dispatched, as it is deployed: SQS allows no more. The dispatcher makes an event that has
/// waited this long, less [`DISPATCH_MARGIN`], a dead letter, since SQS would delete it without a trace.
pub const DISPATCH_RETENTION: Duration = Duration::from_hours(14 * 24);

/// At least two of the longest waits.
pub const DISPATCH_MARGIN: Duration = Duration::from_hours(24);

/// How many days an accepted event may take to reach the consumer: on the stream, in the spill queue, in its dead-letter
/// queue. Claim checks live this much longer than quarantine and the failure destination, since an event may reach those
/// this late.
pub const DELIVERY_DAYS: u64 =
    (STREAM_RETENTION.as_secs() + SPILL_RETENTION.as_secs() + DEAD_LETTER_RETENTION.as_secs())
        / (24 * 60 * 60);

/// How many days after it was stored an event may still be dispatched: from the queue, and redriven from its dead-letter queue.
pub const DISPATCH_DAYS: u64 =
    (DISPATCH_RETENTION.as_secs() + DEAD_LETTER_RETENTION.as_secs()) / (24 * 60 * 60);

/// The memory with which a Lambda function has one whole processor, in MB. The consumer needs it for compression
/// (<https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html>).
pub const PROCESSOR_MB: u64 = 1_769;

/// The same in bytes.
#[expect(clippy::cast_possible_truncation, reason = "it fits 32 bits")]
pub const PROCESSOR_BYTES: usize = PROCESSOR_MB as usize * 1024 * 1024;

/// The time that the ingest function's time-out adds to a request's budgets, as it is deployed: to start, and to answer.
pub const ANSWER: Duration = Duration::from_secs(4);

/// The largest DynamoDB item, names and values together: 400 KB (DynamoDB quotas).
pub const ITEM_BYTES: usize = 400 * 1024;

/// Statements in one `BatchExecuteStatement` (DynamoDB quotas).
pub const BATCH_STATEMENTS: usize = 25;

/// Items in one `BatchGetItem` (DynamoDB quotas).
pub const BATCH_GET_ITEMS: usize = 100;

/// How deep a client's JSON may nest. `serde_json` reads 127 levels, other readers more. Our lines add a few levels, and
/// every reader of them must be able to parse what was accepted.
pub const JSON_DEPTH: usize = 120;

/// The most output for one byte of a compressed body. Deflate cannot exceed 1,032 : 1 (zlib technical details), so this
/// limits only other codings.
pub const INFLATE_RATIO: u32 = 1_100;

/// What the decoded form of an OTLP request may take besides its texts: two bytes of a body can be a record of 248. The
/// largest body with attributes of usual length takes half of this.
pub const OTLP_DECODED_BYTES: usize = 64 * 1024 * 1024;

/// Each OTLP record is stored with its resource and scope, which were sent once for all. These copies have, in bytes of JSON
/// and on average over a request's records, at most this …
pub const OTLP_COPY_BYTES: usize = 2 * 1024;

/// … and this many times the record's share of the body. A resource that does not fit loses its largest attributes.
pub const OTLP_COPY_RATIO: usize = 8;

/// So the event lines of an OTLP request have at most this many times its bytes: eight for the copies, six for what JSON escapes,
/// seven for the text of a body that is flattened, which has that again …
pub const OTLP_LINES_RATIO: usize = 21;

/// … and so many bytes for each record: the copies, a flattened text of 1,024 characters that are escaped, facts.
pub const OTLP_LINE_BYTES: usize = OTLP_COPY_BYTES + 3 * 1024;

/// A tenant id's length in bytes.
pub const TENANT_ID_BYTES: usize = 64;

/// An event id's length in bytes. Percent-encoded it is at most 768, within a sort key's 1,024.
pub const EVENT_ID_BYTES: usize = 256;

/// The most configured patterns (`transform.redact.patterns`).
pub const PATTERNS: usize = 50;

/// The longest of them, in bytes. The parser needs some hundred bytes of memory for one of the pattern.
pub const PATTERN_BYTES: usize = 10_000;

/// The most memory that one of them may be compiled to: the default of the crate `regex`.
pub const PATTERN_COMPILED_BYTES: usize = 10 * 1024 * 1024;

/// The most characters of one of them, where each repetition is written out. At each byte of a text, a search looks at up to so many places:
/// docs/limits.md has what that takes.
pub const PATTERN_CHARACTERS: usize = 300;

/// How often the search for all matches of one of them may read each byte of a text. Usual patterns read it two to four times.
pub const PATTERN_READS: usize = 50;

/// The most memory that all of them together may be compiled to. A search takes up to 4 MB more for each: so they stay within a
/// seventh of the consumer's memory.
pub const PATTERNS_COMPILED_BYTES: usize = 32 * 1024 * 1024;

/// The longest `transform.redact.replacement`, in bytes. A match of seven characters may become this.
pub const REPLACEMENT_BYTES: usize = 64;

/// The most JSON that `transform.enrich` adds to an event, or `dispatch.constants` to a call. Constants go into every item,
/// together with the client's fields.
pub const CONSTANTS_BYTES: usize = 10_000;
/// A bound on what one request, or one record of a foreign producer, makes us store: so many bytes for each of its events, and so
/// many for each byte of its body after decompression. A search looks for inputs that pass it (`fuzz/src/amplification.rs`);
/// docs/limits.md has the worst that it found. The numbers hold with the default configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    pub each_event: usize,
    pub each_byte: usize,
}

impl Bound {
    pub const fn of(self, events: usize, bytes: usize) -> usize {
        self.each_event * events + self.each_byte * bytes
    }

    /// The same for log records of OpenTelemetry: with the copies of resource and scope, six bytes for one that JSON escapes in
    /// fields, and twice seven in a text that a body is flattened to.
    pub const fn with_copies(self) -> Self {
        Self {
            each_event: self.each_event + OTLP_COPY_BYTES,
            each_byte: self.each_byte + OTLP_COPY_RATIO + 6 + 2 * 7,
        }
    }
}

/// Event lines in records. An event has 256 bytes of id, as many of trace, 64 of tenant and again as partition key, names, and a
/// flattened text of 1,024 bytes. A body is in its line once; where the text is flattened twice. What
/// JSON escapes is longer, but compressed.
pub const ON_STREAM: Bound = Bound { each_event: 3 * 1024, each_byte: 3 };

/// The same records in base64, which adds a third. Only while the stream refuses.
pub const IN_SPILL_QUEUE: Bound = Bound { each_event: 4 * 1024, each_byte: 4 };

/// The same lines, each compressed by itself, under keys of up to 900 bytes. Their heads are on the stream.
pub const IN_CLAIM_CHECKS: Bound = Bound { each_event: 1024, each_byte: 3 };

/// Items are not compressed: the text before and after the transform, and the fields, up to 360,000 bytes an event. `[REDACTED]`
/// has ten bytes for an address of six. The id is percent-encoded in the key, three bytes for one.
pub const IN_ITEMS: Bound = Bound { each_event: 4_608, each_byte: 4 };

/// Archive lines, compressed.
pub const IN_ARCHIVE: Bound = Bound { each_event: 3 * 1024, each_byte: 3 };

/// A row for each object, and in it a range for each tenant.
pub const IN_MANIFEST: Bound = Bound { each_event: 1024, each_byte: 0 };

/// An event that is quarantined has no item and no archive line. Its line is there in base64, not compressed: six bytes for one that
/// JSON escapes, and a third more.
pub const IN_QUARANTINE: Bound = Bound { each_event: 8 * 1024, each_byte: 8 };

/// In sum, since no event is in all of them, and the longest of everything is not in one.
pub const IN_ALL_STORES: Bound = Bound { each_event: 8 * 1024, each_byte: 16 };

/// Where quotas count bytes, a request counts at least this for each event: an event is stored with facts of its own, however small
/// it is. So all stores together have at most 24 times what a tenant is charged ([`IN_ALL_STORES`]: eight for events, 16 for bytes).
pub const EVENT_QUOTA_BYTES: usize = 1024;

/// The most memory that ingest allocates for a body while it works on it, for each byte, and so does the consumer. The worst are
/// characters of which JSON makes six bytes: the line, its growth, its copy in a record, room for the compressed form.
pub const MEMORY_RATIO: usize = 24;

/// What the process of ingest and the event of a request take, in MB (`fuzz/tests/memory.rs`).
pub const PROCESS_MB: usize = 32;

/// The memory that the ingest function needs, in MB, where a body may have so many bytes. It waits for the network, so less would be
/// nearly as fast and cheaper. But any body must fit, besides what the process needs.
pub const fn ingest_mb(body_bytes: usize) -> usize {
    PROCESS_MB + (MEMORY_RATIO * body_bytes).div_ceil(1024 * 1024)
}
