//! Lets an event source mapping invoke the function of a [`FunctionHost`].

use bytes::Bytes;

use super::error::InvokeError;
use super::function_host::FunctionHost;
use crate::event_source_mapping::ports::{InvokeFailure, Invoker};

impl Invoker for FunctionHost {
    async fn invoke(&self, payload: Bytes) -> Result<Bytes, InvokeFailure> {
        Self::invoke(self, payload).await.map_err(failure)
    }
}

/// In Lambda, every failure in the function's environment is a function error and uses a retry, also a failed start or
/// a response that is too large.
fn failure(error: InvokeError) -> InvokeFailure {
    match error {
        InvokeError::ShuttingDown { .. } => InvokeFailure::NotRun(error.to_string()),
        InvokeError::Function { error_type, message, .. } => {
            InvokeFailure::Function { kind: error_type, message }
        }
        InvokeError::TimedOut { .. }
        | InvokeError::Exited { .. }
        | InvokeError::Initialization { .. }
        | InvokeError::RequestTooLarge { .. }
        | InvokeError::ResponseTooLarge { .. } => {
            InvokeFailure::Function { kind: error.error_type().to_owned(), message: error.to_string() }
        }
    }
}
