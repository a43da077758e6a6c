//! Runs Lambda functions as child processes of this one, through the Lambda Runtime API
//! (<https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>). So a test runs the program that is deployed.
//!
//! A child is an *execution environment*. It takes one invocation at a time, is reused while it is healthy, and is
//! killed when it runs out of time. Environments are started as invocations need them, up to a maximum.
//!
//! - `function_host`: chooses the environment for an invocation.
//! - `environment`: one child, from its start to its end.
//! - `exchange`: the messages between the host and a child. `server`: the same over HTTP.
//! - `activity`: what health asks.
//! - `process`, `logs`, `variables`: the operating system's view of a child.
//!
//! The failures have Lambda's kinds and messages where it has one, because users search for those.
//!
//! Not supported: streamed responses, `SnapStart`, extensions.

mod activity;
mod environment;
mod exchange;
mod function_host;
mod logs;
mod parent;
mod process;
mod server;
mod specification;
#[cfg(test)]
pub(crate) mod tests;
mod variables;

pub use function_host::FunctionHost;
pub use logs::{LogLine, LogSink};
pub use parent::exit_with_parent;
pub use specification::{FunctionSpec, PAYLOAD_LIMIT};
