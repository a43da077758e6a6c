//! A host for Lambda functions on one machine: it speaks the Lambda Runtime API
//! (<https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>) to child processes, so that the program under
//! test is the one that is deployed.
//!
//! A child is an *execution environment*: it takes one invocation at a time, is kept for the next while it is healthy,
//! and is killed when it runs out of time. Environments are started as invocations need them, up to a maximum.
//!
//! - `function_host`: which environment takes an invocation.
//! - `environment`: one child, from its start through its invocations to its end.
//! - `exchange`, `server`: what the child and the host tell each other, and the HTTP form of it.
//! - `process`, `logs`, `variables`: the child as the operating system sees it.
//!
//! Left to others: streamed responses, `SnapStart`, telemetry for extensions.

mod environment;
mod error;
mod exchange;
mod function_host;
mod invoker;
mod logs;
mod parent;
mod process;
mod server;
mod specification;
#[cfg(test)]
pub(crate) mod tests;
mod variables;

pub use error::InvokeError;
pub use function_host::FunctionHost;
pub use logs::{LogLine, LogSink, Stream};
pub use parent::exit_with_parent;
pub use specification::{FunctionSpec, PAYLOAD_LIMIT};
