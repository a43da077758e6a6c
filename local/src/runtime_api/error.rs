//! Why an invocation has no response.

use std::process::ExitStatus;
use std::time::Duration;

use bytes::Bytes;

use super::specification::PAYLOAD_LIMIT;

/// The messages are Lambda's where it has one, because users search for those.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvokeError {
    /// The function returned an error. Its process is still alive.
    #[error("{message}")]
    Function {
        error_type: String,
        message: String,
        /// Everything that the function sent.
        payload: Bytes,
    },
    /// The invocation took too long. Its environment was killed.
    #[error("Task timed out after {:.2} seconds", limit.as_secs_f64())]
    TimedOut { limit: Duration },
    /// The function's process ended during the invocation.
    #[error("Runtime exited with error: {status}")]
    Exited { status: ExitStatus },
    /// The function ended, failed or hung before it asked for an invocation.
    #[error("{message}")]
    Initialization { message: String },
    /// The function has not received the request.
    #[error("request payload of {bytes} bytes is over the limit of {PAYLOAD_LIMIT} bytes")]
    RequestTooLarge { bytes: usize },
    #[error("response payload of {bytes} bytes is over the limit of {PAYLOAD_LIMIT} bytes")]
    ResponseTooLarge { bytes: usize },
    /// The function has not received the request.
    #[error("function `{name}` is shutting down")]
    ShuttingDown { name: String },
}

impl InvokeError {
    /// The `errorType` that Lambda would return.
    pub fn error_type(&self) -> &str {
        match self {
            Self::Function { error_type, .. } => error_type,
            Self::TimedOut { .. } => "Sandbox.Timedout",
            Self::Exited { .. } => "Runtime.ExitError",
            Self::Initialization { .. } => "Runtime.InitError",
            Self::RequestTooLarge { .. } => "RequestEntityTooLarge",
            Self::ResponseTooLarge { .. } => "Function.ResponseSizeTooLarge",
            Self::ShuttingDown { .. } => "ServiceException",
        }
    }
}
