//! Tidegate's contract in code: what several parts rely on. Nothing here talks to AWS.
//!
//! | module | holds |
//! |---|---|
//! | [`id`] | tenant, event and admission ids |
//! | [`tier`] | the customer tier |
//! | [`format`] | all that goes over a wire or to disk |
//! | [`client_object`] | a client's JSON object, read into the parts of an event |
//! | [`fields`] | an event's other members, verbatim |
//! | [`origin`] | positions on the stream |
//! | [`partition`] | how a tenant that outgrows a partition is spread |
//! | [`gzip`] | compression, and inflation that is capped |
//! | [`mapping`] | the event source mapping as it is deployed |
//! | [`limits`] | the services' limits and ours, each with its source |
//! | [`config`] | `tidegate.toml` |
//! | [`metric`], [`telemetry`] | metrics and logs |
//! | [`time`] | timestamps and the clock |

pub mod client_object;
pub mod config;
pub mod digest;
pub mod fields;
mod flatten;
pub mod format;
pub mod gzip;
pub mod id;
pub mod json;
pub mod limits;
pub mod mapping;
pub mod metric;
pub mod origin;
pub mod partition;
pub mod permission;
pub mod telemetry;
pub mod tier;
pub mod time;
