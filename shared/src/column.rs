//! The members of stored lines as columns of SQL. The deployment makes its tables from them; a test of the consumer compares
//! them with the lines that it writes.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    pub name: &'static str,
    /// `string` or `int`.
    pub sql_type: &'static str,
    /// May be empty.
    pub comment: &'static str,
}

/// An archive line.
pub const ARCHIVE: &[Column] = &[
    int("v"),
    text("id"),
    text("admission_id"),
    text("tenant"),
    text("tier"),
    text("source"),
    described("received_at", "RFC 3339, UTC"),
    text("event_time"),
    text("processed_at"),
    text("text"),
    described("fields", "JSON: every other member that the client sent"),
    text("shard"),
    text("sequence_number"),
    int("position"),
    text("original_text"),
    described("claim_check", "JSON: where a line too large for an object is stored"),
    described("trace", "the `traceparent` header of the request"),
];

/// A quarantine line.
pub const QUARANTINE: &[Column] = &[
    text("reason"),
    text("detail"),
    text("tenant"),
    text("id"),
    text("shard"),
    text("sequence_number"),
    int("position"),
    text("arrival"),
    text("partition_key"),
    described("bytes", "base64"),
    described("trace", "the `traceparent` header of the request"),
];

const fn text(name: &'static str) -> Column {
    described(name, "")
}

const fn described(name: &'static str, comment: &'static str) -> Column {
    Column { name, sql_type: "string", comment }
}

const fn int(name: &'static str) -> Column {
    Column { name, sql_type: "int", comment: "" }
}
