//! The credentials in AWS Secrets Manager, by the AWS SDK.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::Builder;
use aws_sdk_secretsmanager::error::ProvideErrorMetadata;
use futures::future::BoxFuture;

use super::{CredentialSource, CredentialsError};

/// Time limit for one attempt, and for all of them. A start waits for it.
const ATTEMPT: Duration = Duration::from_secs(2);
const CALL: Duration = Duration::from_secs(5);

/// A secret whose text is the document.
#[derive(Clone, Debug)]
pub struct SecretsManager {
    client: Client,
    secret: String,
}

impl SecretsManager {
    /// `secret` is its ARN or its name.
    pub fn new(sdk: &SdkConfig, secret: String) -> Self {
        let limits = TimeoutConfig::builder()
            .connect_timeout(ATTEMPT)
            .operation_attempt_timeout(ATTEMPT)
            .operation_timeout(CALL);
        let config = Builder::from(sdk).timeout_config(limits.build());
        Self { client: Client::from_conf(config.build()), secret }
    }

    async fn text(&self) -> Result<String, CredentialsError> {
        let answer = self.client.get_secret_value().secret_id(&self.secret).send().await;
        // The SDK's full error may show the answer, and with it the secret.
        let answer = answer.map_err(|error| {
            let code = error.code().map(|code| format!(": {code}")).unwrap_or_default();
            let message = error.message().map(|message| format!(": {message}")).unwrap_or_default();
            CredentialsError::Unreadable(format!("the secret cannot be read: {error}{code}{message}"))
        })?;
        let text = answer.secret_string;
        text.ok_or_else(|| {
            CredentialsError::Unreadable("the secret is binary: store the document as text".to_owned())
        })
    }
}

impl CredentialSource for SecretsManager {
    fn read(&self) -> BoxFuture<'_, Result<String, CredentialsError>> {
        Box::pin(self.text())
    }

    fn name(&self) -> String {
        format!("secret `{}`", self.secret)
    }
}

#[cfg(test)]
#[cfg(feature = "aws-test")]
mod tests {
    use shared::replay::{StaticReplayClient, replay};

    use super::*;

    fn answering(status: u16, body: &'static str) -> (SecretsManager, StaticReplayClient) {
        let (sdk, requests) = replay(&[(status, body)]);
        (SecretsManager::new(&sdk, "tidegate/credentials".to_owned()), requests)
    }

    #[tokio::test]
    async fn the_newest_value_of_the_secret_is_read() {
        let (secret, requests) = answering(
            200,
            r#"{"ARN":"arn","Name":"tidegate/credentials","VersionId":"1","SecretString":"{\"tenants\":[]}","VersionStages":["AWSCURRENT"]}"#,
        );
        assert_eq!(secret.read().await.unwrap(), r#"{"tenants":[]}"#);
        let request = requests.actual_requests().next().unwrap();
        assert_eq!(request.headers().get("x-amz-target"), Some("secretsmanager.GetSecretValue"));
        assert_eq!(request.body().bytes().unwrap(), br#"{"SecretId":"tidegate/credentials"}"#);
    }

    #[tokio::test]
    async fn a_refusal_is_named() {
        let body = r#"{"__type":"AccessDeniedException","Message":"User is not authorized"}"#;
        let error = answering(400, body).0.read().await.unwrap_err().to_string();
        insta::assert_snapshot!(error, @"the secret cannot be read: service error: AccessDeniedException: User is not authorized");
    }

    #[tokio::test]
    async fn an_answer_that_cannot_be_read_is_not_quoted() {
        let error = answering(200, r#"{"SecretString":"whsec_x","#).0.read().await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("whsec_"), "{error:?}");
    }
}
