//! The queue by the AWS SDK: one `SendMessageBatch` call for each send, without the SDK's own retries.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::Builder;
use shared::queue::sqs;

use super::{SpillFailure, SpillMessage, SpillQueue};

/// An SQS queue.
#[derive(Clone, Debug)]
pub struct SqsQueue {
    client: Client,
    url: String,
}

impl SqsQueue {
    /// `attempt` is the time limit for a call, also inside the SDK, so that a dead connection is closed with the call.
    pub fn new(sdk: &SdkConfig, url: String, attempt: Duration) -> Self {
        let timeouts = TimeoutConfig::builder().operation_timeout(attempt).build();
        let config = Builder::from(sdk).retry_config(RetryConfig::disabled()).timeout_config(timeouts);
        Self { client: Client::from_conf(config.build()), url }
    }

    /// Opens a connection. A message is sent when the stream is unavailable, and then a request has 150 ms for it.
    pub async fn open(&self) {
        sqs::open(&self.client, &self.url).await;
    }
}

impl SpillQueue for SqsQueue {
    async fn send(&self, messages: &[SpillMessage]) -> Vec<Result<(), SpillFailure>> {
        let messages = messages.iter().map(|message| (message.body(), message.partition_key()));
        let sent = sqs::send(&self.client, &self.url, messages).await;
        sent.into_iter().map(|sent| sent.map_err(SpillFailure)).collect()
    }
}

#[cfg(test)]
#[cfg(feature = "aws-test")]
mod tests {

    use super::*;
    use shared::replay::{StaticReplayClient, replay};

    const URL: &str = "https://sqs.eu-central-1.amazonaws.com/123456789012/spill";

    /// A queue that answers its one call so, and what it was asked.
    fn answering(status: u16, body: &'static str) -> (SqsQueue, StaticReplayClient) {
        let (sdk, requests) = replay(&[(status, body)]);
        (SqsQueue::new(&sdk, URL.to_owned(), Duration::from_secs(5)), requests)
    }

    fn messages() -> Vec<SpillMessage> {
        ["acme", "beta#1", "gamma"].map(|key| SpillMessage::of(key, &["{}"])).to_vec()
    }

    #[tokio::test]
    async fn a_call_names_the_queue_and_carries_body_and_group_of_each_message() {
        let (queue, requests) = answering(
            200,
            r#"{"Successful":[{"Id":"1","MessageId":"b","MD5OfMessageBody":"x"},{"Id":"0","MessageId":"a","MD5OfMessageBody":"x"},{"Id":"2","MessageId":"c","MD5OfMessageBody":"x"}]}"#,
        );
        assert_eq!(queue.send(&messages()).await, [Ok(()), Ok(()), Ok(())]);
        let request = requests.actual_requests().next().unwrap();
        assert_eq!(request.headers().get("x-amz-target"), Some("AmazonSQS.SendMessageBatch"));
        insta::assert_snapshot!(String::from_utf8_lossy(request.body().bytes().unwrap()), @r##"{"QueueUrl":"https://sqs.eu-central-1.amazonaws.com/123456789012/spill","Entries":[{"Id":"0","MessageBody":"{\"v\":1,\"partition_key\":\"acme\",\"lines\":\"e30K\"}","MessageGroupId":"acme"},{"Id":"1","MessageBody":"{\"v\":1,\"partition_key\":\"beta#1\",\"lines\":\"e30K\"}","MessageGroupId":"beta#1"},{"Id":"2","MessageBody":"{\"v\":1,\"partition_key\":\"gamma\",\"lines\":\"e30K\"}","MessageGroupId":"gamma"}]}"##);
    }

    #[tokio::test]
    async fn an_answer_with_failures_inside_is_told_apart_by_name() {
        let (queue, _) = answering(
            200,
            r#"{"Successful":[{"Id":"2","MessageId":"c","MD5OfMessageBody":"x"}],"Failed":[{"Id":"0","Code":"InternalError","SenderFault":false,"Message":"try again"}]}"#,
        );
        let failure = |text: &str| Err(SpillFailure(text.to_owned()));
        assert_eq!(
            queue.send(&messages()).await,
            [failure("InternalError: try again"), failure("the queue did not answer for it"), Ok(())]
        );
    }

    #[tokio::test]
    async fn a_call_that_fails_is_made_once_and_says_so_for_each_message() {
        for (status, body) in [
            (400, r#"{"__type":"com.amazonaws.sqs#RequestThrottled","message":"Rate exceeded"}"#),
            (500, r#"{"__type":"InternalFailure"}"#),
        ] {
            let (queue, requests) = answering(status, body);
            let sent = queue.send(&messages()).await;
            assert_eq!(sent.len(), 3);
            assert!(sent.iter().all(Result::is_err), "{sent:?}");
            assert_eq!(requests.actual_requests().count(), 1);
        }
    }

    #[tokio::test]
    async fn opening_runs_no_action() {
        let (queue, requests) = answering(403, "");
        queue.open().await;
        let request = requests.actual_requests().next().unwrap();
        assert_eq!((request.method(), request.headers().get("x-amz-target")), ("OPTIONS", None));
        assert_eq!(requests.actual_requests().count(), 1);
    }
}
