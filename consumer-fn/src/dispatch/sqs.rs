//! The queue by the AWS SDK: one `SendMessageBatch` call for each send. The tenant is the message group: one with many events
//! does not hold up the others (fair queues).

use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::Builder;
use shared::queue::sqs;

use super::{DispatchFailure, DispatchQueue, OutgoingDispatch};

/// Time limit for one attempt at a call.
const ATTEMPT: Duration = Duration::from_secs(3);

#[derive(Clone, Debug)]
pub struct SqsDispatchQueue {
    client: Client,
    url: String,
}

impl SqsDispatchQueue {
    pub fn new(sdk: &SdkConfig, url: String) -> Self {
        let timeouts = TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT).build();
        Self { client: Client::from_conf(Builder::from(sdk).timeout_config(timeouts).build()), url }
    }

    /// Opens a connection.
    pub async fn open(&self) {
        sqs::open(&self.client, &self.url).await;
    }
}

impl DispatchQueue for SqsDispatchQueue {
    async fn send(&self, messages: &[OutgoingDispatch]) -> Vec<Result<(), DispatchFailure>> {
        let messages = messages.iter().map(|message| (&*message.body, message.tenant.as_str()));
        let sent = sqs::send(&self.client, &self.url, messages).await;
        sent.into_iter().map(|sent| sent.map_err(DispatchFailure)).collect()
    }
}

#[cfg(test)]
#[cfg(feature = "aws-test")]
mod tests {
    use shared::id::TenantId;
    use shared::replay::replay;

    use super::*;

    #[tokio::test]
    async fn a_call_carries_body_and_tenant_of_each_message_and_failures_are_told_apart() {
        let (sdk, requests) = replay(&[(
            200,
            r#"{"Successful":[{"Id":"1","MessageId":"b","MD5OfMessageBody":"x"}],"Failed":[{"Id":"0","Code":"InternalError","SenderFault":false,"Message":"try again"}]}"#,
        )]);
        let queue = SqsDispatchQueue::new(&sdk, "https://sqs/1/dispatch".to_owned());
        let message =
            |tenant| OutgoingDispatch { tenant: TenantId::parse(tenant).unwrap(), body: "{}".to_owned() };
        let sent = queue.send(&["acme", "beta", "gamma"].map(message)).await;
        let failure = |text: &str| Err(DispatchFailure(text.to_owned()));
        assert_eq!(
            sent,
            [failure("InternalError: try again"), Ok(()), failure("the queue did not answer for it")]
        );
        let request = requests.actual_requests().next().unwrap();
        assert_eq!(request.headers().get("x-amz-target"), Some("AmazonSQS.SendMessageBatch"));
        insta::assert_snapshot!(String::from_utf8_lossy(request.body().bytes().unwrap()), @r#"{"QueueUrl":"https://sqs/1/dispatch","Entries":[{"Id":"0","MessageBody":"{}","MessageGroupId":"acme"},{"Id":"1","MessageBody":"{}","MessageGroupId":"beta"},{"Id":"2","MessageBody":"{}","MessageGroupId":"gamma"}]}"#);
    }

    #[tokio::test]
    async fn a_call_that_is_refused_fails_each_message() {
        let (sdk, _) =
            replay(&[(400, r#"{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"gone"}"#)]);
        let queue = SqsDispatchQueue::new(&sdk, "https://sqs/1/dispatch".to_owned());
        let message = OutgoingDispatch { tenant: TenantId::parse("acme").unwrap(), body: "{}".to_owned() };
        let sent = queue.send(&[message.clone(), message]).await;
        assert!(sent.len() == 2 && sent.iter().all(Result::is_err), "{sent:?}");
    }
}
