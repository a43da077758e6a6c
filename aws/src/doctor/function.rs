//! Lambda: functions, the live version and its health, and mappings from queues.

use std::time::Duration;

use anyhow::Context;
use aws_config::SdkConfig;
use aws_sdk_lambda::Client;
use aws_sdk_lambda::error::DisplayErrorContext;
use aws_sdk_lambda::operation::get_function_configuration::GetFunctionConfigurationOutput;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{Architecture, FunctionResponseType};
use operate::doctor::facts::{DeployedFunction, HealthAnswer, LiveIngest, QueueMapping};
use serde::Deserialize;

use super::role;
use crate::error::shown;

/// The alias of the Function URL.
pub(crate) const ALIAS: &str = "live";

/// A `GET /health` in the form of a Function URL. Doctor sends it by `Invoke`, since the URL may require signatures.
/// <https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html#urls-payloads>
const HEALTH: &str = r#"{"version":"2.0","routeKey":"$default","rawPath":"/health","rawQueryString":"","headers":{"host":"doctor"},"requestContext":{"accountId":"anonymous","apiId":"doctor","domainName":"doctor","domainPrefix":"doctor","http":{"method":"GET","path":"/health","protocol":"HTTP/1.1","sourceIp":"127.0.0.1","userAgent":"tidegate doctor"},"requestId":"doctor","routeKey":"$default","stage":"$default","time":"01/Jan/2026:00:00:00 +0000","timeEpoch":1767225600000},"isBase64Encoded":false}"#;

/// The version that `alias` names, else the newest code.
pub(super) async fn read(
    sdk: &SdkConfig,
    name: &str,
    alias: Option<&str>,
) -> anyhow::Result<DeployedFunction> {
    let found = configuration(sdk, name, alias).await?;
    let concurrency = Client::new(sdk).get_function_concurrency().function_name(name).send().await;
    let concurrency =
        concurrency.with_context(|| format!("the reserved concurrency of `{name}` cannot be read"))?;
    let role_arn = found.role.context("AWS returns no role for the function")?;
    let role = role::read(sdk, role_arn.rsplit('/').next().unwrap_or(&role_arn)).await?;
    let variables = found.environment.and_then(|environment| environment.variables).unwrap_or_default();
    let architectures = found.architectures.unwrap_or_default();
    let logging = found.logging_config.as_ref();
    let format = logging.and_then(|logging| logging.log_format.as_ref());
    let level = logging.and_then(|logging| logging.application_log_level.as_ref());
    let group = logging.and_then(|logging| logging.log_group.clone());
    // A version's ARN ends with its number. Permissions and mappings name the function without it.
    let arn = found.function_arn.context("AWS returns no ARN for the function")?;
    let arn = arn.splitn(8, ':').take(7).collect::<Vec<_>>().join(":");
    Ok(DeployedFunction {
        name: name.to_owned(),
        arn,
        runtime: found.runtime.as_ref().map_or("not set", |runtime| runtime.as_str()).to_owned(),
        architecture: architectures.first().map_or("x86_64", Architecture::as_str).to_owned(),
        memory_mb: u64::try_from(found.memory_size.unwrap_or(128)).unwrap_or(0),
        timeout: Duration::from_secs(u64::try_from(found.timeout.unwrap_or(3)).unwrap_or(0)),
        variables: variables.into_iter().collect(),
        log_format: format.map_or("Text", |format| format.as_str()).to_owned(),
        log_level: level.map(|level| level.as_str().to_owned()),
        log_group: group.unwrap_or_else(|| format!("/aws/lambda/{name}")),
        reserved_concurrency: concurrency
            .reserved_concurrent_executions
            .map(|limit| u32::try_from(limit).unwrap_or(0)),
        is_in_vpc: found.vpc_config.and_then(|vpc| vpc.vpc_id).is_some_and(|id| !id.is_empty()),
        role,
    })
}

pub(super) async fn live(sdk: &SdkConfig, name: &str) -> anyhow::Result<LiveIngest> {
    let code = |found: GetFunctionConfigurationOutput| found.code_sha256.unwrap_or_default();
    Ok(LiveIngest {
        live_code: code(configuration(sdk, name, Some(ALIAS)).await?),
        newest_code: code(configuration(sdk, name, None).await?),
        health: health(sdk, name).await,
    })
}

pub(super) async fn queue_mappings(sdk: &SdkConfig, name: &str) -> anyhow::Result<Vec<QueueMapping>> {
    let listed = Client::new(sdk).list_event_source_mappings().function_name(name).send().await;
    let listed = listed.with_context(|| format!("the event source mappings of `{name}` cannot be listed"))?;
    let ours = |found: aws_sdk_lambda::types::EventSourceMappingConfiguration| QueueMapping {
        report_batch_item_failures: found
            .function_response_types()
            .contains(&FunctionResponseType::ReportBatchItemFailures),
        id: found.uuid.unwrap_or_default(),
        state: found.state.unwrap_or_default(),
        source: found.event_source_arn.unwrap_or_default(),
        batch_size: usize::try_from(found.batch_size.unwrap_or(10)).unwrap_or(0),
    };
    Ok(listed.event_source_mappings.unwrap_or_default().into_iter().map(ours).collect())
}

pub(crate) async fn configuration(
    sdk: &SdkConfig,
    name: &str,
    alias: Option<&str>,
) -> anyhow::Result<GetFunctionConfigurationOutput> {
    let call = Client::new(sdk).get_function_configuration().function_name(name);
    let found = call.set_qualifier(alias.map(str::to_owned)).send().await;
    found.with_context(|| format!("the function `{name}` cannot be described"))
}

async fn health(sdk: &SdkConfig, name: &str) -> Result<HealthAnswer, String> {
    let call = Client::new(sdk).invoke().function_name(name).qualifier(ALIAS).payload(Blob::new(HEALTH));
    let invoked = call.send().await.map_err(|error| DisplayErrorContext(error).to_string())?;
    let answer = invoked.payload.map(Blob::into_inner).unwrap_or_default();
    match invoked.function_error {
        Some(kind) => Err(format!("{kind}: {}", shown(&answer))),
        None => health_answer(&answer),
    }
}

fn health_answer(answer: &[u8]) -> Result<HealthAnswer, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Answer {
        status_code: u16,
        body: String,
    }

    let answer: Answer = serde_json::from_slice(answer).map_err(|_| shown(answer))?;
    if answer.status_code != 200 {
        return Err(format!("{} {}", answer.status_code, answer.body));
    }
    serde_json::from_str(&answer.body).map_err(|_| answer.body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_version_and_configuration_or_the_reason_why_not() {
        let ok = br#"{"statusCode":200,"headers":{},"body":"{\"status\":\"ok\",\"version\":\"0.1.0\",\"config\":\"ab\"}","isBase64Encoded":false}"#;
        let expected = HealthAnswer { version: "0.1.0".to_owned(), config: "ab".to_owned() };
        assert_eq!(health_answer(ok), Ok(expected));
        assert_eq!(health_answer(br#"{"statusCode":502,"body":"no"}"#), Err("502 no".to_owned()));
        assert_eq!(health_answer(b"null"), Err("null".to_owned()));
    }
}
