//! Why an invocation has no response.

use std::process::ExitStatus;
use std::time::Duration;

use bytes::Bytes;

use super::specification::PAYLOAD_LIMIT;

/// An invocation that failed. The messages are Lambda's where it has one, since that is what one searches for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvokeError {
    /// The function returned an error; it goes on living.
    #[error("{error_type}: {message}")]
    Function {
        /// What the function calls it.
        error_type: String,
        /// What the function says of it.
        message: String,
        /// The whole of what the function sent.
        payload: Bytes,
    },
    /// The invocation took longer than the function may; its environment was killed.
    #[error("Task timed out after {:.2} seconds", limit.as_secs_f64())]
    TimedOut {
        /// What the function may take.
        limit: Duration,
    },
    /// The function's process ended during the invocation.
    #[error("Runtime exited with error: {status}")]
    Exited {
        /// With this status or signal.
        status: ExitStatus,
    },
    /// The function did not get as far as asking for an invocation.
    #[error("{message}")]
    Initialization {
        /// What it says of it, or how it ended.
        message: String,
    },
    /// The request is beyond the limit; the function has not seen it.
    #[error("request payload of {bytes} bytes is over the limit of {PAYLOAD_LIMIT} bytes")]
    RequestTooLarge {
        /// Of the request.
        bytes: usize,
    },
    /// The response is beyond the limit.
    #[error("response payload of {bytes} bytes is over the limit of {PAYLOAD_LIMIT} bytes")]
    ResponseTooLarge {
        /// Of the response.
        bytes: usize,
    },
    /// The host is shutting down; the function has not seen the request.
    #[error("function `{name}` is shutting down")]
    ShuttingDown {
        /// Of the function.
        name: String,
    },
}

impl InvokeError {
    /// The `errorType` of what Lambda would return.
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
