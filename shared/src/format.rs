//! Everything that goes over a wire or to disk: one file for each format, with its golden bytes in a test.
//!
//! | module | format | written by | read by |
//! |---|---|---|---|
//! | [`event_line`] | an event as one line of JSON | ingest | the consumer, the operator's commands |
//! | [`outgoing_line`] | the same, inline or as the head of a stored line | | |
//! | [`content_hash`] | whether two events with one id are the same | ingest, the consumer | the consumer, `audit` |
//! | [`record`] | a stream record: lines, compressed | ingest | the consumer |
//! | [`kpl`] | aggregates of the Kinesis Producer Library | foreign producers | the consumer |
//! | [`claim_check`] | a line that is too large, stored on S3 | ingest, the consumer | the consumer, `replay` |
//! | [`spill_message`] | lines in the spill queue | ingest | the drain, the operator's commands |
//! | [`item`] | an item of the items table | the consumer | the operator's commands |
//! | [`archive_line`] | a line of an archive object | the consumer | analysts, the operator's commands |
//! | [`quarantine_line`] | a line of a quarantine object | the consumer | analysts, the operator's commands |
//! | [`failed_batch`] | an object at the failure destination | the event source mapping | the operator's commands |
//! | [`dispatch_message`] | an event in the dispatch queue | the consumer | the dispatcher, the operator's commands |
//! | [`manifest_row`] | the contents of an archive object | the consumer | the operator's commands |
//! | [`key`] | keys of objects, items and rows | | |
//!
//! Members are added, never renamed. A reader ignores members that it does not know, and refuses a newer `v` by name:
//! so consumers are deployed before producers.

/// A member of a stored line as a column of SQL: its name, its type (`string` or `int`), and a comment or nothing. The
/// deployment makes its tables of them. A test of the consumer compares them with the lines that it writes.
pub type Column = (&'static str, &'static str, &'static str);

pub mod archive_line;
pub mod claim_check;
pub mod content_hash;
pub mod dispatch_message;
pub mod event_line;
pub mod facts;
pub mod failed_batch;
pub mod item;
pub mod key;
pub mod kpl;
mod line_writer;
pub mod manifest_row;
pub mod outgoing_line;
pub mod quarantine_line;
pub mod record;
pub mod spill_message;
