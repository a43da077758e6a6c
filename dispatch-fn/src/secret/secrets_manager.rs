//! The secret in AWS Secrets Manager.

use aws_config::SdkConfig;
use shared::secret::SecretsManager;
use shared::time::Clock;

use super::Secret;

impl Secret {
    /// The current version of the secret `arn`.
    pub fn in_secrets_manager(sdk: &SdkConfig, arn: String, clock: Clock) -> Self {
        let secret = SecretsManager::new(sdk, arn);
        Self::new(clock, move || {
            let secret = secret.clone();
            Box::pin(async move { Ok(secret.text().await?.trim().to_owned()) })
        })
    }
}

#[cfg(test)]
#[cfg(feature = "aws-test")]
mod tests {
    use shared::replay::replay;

    use super::*;

    #[tokio::test]
    async fn the_secret_is_read_by_its_arn_and_its_text_is_taken() {
        let (sdk, requests) = replay(&[
            (200, r#"{"ARN":"arn","SecretString":" s3cret\n"}"#),
            (400, r#"{"__type":"AccessDeniedException","Message":"not allowed"}"#),
        ]);
        let secret = Secret::in_secrets_manager(
            &sdk,
            "arn:aws:secretsmanager:eu-central-1:1:secret:target".to_owned(),
            Clock::system(),
        );
        assert_eq!(secret.get().await.unwrap(), "s3cret");
        let request = requests.actual_requests().next().unwrap();
        assert_eq!(request.headers().get("x-amz-target"), Some("secretsmanager.GetSecretValue"));
        assert_eq!(
            String::from_utf8_lossy(request.body().bytes().unwrap()),
            r#"{"SecretId":"arn:aws:secretsmanager:eu-central-1:1:secret:target"}"#
        );
        secret.forget().await;
        assert!(secret.get().await.unwrap_err().contains("not allowed"));
    }
}
