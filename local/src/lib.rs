//! The AWS of one machine, for `tidegate local` and for the tests.
//!
//! | module | stands in for |
//! |---|---|
//! | [`embedded`] | Kinesis, DynamoDB, SQS and S3: a SQLite file and a folder |
//! | [`runtime_api`] | Lambda: the functions as child processes behind the Runtime API |
//! | [`event_source_mapping`] | Lambda's pollers for Kinesis, by AWS's documented rules |
//! | [`queue_mapping`] | Lambda's pollers for SQS |
//! | [`cloudwatch`], [`prometheus`] | CloudWatch metrics, as Prometheus text |
//! | [`data`] | the account: the folder that holds it all |
//! | [`functions`], [`pipeline`] | the deployed stack, put together |
//! | [`adapters`] | the seam for the tests' faults |
//! | [`deployment`] | a data folder as the operator's commands see it |

pub mod adapters;
pub mod cloudwatch;
pub mod data;
pub mod deployment;
pub mod embedded;
pub mod event_source_mapping;
pub mod functions;
pub mod pipeline;
pub mod prometheus;
pub mod queue_mapping;
pub mod runtime_api;
