//! Sending messages by the AWS SDK: one `SendMessageBatch` call, and an answer for each message.

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::Builder;
use aws_sdk_sqs::config::timeout::TimeoutConfig;
use aws_sdk_sqs::error::{BuildError, DisplayErrorContext};
use aws_sdk_sqs::operation::send_message_batch::SendMessageBatchOutput;
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;

use crate::sdk::{self, Preflight};

/// Opens a connection to the queue, also where `client` gives a call less time than that takes.
pub async fn open(client: &Client, url: &str) {
    let patient = TimeoutConfig::builder().operation_timeout(sdk::OPEN).build();
    let call = client.send_message_batch().queue_url(url).customize().interceptor(Preflight);
    sdk::open("SQS", call.config_override(Builder::default().timeout_config(patient)).send()).await;
}

/// Sends bodies, each with its message group, and answers for each by its position: `Ok` is durable.
///
/// The message group makes a standard queue fair: a tenant with many messages does not hold up the others
/// (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-fair-queues.html>).
pub async fn send<'a>(
    client: &Client,
    url: &str,
    messages: impl ExactSizeIterator<Item = (&'a str, &'a str)>,
) -> Vec<Result<(), String>> {
    let count = messages.len();
    let entries = match messages.enumerate().map(entry).collect::<Result<Vec<_>, _>>() {
        Ok(entries) => entries,
        Err(error) => return vec![Err(error.to_string()); count],
    };
    match client.send_message_batch().queue_url(url).set_entries(Some(entries)).send().await {
        Ok(output) => (0..count).map(|index| answer(&output, index)).collect(),
        Err(error) => vec![Err(DisplayErrorContext(error).to_string()); count],
    }
}

/// An entry, named by its position.
fn entry((index, (body, group)): (usize, (&str, &str))) -> Result<SendMessageBatchRequestEntry, BuildError> {
    let entry = SendMessageBatchRequestEntry::builder().id(index.to_string());
    entry.message_body(body).message_group_id(group).build()
}

/// `SendMessageBatch` answers 200 whatever became of the messages, and in no order: only what it names as successful
/// is in the queue.
fn answer(output: &SendMessageBatchOutput, index: usize) -> Result<(), String> {
    let id = index.to_string();
    if output.successful().iter().any(|sent| sent.id() == id) {
        return Ok(());
    }
    let failed = output.failed().iter().find(|failed| failed.id() == id);
    Err(failed.map_or_else(
        || "the queue did not answer for it".to_owned(),
        |failed| format!("{}: {}", failed.code(), failed.message().unwrap_or_default()),
    ))
}
