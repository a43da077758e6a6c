//! The spill queue, the dispatch queue, and their dead-letter queues.
//!
//! SQS has no call to read a message without receiving it. So a look receives all messages and makes them visible again.
//! It counts as one of the receives after which a message becomes a dead letter, and while it runs the drain or the dispatcher
//! does not get these messages. If the queue is too long for one look, the rest is only counted.

use std::collections::HashMap;
use std::future::Future;
use std::slice;
use std::time::Duration;

use anyhow::Context;
use aws_config::SdkConfig;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, Message, MessageSystemAttributeName, QueueAttributeName,
};
use operate::deployment::{Messages, QueueName, QueuedMessage};
use shared::limits;
use shared::time::Timestamp;
use tokio::time::Instant;

use super::DispatchQueues;
use crate::doctor::queue::redrive_policy;
use crate::error::described;

/// Seconds for which a received message stays hidden if this process dies.
const HIDDEN: i32 = 60;
/// The longest look. It must end before its first messages are visible again.
const LOOK: Duration = Duration::from_secs(45);
/// About how many bytes of messages are held in memory.
const BYTES: usize = 256 * 1024 * 1024;
/// Seconds to wait for messages. With a wait, SQS looks on all of its servers.
const WAIT: i32 = 1;

#[derive(Debug)]
pub(super) struct Queues {
    client: Client,
    spill: String,
    dispatch: Option<DispatchQueues>,
}

impl Queues {
    pub(super) fn new(sdk: &SdkConfig, spill: String, dispatch: Option<DispatchQueues>) -> Self {
        Self { client: Client::new(sdk), spill, dispatch }
    }

    pub(super) async fn dispatch_again(&self, body: String) -> anyhow::Result<()> {
        let url = &self.dispatch.as_ref().context("the deployment has no dispatch queue")?.queue;
        let sent = self.client.send_message().queue_url(url).message_body(body).send().await;
        sent.map(drop).map_err(described)
    }

    /// Puts a message into any of the queues.
    pub(super) async fn send(&self, queue: QueueName, body: String) -> anyhow::Result<()> {
        let url = self.url(queue).await?.context("the deployment has no such queue")?;
        let sent = self.client.send_message().queue_url(url).message_body(body).send().await;
        sent.map(drop).map_err(described)
    }

    pub(super) async fn messages(&self, queue: QueueName) -> anyhow::Result<Messages> {
        let Some(url) = self.url(queue).await? else { return Ok(Messages::default()) };
        let depth = depth(&self.client, &url).await?;
        let (messages, end) = look(|| self.receive(&url), BYTES, Instant::now() + LOOK).await;
        self.release(&url, &messages).await?;
        let hidden = not_looked_at(end?, depth, messages.len() as u64);
        let mut seen: Vec<QueuedMessage> = messages.into_values().filter_map(queued).collect();
        seen.sort_by(|a, b| (a.sent, &a.id).cmp(&(b.sent, &b.id)));
        Ok(Messages { seen, hidden })
    }

    pub(super) async fn delete(&self, queue: QueueName, message: &QueuedMessage) -> anyhow::Result<()> {
        let url = self.url(queue).await?.context("the deployment has no such queue")?;
        let deleted = self.client.delete_message().queue_url(url).receipt_handle(&message.id).send().await;
        deleted.map(drop).map_err(described)
    }

    async fn receive(&self, url: &str) -> anyhow::Result<Vec<Message>> {
        let receive = self.client.receive_message().queue_url(url).visibility_timeout(HIDDEN);
        let receive = receive.max_number_of_messages(10).wait_time_seconds(WAIT);
        let receive = receive.message_system_attribute_names(MessageSystemAttributeName::SentTimestamp);
        Ok(receive.send().await.map_err(described)?.messages.unwrap_or_default())
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
            call.set_entries(Some(entries)).send().await.map_err(described)?;
        }
        Ok(())
    }

    /// `None` if there is no such queue.
    async fn url(&self, queue: QueueName) -> anyhow::Result<Option<String>> {
        match queue {
            QueueName::Spill => return Ok(Some(self.spill.clone())),
            QueueName::Dispatch => return Ok(self.dispatch.as_ref().map(|queues| queues.queue.clone())),
            QueueName::DispatchDead => {
                return Ok(self.dispatch.as_ref().map(|queues| queues.dead_letters.clone()));
            }
            QueueName::SpillDead => {}
        }
        let Some(policy) = self.attribute(&self.spill, QueueAttributeName::RedrivePolicy).await? else {
            return Ok(None);
        };
        let policy = redrive_policy(&policy).context("the spill queue's redrive policy")?;
        let name = policy.target.rsplit(':').next().unwrap_or_default();
        let found = self.client.get_queue_url().queue_name(name).send().await.map_err(described)?;
        Ok(found.queue_url)
    }

    async fn attribute(&self, url: &str, name: QueueAttributeName) -> anyhow::Result<Option<String>> {
        Ok(attributes(&self.client, url, slice::from_ref(&name)).await?.remove(&name))
    }
}

/// About how many messages a queue has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Depth {
    /// Waiting.
    visible: u64,
    /// In progress.
    hidden: u64,
}

impl Depth {
    pub(crate) fn all(self) -> u64 {
        self.visible + self.hidden
    }
}

pub(crate) async fn depth(client: &Client, url: &str) -> anyhow::Result<Depth> {
    use QueueAttributeName::{
        ApproximateNumberOfMessages as Visible, ApproximateNumberOfMessagesNotVisible as Hidden,
    };
    let found = attributes(client, url, &[Visible, Hidden]).await?;
    let count = |name| found.get(&name).and_then(|count| count.parse().ok()).unwrap_or_default();
    Ok(Depth { visible: count(Visible), hidden: count(Hidden) })
}

async fn attributes(
    client: &Client,
    url: &str,
    names: &[QueueAttributeName],
) -> anyhow::Result<HashMap<QueueAttributeName, String>> {
    let call = client.get_queue_attributes().queue_url(url).set_attribute_names(Some(names.to_vec()));
    let found = call.send().await.map_err(described).with_context(|| format!("the queue `{url}`"))?;
    Ok(found.attributes.unwrap_or_default())
}

/// Why a look ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// There were no more messages.
    Empty,
    /// It took too long or too much memory.
    TooMuch,
}

/// Receives until an answer is empty. SQS may deliver a message twice, so an answer with known messages alone is not the
/// end. The look ends before messages become visible again. Returns the messages by id, also those before an error.
async fn look<F>(
    mut receive: impl FnMut() -> F,
    most: usize,
    until: Instant,
) -> (HashMap<String, Message>, anyhow::Result<End>)
where
    F: Future<Output = anyhow::Result<Vec<Message>>>,
{
    let (mut messages, mut bytes) = (HashMap::new(), 0);
    let end = loop {
        if bytes > most || Instant::now() >= until {
            break Ok(End::TooMuch);
        }
        match receive().await {
            Ok(received) if received.is_empty() => break Ok(End::Empty),
            Ok(received) => {
                for message in received {
                    bytes += message.body.as_ref().map_or(0, String::len);
                    messages.insert(message.message_id.clone().unwrap_or_default(), message);
                }
            }
            Err(error) => break Err(error),
        }
    };
    (messages, end)
}

/// About how many messages were not seen, of those at the beginning.
fn not_looked_at(end: End, depth: Depth, seen: u64) -> u64 {
    match end {
        End::Empty => depth.hidden,
        End::TooMuch => depth.all().saturating_sub(seen).max(1),
    }
}

fn queued(message: Message) -> Option<QueuedMessage> {
    let sent = message.attributes?.remove(&MessageSystemAttributeName::SentTimestamp)?;
    let sent = Timestamp::from_unix_ms(sent.parse().ok()?);
    Some(QueuedMessage { id: message.receipt_handle?, body: message.body?, sent })
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    fn message(id: &str, bytes: usize) -> Message {
        Message::builder().message_id(id).body("x".repeat(bytes)).build()
    }

    /// The number of seen messages and the end of a look at a queue. Each call takes a second.
    async fn looked(calls: &[&[(&str, usize)]]) -> (usize, anyhow::Result<End>) {
        let mut calls: VecDeque<_> = calls.iter().collect();
        let receive = || {
            let call = calls.pop_front().copied().unwrap_or_default();
            async move {
                tokio::time::sleep(Duration::from_secs(1)).await;
                Ok::<Vec<_>, anyhow::Error>(call.iter().map(|(id, bytes)| message(id, *bytes)).collect())
            }
        };
        let (messages, end) = look(receive, 100, Instant::now() + LOOK).await;
        (messages.len(), end)
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_ends_with_an_empty_answer_and_not_with_known_messages() {
        let (seen, end) = looked(&[&[("a", 1), ("b", 1)], &[("a", 1)], &[("c", 1)], &[], &[("d", 1)]]).await;
        assert_eq!((seen, end.unwrap()), (3, End::Empty));
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_ends_before_its_messages_are_visible_again() {
        assert!(LOOK < Duration::from_secs(HIDDEN.unsigned_abs().into()));
        let (seen, end) = looked(&[&[("a", 1)][..]; 1_000]).await;
        assert_eq!((seen, end.unwrap()), (1, End::TooMuch));
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_ends_when_it_holds_too_many_bytes() {
        let (seen, end) = looked(&[&[("a", 60)], &[("b", 60)], &[("c", 1)]]).await;
        assert_eq!((seen, end.unwrap()), (2, End::TooMuch));
    }

    #[test]
    fn unseen_messages_are_counted() {
        let depth = Depth { visible: 100, hidden: 7 };
        assert_eq!(not_looked_at(End::Empty, depth, 100), 7);
        assert_eq!(not_looked_at(End::TooMuch, depth, 40), 67);
        assert_eq!(not_looked_at(End::TooMuch, depth, 120), 1, "counts are approximate, and there was more");
    }
}
