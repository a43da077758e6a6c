//! The settings of a function, and Lambda's limits.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use super::logs::LogSink;

/// The largest request and the largest response of an invocation, in bytes (6 MiB).
/// <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>
pub const PAYLOAD_LIMIT: usize = shared::limits::LAMBDA_PAYLOAD_BYTES;

/// Time limit for an environment to ask for its first invocation.
/// <https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html#runtimes-lifecycle-ib>
pub(super) const INITIALIZATION_LIMIT: Duration = Duration::from_secs(10);

#[derive(Clone)]
pub struct FunctionSpec {
    pub name: String,
    pub program: PathBuf,
    pub arguments: Vec<OsString>,
    /// Variables in addition to the inherited ones. They cannot replace those that Lambda reserves.
    pub environment: Vec<(String, String)>,
    /// Time limit for one invocation.
    pub timeout: Duration,
    /// The memory size that the function sees, in MB. It is not enforced.
    pub memory_mb: u32,
    /// At least 1. This limits the concurrent invocations; further ones wait.
    pub maximum_environments: usize,
    pub log_sink: LogSink,
}
