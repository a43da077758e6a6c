//! Tidegate's contract in code: what more than one part relies on, and nothing that talks to AWS.
//!
//! | module | holds |
//! |---|---|
//! | [`id`] | tenant, event and admission ids |
//! | [`tier`] | the customer tier |
//! | [`event`] | the one event form |
//! | [`client_object`] | a client's JSON object, read into the parts of an event |
//! | [`column`] | the columns of stored lines, for SQL |
//! | [`origin`] | where an event lies on the stream |
//! | [`fields`] | an event's other members, verbatim |
//! | [`wire`] | a stream record's bytes, in both directions |
//! | [`blob`] | the claim check: references to large texts on S3 |
//! | [`kpl`] | aggregates of the Kinesis Producer Library |
//! | [`key`] | names of objects and items |
//! | [`partition`] | how a tenant that outgrows a partition is spread |
//! | [`gzip`] | compression, and inflation that is capped |
//! | [`limits`] | the services' limits and ours, each with its source |
//! | [`config`] | `tidegate.toml` |
//! | [`metric`], [`telemetry`] | metrics and logs |
//! | [`time`] | timestamps and the clock |

pub mod blob;
pub mod client_object;
pub mod column;
pub mod config;
pub mod event;
pub mod fields;
mod flatten;
pub mod gzip;
pub mod id;
pub mod json;
pub mod key;
pub mod kpl;
pub mod limits;
pub mod metric;
pub mod origin;
pub mod partition;
pub mod permission;
pub mod telemetry;
pub mod tier;
pub mod time;
pub mod wire;
