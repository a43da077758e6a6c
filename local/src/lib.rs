//! The AWS of one machine, for `tidegate local` and for the tests.
//!
//! | module | replaces |
//! |---|---|
//! | [`embedded`] | Kinesis, DynamoDB, SQS and S3, with a SQLite file and a folder |
//! | [`runtime_api`] | Lambda: runs the functions as child processes |
//! | [`event_source_mapping`] | Lambda's pollers for Kinesis, by AWS's documented rules |
//! | [`queue_mapping`] | Lambda's pollers for SQS |
//! | [`cloudwatch`], [`prometheus`] | CloudWatch metrics, with a Prometheus page |
//! | [`data`] | the AWS account: the folder that holds all data |
//! | [`functions`], [`pipeline`] | the deployed stack |
//! | `guard` | nothing: refuses events when the data folder is gone or the clock jumped |
//! | `health` | the alarms: says how the pipeline stands |
//! | [`activity`] | nothing: what is stored and refused, for the one who watches |
//! | `page` | the CloudWatch dashboard: a page for the browser, with the data to look into |
//! | [`adapters`] | nothing: the tests inject faults here |
//! | [`deployment`] | nothing: reads a data folder for the operator's commands |

// They panic if the reader has closed the pipe, as `head` does.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

pub mod activity;
pub mod adapters;
mod answer;
pub mod cloudwatch;
pub mod data;
pub mod deployment;
pub mod embedded;
pub mod event_source_mapping;
pub mod functions;
mod guard;
mod health;
pub mod logs;
mod page;
pub mod pipeline;
pub mod prometheus;
pub mod queue_mapping;
pub mod runtime_api;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// A panic elsewhere does not leave any of our values half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
