//! The secret by the AWS SDK, as text.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::Builder;
use aws_sdk_secretsmanager::error::DisplayErrorContext;

use super::Secret;

/// Time limit for one attempt at a call.
const ATTEMPT: Duration = Duration::from_secs(2);

/// The current version of the secret `arn`.
pub fn secret(sdk: &SdkConfig, arn: String) -> Secret {
    let timeouts = TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT).build();
    let client = Client::from_conf(Builder::from(sdk).timeout_config(timeouts).build());
    Secret::new(move || {
        let call = client.get_secret_value().secret_id(&arn);
        Box::pin(async move {
            let found = call.send().await.map_err(|error| DisplayErrorContext(error).to_string())?;
            let secret = found.secret_string.ok_or("the secret is binary: store it as text")?;
            Ok(secret.trim().to_owned())
        })
    })
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
        let secret = secret(&sdk, "arn:aws:secretsmanager:eu-central-1:1:secret:target".to_owned());
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
