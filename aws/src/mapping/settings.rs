//! The settings of our own mapping.

use std::time::Duration;

use anyhow::Context;
use aws_config::SdkConfig;
use local::event_source_mapping::Settings;
use shared::digest::sha256;
use shared::id::Ids;

use super::stand_in::StandIn;
use crate::kinesis;

/// The id is derived from the endpoint, the stream and the function, so a later run finds its checkpoints and uses the same
/// prefix for failures.
pub async fn settings(sdk: &SdkConfig, stand_in: &StandIn) -> anyhow::Result<Settings> {
    let stream_arn = kinesis::describe(sdk, &stand_in.stream).await?.stream_arn;
    let function = &stand_in.function;
    let lambda = aws_sdk_lambda::Client::new(sdk);
    let found = lambda.get_function_configuration().function_name(function).send().await;
    let found = found.with_context(|| format!("the function `{function}` cannot be described"))?;
    let function_arn = found.function_arn.context("AWS returns no ARN for the function")?;

    let name = format!("{} {stream_arn} {function_arn}", sdk.endpoint_url().unwrap_or("aws"));
    let digest = u128::from_str_radix(&sha256(name.as_bytes())[..32], 16).expect("SHA-256 in hexadecimal");
    Ok(Settings {
        mapping_id: uuid::Builder::from_custom_bytes(digest.to_be_bytes()).into_uuid(),
        function_arn,
        stream_arn,
        role_arn: found.role.unwrap_or_default(),
        rules: stand_in.rules.clone(),
        poll_interval: Duration::from_secs(1),
        discovery_interval: Duration::from_secs(10),
        ids: Ids::system(),
    })
}
