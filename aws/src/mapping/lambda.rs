//! Invokes a Lambda function and waits for its response.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_lambda::Client;
use aws_sdk_lambda::config::{Builder, StalledStreamProtectionConfig};
use aws_sdk_lambda::error::DisplayErrorContext;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::InvocationType;
use bytes::Bytes;
use serde::Deserialize;

use local::event_source_mapping::ports::{InvokeFailure, Invoker};

use crate::error::shown;

/// The longest time-out of a function, 900 s, and a little more.
/// <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>
const CALL: Duration = Duration::from_secs(910);

#[derive(Clone, Debug)]
pub struct LambdaInvoker {
    client: Client,
    function: String,
}

impl LambdaInvoker {
    pub fn new(sdk: &SdkConfig, function: String) -> Self {
        let timeouts = TimeoutConfig::builder().operation_timeout(CALL).build();
        let config = Builder::from(sdk)
            .timeout_config(timeouts)
            // The mapping retries, and counts the attempts.
            .retry_config(RetryConfig::disabled())
            // A running function sends nothing for minutes.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        Self { client: Client::from_conf(config.build()), function }
    }
}

impl Invoker for LambdaInvoker {
    /// After a broken connection it is unknown whether the function ran. It counts as not run, as in Lambda: the batch is
    /// delivered again.
    async fn invoke(&self, payload: Bytes) -> Result<Bytes, InvokeFailure> {
        let call = self.client.invoke().function_name(&self.function);
        let call = call.invocation_type(InvocationType::RequestResponse).payload(Blob::new(payload));
        let output = call
            .send()
            .await
            .map_err(|error| InvokeFailure::NotRun(DisplayErrorContext(error).to_string()))?;
        let answer = output.payload.map(Blob::into_inner).unwrap_or_default();
        match output.function_error {
            None => Ok(answer.into()),
            Some(kind) => Err(InvokeFailure::Function { kind, message: message(&answer) }),
        }
    }
}

/// The message of a failed function, else the beginning of its answer.
fn message(answer: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Failure {
        #[serde(rename = "errorMessage")]
        message: String,
    }

    serde_json::from_slice(answer).map_or_else(|_| shown(answer), |failure: Failure| failure.message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_described_by_its_message_or_its_text() {
        assert_eq!(message(br#"{"errorType":"Panic","errorMessage":"poison"}"#), "poison");
        assert_eq!(message(b"Task timed out"), "Task timed out");
        assert_eq!(message(b""), "");
    }
}
