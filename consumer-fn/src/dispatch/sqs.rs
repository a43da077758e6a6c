//! The queue by the AWS SDK: one `SendMessageBatch` call for each send. The tenant is the message group: one with many events
//! does not hold up the others (fair queues).

use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::Builder;
use aws_sdk_sqs::error::{BuildError, DisplayErrorContext};
use aws_sdk_sqs::operation::send_message_batch::SendMessageBatchOutput;
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;

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
}

impl DispatchQueue for SqsDispatchQueue {
    async fn send(&self, messages: &[OutgoingDispatch]) -> Vec<Result<(), DispatchFailure>> {
        let entries = match messages.iter().enumerate().map(entry).collect::<Result<Vec<_>, _>>() {
            Ok(entries) => entries,
            Err(error) => return vec![Err(DispatchFailure(error.to_string())); messages.len()],
        };
        match self.client.send_message_batch().queue_url(&self.url).set_entries(Some(entries)).send().await {
            Ok(output) => (0..messages.len()).map(|index| answer(&output, index)).collect(),
            Err(error) => {
                let failure = DispatchFailure(DisplayErrorContext(error).to_string());
                vec![Err(failure); messages.len()]
            }
        }
    }
}

fn entry((index, message): (usize, &OutgoingDispatch)) -> Result<SendMessageBatchRequestEntry, BuildError> {
    SendMessageBatchRequestEntry::builder()
        .id(index.to_string())
        .message_body(&message.body)
        .message_group_id(message.tenant.as_str())
        .build()
}

/// The call answers 200 whatever became of the messages: only what it names as successful is in the queue.
fn answer(output: &SendMessageBatchOutput, index: usize) -> Result<(), DispatchFailure> {
    let id = index.to_string();
    if output.successful().iter().any(|sent| sent.id() == id) {
        return Ok(());
    }
    let failed = output.failed().iter().find(|failed| failed.id() == id);
    Err(DispatchFailure(failed.map_or_else(
        || "the queue did not answer for it".to_owned(),
        |failed| format!("{}: {}", failed.code(), failed.message().unwrap_or_default()),
    )))
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
