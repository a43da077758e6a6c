//! Tidegate's contract in code: all that more than one part needs. By default nothing in it talks to AWS.
//!
//! | module | has |
//! |---|---|
//! | [`id`] | tenant, event and admission ids |
//! | [`tier`] | the customer tier |
//! | [`mod@format`] | all that goes over a wire or to disk |
//! | [`client_object`] | a client's JSON object, read into the parts of an event |
//! | [`fields`] | an event's other members, verbatim |
//! | [`json`] | JSON as text: white space, depth and surrogates |
//! | [`sequence`] | JSON values one after another, in lines, arrays and other forms |
//! | [`canonical`] | a JSON value as bytes that do not depend on its spelling; `decimal`: a number's exact value |
//! | [`objects`] | the port to object storage, with its S3 adapter |
//! | [`archive`] | one tenant's part of the archive, read back |
//! | [`origin`] | positions on the stream |
//! | [`partition`] | how a tenant that outgrows a partition is spread |
//! | [`gzip`] | compression, and inflation that is capped |
//! | [`digest`] | SHA-256 |
//! | [`mapping`] | the event source mapping as it is deployed |
//! | [`permission`] | the permissions that a function's role needs |
//! | [`queue`] | messages: how they are divided into calls, sent, and delivered by Lambda |
//! | `sdk` | the AWS SDK as our programs use it (feature `aws`) |
//! | `secret` | the reader of AWS Secrets Manager (feature `secrets`) |
//! | [`limits`] | the services' limits and ours, each with its source |
//! | [`backoff`] | how long to wait after failures |
//! | [`config`], [`environment`] | `tidegate.toml`; the variables that name resources |
//! | [`health`] | what can be wrong, with the numbers of the alarms |
//! | [`metric`], [`telemetry`] | metrics and logs |
//! | [`traces`] | spans of OpenTelemetry |
//! | [`time`] | timestamps and the clock |

pub mod archive;
#[cfg(any(test, feature = "fakes"))]
pub mod at_start;
pub mod backoff;
pub mod canonical;
pub mod client_object;
pub mod config;
mod decimal;
pub mod digest;
pub mod environment;
pub mod fields;
mod flatten;
pub mod format;
pub mod gzip;
pub mod health;
pub mod id;
pub mod json;
pub mod limits;
pub mod mapping;
pub mod metric;
#[cfg(any(test, feature = "fakes"))]
pub mod noise;
pub mod objects;
pub mod origin;
pub mod partition;
pub mod permission;
pub mod queue;
#[cfg(feature = "aws-test")]
pub mod replay;
#[cfg(feature = "aws")]
pub mod sdk;
#[cfg(feature = "secrets")]
pub mod secret;
pub mod sequence;
pub mod telemetry;
mod text;
pub mod tier;
pub mod time;
pub mod traces;
