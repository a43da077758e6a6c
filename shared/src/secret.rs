//! A secret in AWS Secrets Manager, by the AWS SDK.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::Builder;
use aws_sdk_secretsmanager::error::ProvideErrorMetadata;

/// Time limit for one attempt, and for all of them. A start waits for it.
const ATTEMPT: Duration = Duration::from_secs(2);
const CALL: Duration = Duration::from_secs(5);

/// The current version of a secret.
#[derive(Clone, Debug)]
pub struct SecretsManager {
    client: Client,
    secret: String,
}

impl SecretsManager {
    /// `secret` is its ARN or its name.
    pub fn new(sdk: &SdkConfig, secret: String) -> Self {
        let limits = TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT).operation_timeout(CALL);
        let config = Builder::from(sdk).timeout_config(limits.build());
        Self { client: Client::from_conf(config.build()), secret }
    }

    /// Its ARN or its name.
    pub fn name(&self) -> &str {
        &self.secret
    }

    /// Its text, or why there is none. The SDK's full error may show the answer, and with it the secret: so an error has only
    /// the code and the message.
    pub async fn text(&self) -> Result<String, String> {
        let answer = self.client.get_secret_value().secret_id(&self.secret).send().await;
        let answer = answer.map_err(|error| {
            let code = error.code().map(|code| format!(": {code}")).unwrap_or_default();
            let message = error.message().map(|message| format!(": {message}")).unwrap_or_default();
            format!("the secret cannot be read: {error}{code}{message}")
        })?;
        answer.secret_string.ok_or_else(|| "the secret is binary: store it as text".to_owned())
    }
}
