//! The environment variables that Lambda sets for a function.
//! <https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html#configuration-envvars-runtime>

use std::path::Path;

use shared::time::Timestamp;
use uuid::Uuid;

use super::specification::FunctionSpec;

/// Later variables replace earlier ones: first the defaults, then the function's own, then those that Lambda reserves.
pub(super) fn variables(
    spec: &FunctionSpec,
    runtime_api: &str,
    started: Timestamp,
    environment: Uuid,
) -> Vec<(String, String)> {
    let defaults = [
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_DEFAULT_REGION", "us-east-1".to_owned()),
        ("LANG", "en_US.UTF-8".to_owned()),
        ("TZ", ":UTC".to_owned()),
    ];
    let task_root = spec.program.parent().unwrap_or(Path::new(".")).display().to_string();
    let log_stream = format!("{}[$LATEST]{}", started.to_utc().format("%Y/%m/%d/"), environment.simple());
    let reserved = [
        ("AWS_EXECUTION_ENV", "AWS_Lambda_provided.al2023".to_owned()),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", spec.memory_mb.to_string()),
        ("AWS_LAMBDA_FUNCTION_NAME", spec.name.clone()),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".to_owned()),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand".to_owned()),
        ("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{}", spec.name)),
        ("AWS_LAMBDA_LOG_STREAM_NAME", log_stream),
        ("AWS_LAMBDA_RUNTIME_API", runtime_api.to_owned()),
        ("LAMBDA_TASK_ROOT", task_root),
        ("_HANDLER", "bootstrap".to_owned()),
    ];
    let owned = |(name, value): (&str, String)| (name.to_owned(), value);
    defaults.map(owned).into_iter().chain(spec.environment.clone()).chain(reserved.map(owned)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::runtime_api::tests::spec;

    #[test]
    fn a_function_has_lambdas_variables_and_cannot_replace_the_reserved_ones() {
        let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let spec = FunctionSpec {
            program: "/opt/tidegate".into(),
            environment: vec![
                set("AWS_REGION", "eu-central-1"),
                set("AWS_LAMBDA_FUNCTION_NAME", "other"),
                set("TIDEGATE_STREAM", "events"),
            ],
            ..spec()
        };
        let started = Timestamp::from_unix_ms(1_573_691_884_835);
        let variables = variables(&spec, "http://127.0.0.1:9001/secret", started, Uuid::from_u128(1));
        let variables: BTreeMap<_, _> = variables.into_iter().collect();
        let lines: Vec<_> = variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
        insta::assert_snapshot!(lines.join("\n"), @r"
        AWS_DEFAULT_REGION=us-east-1
        AWS_EXECUTION_ENV=AWS_Lambda_provided.al2023
        AWS_LAMBDA_FUNCTION_MEMORY_SIZE=512
        AWS_LAMBDA_FUNCTION_NAME=test-function
        AWS_LAMBDA_FUNCTION_VERSION=$LATEST
        AWS_LAMBDA_INITIALIZATION_TYPE=on-demand
        AWS_LAMBDA_LOG_GROUP_NAME=/aws/lambda/test-function
        AWS_LAMBDA_LOG_STREAM_NAME=2019/11/14/[$LATEST]00000000000000000000000000000001
        AWS_LAMBDA_RUNTIME_API=http://127.0.0.1:9001/secret
        AWS_REGION=eu-central-1
        LAMBDA_TASK_ROOT=/opt
        LANG=en_US.UTF-8
        TIDEGATE_STREAM=events
        TZ=:UTC
        _HANDLER=bootstrap
        ");
    }
}
