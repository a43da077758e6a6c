//! The queues by the AWS SDK.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::Builder;
use aws_sdk_sqs::error::DisplayErrorContext;
use shared::format::dispatch_message::DispatchMessage;
use shared::sdk::{self, Preflight};

use super::{Inbox, InboxFailure};

/// Time limit for one attempt at a call.
const ATTEMPT: Duration = Duration::from_secs(2);

#[derive(Clone, Debug)]
pub struct SqsInbox {
    client: Client,
    url: String,
    dead_letters: String,
}

impl SqsInbox {
    /// Both are URLs.
    pub fn new(sdk: &SdkConfig, url: String, dead_letters: String) -> Self {
        let timeouts = TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT).build();
        let client = Client::from_conf(Builder::from(sdk).timeout_config(timeouts).build());
        Self { client, url, dead_letters }
    }

    /// Opens a connection.
    pub async fn open(&self) {
        let call = self.client.change_message_visibility().queue_url(&self.url).customize();
        sdk::open("SQS", call.interceptor(Preflight).send()).await;
    }
}

impl Inbox for SqsInbox {
    /// SQS counts in whole seconds. Lambda leaves the visibility of a message that is answered as failed as it is.
    async fn postpone(&self, receipt: &str, wait: Duration) -> Result<(), InboxFailure> {
        let seconds = i32::try_from(wait.as_millis().div_ceil(1_000)).unwrap_or(i32::MAX);
        let call = self.client.change_message_visibility().queue_url(&self.url).receipt_handle(receipt);
        let changed = call.visibility_timeout(seconds).send().await;
        changed.map(drop).map_err(|error| InboxFailure(DisplayErrorContext(error).to_string()))
    }

    async fn dead_letter(&self, message: &DispatchMessage) -> Result<(), InboxFailure> {
        let sent = self
            .client
            .send_message()
            .queue_url(&self.dead_letters)
            .message_body(message.body())
            .send()
            .await;
        sent.map(drop).map_err(|error| InboxFailure(DisplayErrorContext(error).to_string()))
    }
}

#[cfg(test)]
#[cfg(feature = "aws-test")]
mod tests {
    use shared::replay::{StaticReplayClient, replay};

    use super::*;

    fn queue(answers: &[(u16, &'static str)]) -> (SqsInbox, StaticReplayClient) {
        let (sdk, requests) = replay(answers);
        (SqsInbox::new(&sdk, "https://sqs/1/dispatch".to_owned(), "https://sqs/1/dead".to_owned()), requests)
    }

    fn asked(requests: &StaticReplayClient) -> String {
        let request = requests.actual_requests().last().unwrap();
        let target = request.headers().get("x-amz-target").unwrap();
        format!("{target} {}", String::from_utf8_lossy(request.body().bytes().unwrap()))
    }

    #[tokio::test]
    async fn a_message_is_hidden_for_whole_seconds() {
        let (queue, requests) = queue(&[(200, "{}")]);
        queue.postpone("receipt", Duration::from_millis(2_001)).await.unwrap();
        insta::assert_snapshot!(asked(&requests), @r#"AmazonSQS.ChangeMessageVisibility {"QueueUrl":"https://sqs/1/dispatch","ReceiptHandle":"receipt","VisibilityTimeout":3}"#);
    }

    #[tokio::test]
    async fn a_dead_letter_goes_to_its_own_queue_and_a_refusal_is_a_failure() {
        let (queue, requests) = queue(&[
            (200, r#"{"MessageId":"m"}"#),
            (400, r#"{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"gone"}"#),
        ]);
        let line = br#"{"v":1,"id":"1"}"#;
        let message =
            DispatchMessage::of(line).unwrap().0.failed("400: no", 2, shared::time::Timestamp::default());
        queue.dead_letter(&message).await.unwrap();
        insta::assert_snapshot!(asked(&requests), @r#"AmazonSQS.SendMessage {"QueueUrl":"https://sqs/1/dead","MessageBody":"{\"v\":1,\"line\":\"eyJ2IjoxLCJpZCI6IjEifQo=\",\"failure\":{\"reason\":\"400: no\",\"attempts\":2,\"failed_at\":\"1970-01-01T00:00:00.000Z\"}}"}"#);
        assert!(queue.dead_letter(&message).await.unwrap_err().to_string().contains("gone"));
    }
}
