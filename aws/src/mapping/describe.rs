//! What a mapping needs to know about its stream and its function.

use std::time::Duration;

use anyhow::Context;
use aws_config::SdkConfig;
use local::event_source_mapping::{Rules, Settings};
use shared::digest::sha256;

/// A stream and the function that gets its records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapped {
    pub stream: String,
    pub function: String,
    stream_arn: String,
    function_arn: String,
    role_arn: String,
}

pub async fn describe(sdk: &SdkConfig, stream: String, function: String) -> anyhow::Result<Mapped> {
    let kinesis = aws_sdk_kinesis::Client::new(sdk);
    let described = kinesis.describe_stream_summary().stream_name(&stream).send().await;
    let described = described.with_context(|| format!("the stream `{stream}` cannot be described"))?;
    let summary = described.stream_description_summary.context("AWS returns no description of the stream")?;

    let lambda = aws_sdk_lambda::Client::new(sdk);
    let configuration = lambda.get_function_configuration().function_name(&function).send().await;
    let configuration =
        configuration.with_context(|| format!("the function `{function}` cannot be described"))?;
    Ok(Mapped {
        stream,
        function,
        stream_arn: summary.stream_arn,
        function_arn: configuration.function_arn.context("AWS returns no ARN for the function")?,
        role_arn: configuration.role.unwrap_or_default(),
    })
}

impl Mapped {
    /// A mapping with these rules. Its id is derived from the endpoint, the stream and the function, so a later run finds
    /// its checkpoints and uses the same prefix for failures.
    pub fn settings(&self, endpoint: &str, rules: Rules) -> Settings {
        let name = format!("{endpoint} {} {}", self.stream_arn, self.function_arn);
        let digest =
            u128::from_str_radix(&sha256(name.as_bytes())[..32], 16).expect("SHA-256 in hexadecimal");
        Settings {
            mapping_id: uuid::Builder::from_custom_bytes(digest.to_be_bytes()).into_uuid(),
            function_arn: self.function_arn.clone(),
            stream_arn: self.stream_arn.clone(),
            role_arn: self.role_arn.clone(),
            rules,
            poll_interval: Duration::from_secs(1),
            discovery_interval: Duration::from_secs(10),
        }
    }
}
