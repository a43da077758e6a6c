//! What a function is.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use super::logs::LogSink;

/// The largest request and the largest response of an invocation, in bytes (6 MiB).
/// <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>
pub const PAYLOAD_LIMIT: usize = shared::limits::LAMBDA_PAYLOAD_BYTES;

/// How long an environment may take until it asks for its first invocation.
/// <https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html#runtimes-lifecycle-ib>
pub(super) const INITIALIZATION_LIMIT: Duration = Duration::from_secs(10);

/// A function and how it is run.
#[derive(Clone, Debug)]
pub struct FunctionSpec {
    /// Its name.
    pub name: String,
    /// The program that plays it.
    pub program: PathBuf,
    /// The program's arguments.
    pub arguments: Vec<OsString>,
    /// Variables for the program, besides those that it inherits. Those that Lambda reserves cannot be set.
    pub environment: Vec<(String, String)>,
    /// How long an invocation may take.
    pub timeout: Duration,
    /// What the function is told of its memory, in MB. Nothing enforces it.
    pub memory_mb: u32,
    /// Most environments at a time, at least one, so most concurrent invocations; further ones wait.
    pub maximum_environments: usize,
    /// Where the lines go that the function prints.
    pub log_sink: LogSink,
}

impl FunctionSpec {
    /// The function's ARN; its account is the one that documentation and emulators use for none.
    pub fn arn(&self) -> String {
        format!("arn:aws:lambda:us-east-1:000000000000:function:{}", self.name)
    }
}
