//! The spill queue and its dead-letter queue.
//!
//! SQS lets nobody look at a message without receiving it. So all are received, and made visible again at once: each look
//! counts as one of the 500 receives after which a message becomes a dead letter, and for its length the redriver does not
//! see what is looked at.

use std::collections::HashMap;

use anyhow::Context;
use aws_config::SdkConfig;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, Message, MessageSystemAttributeName, QueueAttributeName,
};
use serde::Deserialize;
use shared::limits;
use shared::time::Timestamp;

use super::failed;
use crate::deployment::{Messages, QueueName, QueuedMessage};

/// How long what was received stays hidden if nobody gets to make it visible, in seconds.
const HIDDEN: i32 = 60;
/// How long an empty queue is waited for, in seconds: all of SQS's servers are asked then.
const WAIT: i32 = 1;

/// The two queues.
#[derive(Debug)]
pub(super) struct Queues {
    client: Client,
    spill: String,
}

impl Queues {
    pub(super) fn new(sdk: &SdkConfig, spill: String) -> Self {
        Self { client: Client::new(sdk), spill }
    }

    pub(super) async fn messages(&self, queue: QueueName) -> anyhow::Result<Messages> {
        let Some(url) = self.url(queue).await? else { return Ok(Messages::default()) };
        let hidden = self.attribute(&url, QueueAttributeName::ApproximateNumberOfMessagesNotVisible).await?;
        let hidden = hidden.and_then(|hidden| hidden.parse().ok()).unwrap_or_default();
        let received = self.receive_all(&url).await;
        let (messages, error) = received;
        self.release(&url, &messages).await?;
        error?;
        let mut seen: Vec<QueuedMessage> = messages.into_values().filter_map(queued).collect();
        seen.sort_by(|a, b| (a.sent, &a.id).cmp(&(b.sent, &b.id)));
        Ok(Messages { seen, hidden })
    }

    pub(super) async fn delete(&self, queue: QueueName, message: &QueuedMessage) -> anyhow::Result<()> {
        let url = self.url(queue).await?.context("the spill queue has no dead-letter queue")?;
        let deleted = self.client.delete_message().queue_url(url).receipt_handle(&message.id).send().await;
        deleted.map(drop).map_err(failed)
    }

    /// All visible messages, by their ids; and whether that was all.
    async fn receive_all(&self, url: &str) -> (HashMap<String, Message>, anyhow::Result<()>) {
        let mut messages = HashMap::new();
        loop {
            let receive = self.client.receive_message().queue_url(url).visibility_timeout(HIDDEN);
            let receive = receive.max_number_of_messages(10).wait_time_seconds(WAIT);
            let receive = receive.message_system_attribute_names(MessageSystemAttributeName::SentTimestamp);
            let received = match receive.send().await {
                Ok(received) => received.messages.unwrap_or_default(),
                Err(error) => return (messages, Err(failed(error))),
            };
            let before = messages.len();
            for message in received {
                messages.insert(message.message_id.clone().unwrap_or_default(), message);
            }
            // Nothing, or nothing but what came again.
            if messages.len() == before {
                return (messages, Ok(()));
            }
        }
    }

    async fn release(&self, url: &str, messages: &HashMap<String, Message>) -> anyhow::Result<()> {
        let receipts: Vec<_> =
            messages.values().filter_map(|message| message.receipt_handle.clone()).collect();
        for receipts in receipts.chunks(limits::BATCH_MESSAGES) {
            let entry = |(index, receipt): (usize, &String)| {
                let entry = ChangeMessageVisibilityBatchRequestEntry::builder().id(index.to_string());
                entry.receipt_handle(receipt).visibility_timeout(0).build()
            };
            let entries = receipts.iter().enumerate().map(entry).collect::<Result<_, _>>()?;
            let call = self.client.change_message_visibility_batch().queue_url(url);
            call.set_entries(Some(entries)).send().await.map_err(failed)?;
        }
        Ok(())
    }

    /// The queue's URL; none for the dead-letter queue of a queue without one.
    async fn url(&self, queue: QueueName) -> anyhow::Result<Option<String>> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Policy {
            dead_letter_target_arn: String,
        }
        if queue == QueueName::Spill {
            return Ok(Some(self.spill.clone()));
        }
        let Some(policy) = self.attribute(&self.spill, QueueAttributeName::RedrivePolicy).await? else {
            return Ok(None);
        };
        let policy: Policy = serde_json::from_str(&policy).context("the spill queue's redrive policy")?;
        let name = policy.dead_letter_target_arn.rsplit(':').next().unwrap_or_default();
        let found = self.client.get_queue_url().queue_name(name).send().await.map_err(failed)?;
        Ok(found.queue_url)
    }

    async fn attribute(&self, url: &str, name: QueueAttributeName) -> anyhow::Result<Option<String>> {
        let call = self.client.get_queue_attributes().queue_url(url).attribute_names(name.clone());
        let found = call.send().await.map_err(failed).with_context(|| format!("the queue `{url}`"))?;
        Ok(found.attributes.and_then(|mut attributes| attributes.remove(&name)))
    }
}

fn queued(message: Message) -> Option<QueuedMessage> {
    let sent = message.attributes?.remove(&MessageSystemAttributeName::SentTimestamp)?;
    let sent = Timestamp::from_unix_ms(sent.parse().ok()?);
    Some(QueuedMessage { id: message.receipt_handle?, body: message.body?, sent })
}
