//! The credentials in AWS Secrets Manager: the text of a secret is the document.

use futures::future::BoxFuture;
use shared::secret::SecretsManager;

use super::{CredentialSource, CredentialsError};

impl CredentialSource for SecretsManager {
    fn read(&self) -> BoxFuture<'_, Result<String, CredentialsError>> {
        Box::pin(async { self.text().await.map_err(CredentialsError::Unreadable) })
    }

    fn name(&self) -> String {
        format!("secret `{}`", self.name())
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
