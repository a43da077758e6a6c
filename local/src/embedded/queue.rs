//! The spill queue, the dispatch queue and their dead-letter queues. As in SQS, a message has a visibility time-out and a count of receives.

use std::time::Duration;

use consumer_fn::dispatch::{DispatchFailure, DispatchQueue, OutgoingDispatch};
use dispatch_fn::Inbox;
use dispatch_fn::inbox::InboxFailure;
use ingest_fn::{SpillFailure, SpillMessage, SpillQueue};
use operate::deployment::{QueueName, QueuedMessage};
use rusqlite::{Connection, Transaction, named_params, params};
use shared::format::dispatch_message::DispatchMessage;
use shared::limits;
use shared::time::{Clock, Timestamp};

use super::database::Database;
use super::error::DatabaseError;

/// A queue with its dead-letter queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalQueue {
    Spill,
    Dispatch,
}

impl LocalQueue {
    /// As its messages name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Spill => "spill",
            Self::Dispatch => "dispatch",
        }
    }

    fn dead(self) -> &'static str {
        match self {
            Self::Spill => "spill-dead",
            Self::Dispatch => "dispatch-dead",
        }
    }
}

#[derive(Clone)]
pub struct EmbeddedQueue {
    pub queue: LocalQueue,
    pub database: Database,
    pub clock: Clock,
}

/// How a queue repeats messages.
#[derive(Clone, Copy, Debug)]
pub struct Delivery {
    /// How long a received message stays hidden.
    pub visibility: Duration,
    /// `maxReceiveCount`: after so many receives, a message goes to the dead-letter queue.
    pub receives: u32,
    /// The most messages in a batch.
    pub messages: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    pub id: String,
    pub body: String,
    /// How often it was received, including this time.
    pub receives: u32,
    /// In Unix milliseconds.
    pub sent_ms: i64,
}

/// The number of messages in the two queues.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// In the queue, including hidden ones.
    pub waiting: u64,
    /// In the dead-letter queue.
    pub dead: u64,
}

impl EmbeddedQueue {
    /// The visible messages of a batch, the oldest first. Their bodies have at most `bytes` together, unless it is one
    /// message. They become visible again after the visibility time-out, unless they are deleted.
    pub async fn receive(&self, bytes: usize, delivery: Delivery) -> Result<Vec<Received>, DatabaseError> {
        let now = self.clock.now();
        let hidden_until = now.plus(delivery.visibility).unix_ms();
        let now = now.unix_ms();
        // Most of the time the queue is empty. A read finds that out without a write transaction.
        let queue = self.queue;
        let visible = self.database.call(move |connection| {
            let mut any = connection.prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM messages WHERE queue = ?1 AND visible_ms <= ?2)",
            )?;
            any.query_row(params![queue.name(), now], |row| row.get(0))
        });
        if !visible.await? {
            return Ok(Vec::new());
        }
        let received = self.database.write(move |transaction| {
            move_dead_letters(transaction, queue, now, delivery.receives)?;
            let received = oldest(transaction, queue, now, bytes, delivery.messages)?;
            for message in &received {
                transaction.execute(
                    "UPDATE messages SET visible_ms = ?2, receives = receives + 1 WHERE id = ?1",
                    params![message.id, hidden_until],
                )?;
            }
            Ok(received)
        });
        received.await
    }

    pub async fn delete(&self, ids: Vec<String>) -> Result<(), DatabaseError> {
        self.database
            .write(move |transaction| {
                ids.iter().try_for_each(|id| {
                    transaction.execute("DELETE FROM messages WHERE id = ?1", [id]).map(drop)
                })
            })
            .await
    }

    /// The messages of a queue in order, including hidden ones. This does not count as a receive.
    pub async fn messages(&self, queue: QueueName) -> Result<Vec<QueuedMessage>, DatabaseError> {
        let queue = named(queue);
        let look = move |connection: &mut Connection| {
            let mut select = connection
                .prepare_cached("SELECT id, body, sent_ms FROM messages WHERE queue = ?1 ORDER BY id")?;
            let rows = select.query_map([queue], |row| {
                let id: i64 = row.get(0)?;
                let sent = Timestamp::from_unix_ms(row.get(2)?);
                Ok(QueuedMessage { id: id.to_string(), body: row.get(1)?, sent })
            });
            rows?.collect()
        };
        self.database.call(look).await
    }

    /// Makes hidden messages visible. Called at the start, when no process can be working on them.
    pub async fn release(&self) -> Result<(), DatabaseError> {
        let queue = self.queue.name();
        let release = move |transaction: &Transaction<'_>| {
            transaction.execute("UPDATE messages SET visible_ms = 0 WHERE queue = ?1", [queue]).map(drop)
        };
        self.database.write(release).await
    }

    pub async fn left(&self) -> Result<Left, DatabaseError> {
        let queue = self.queue;
        self.database
            .call(move |connection| {
                let mut count =
                    connection.prepare_cached("SELECT count(*) FROM messages WHERE queue = ?1")?;
                let mut count = |queue| count.query_row([queue], |row| row.get::<_, i64>(0));
                let (waiting, dead) = (count(queue.name())?, count(queue.dead())?);
                Ok(Left { waiting: waiting.unsigned_abs(), dead: dead.unsigned_abs() })
            })
            .await
    }
}

/// As its messages name it.
fn named(queue: QueueName) -> &'static str {
    match queue {
        QueueName::Spill => LocalQueue::Spill.name(),
        QueueName::SpillDead => LocalQueue::Spill.dead(),
        QueueName::Dispatch => LocalQueue::Dispatch.name(),
        QueueName::DispatchDead => LocalQueue::Dispatch.dead(),
    }
}

/// Moves visible messages that were received too often to the dead-letter queue.
fn move_dead_letters(
    transaction: &Transaction<'_>,
    queue: LocalQueue,
    now: i64,
    receives: u32,
) -> rusqlite::Result<()> {
    let moved = transaction.execute(
        "UPDATE messages SET queue = :dead, visible_ms = 0 WHERE queue = :queue AND visible_ms <= :now AND receives >= :receives",
        named_params! {":dead": queue.dead(), ":queue": queue.name(), ":now": now, ":receives": receives},
    )?;
    if moved > 0 {
        tracing::error!(
            messages = moved,
            queue = queue.name(),
            "messages failed {receives} times and were moved to the dead-letter queue"
        );
    }
    Ok(())
}

fn oldest(
    transaction: &Transaction<'_>,
    queue: LocalQueue,
    now: i64,
    bytes: usize,
    messages: usize,
) -> rusqlite::Result<Vec<Received>> {
    let mut select = transaction.prepare_cached(
        "SELECT id, body, receives + 1, sent_ms FROM messages WHERE queue = ?1 AND visible_ms <= ?2 ORDER BY id",
    )?;
    let mut rows = select.query(params![queue.name(), now])?;
    let (mut received, mut sum) = (Vec::new(), 0);
    while received.len() < messages
        && let Some(row) = rows.next()?
    {
        let id: i64 = row.get(0)?;
        let message =
            Received { id: id.to_string(), body: row.get(1)?, receives: row.get(2)?, sent_ms: row.get(3)? };
        sum += message.body.len();
        if !received.is_empty() && sum > bytes {
            break;
        }
        received.push(message);
    }
    Ok(received)
}

impl Received {
    /// Names this receive of the message.
    pub(crate) fn receipt(&self) -> String {
        format!("{}-{}", self.id, self.receives)
    }
}

impl EmbeddedQueue {
    /// Sends the messages of one call: all or none. Like SQS, it refuses a call over the limits as a whole.
    async fn send_bodies(&self, queue: &'static str, bodies: Vec<String>) -> Result<(), String> {
        let bytes: usize = bodies.iter().map(String::len).sum();
        if bodies.len() > limits::BATCH_MESSAGES || bytes > limits::MESSAGE_BYTES {
            return Err(format!("a call of {} messages and {bytes} bytes", bodies.len()));
        }
        let now = self.clock.now().unix_ms();
        let sent = self.database.write(move |transaction| {
            let mut insert = transaction.prepare_cached(
                "INSERT INTO messages (queue, body, sent_ms, visible_ms) VALUES (?1, ?2, ?3, ?3)",
            )?;
            bodies.iter().try_for_each(|body| insert.execute(params![queue, body, now]).map(drop))
        });
        sent.await.map_err(|error| error.to_string())
    }

    /// Puts a message into any of the queues, as an operator does.
    pub(crate) async fn send_to(&self, queue: QueueName, body: String) -> Result<(), String> {
        self.send_bodies(named(queue), vec![body]).await
    }

    /// Puts a message into the queue again, as an operator does.
    pub(crate) async fn send_again(&self, body: String) -> Result<(), String> {
        self.send_bodies(self.queue.name(), vec![body]).await
    }
}

impl SpillQueue for EmbeddedQueue {
    async fn send(&self, messages: &[SpillMessage]) -> Vec<Result<(), SpillFailure>> {
        let bodies = messages.iter().map(|message| message.body().to_owned()).collect();
        let sent = self.send_bodies(self.queue.name(), bodies).await.map_err(SpillFailure);
        vec![sent; messages.len()]
    }
}

impl DispatchQueue for EmbeddedQueue {
    async fn send(&self, messages: &[OutgoingDispatch]) -> Vec<Result<(), DispatchFailure>> {
        let bodies = messages.iter().map(|message| message.body.clone()).collect();
        let sent = self.send_bodies(self.queue.name(), bodies).await.map_err(DispatchFailure);
        vec![sent; messages.len()]
    }
}

impl Inbox for EmbeddedQueue {
    async fn postpone(&self, receipt: &str, wait: Duration) -> Result<(), InboxFailure> {
        let until = self.clock.now().plus(wait).unix_ms();
        let receipt = receipt.to_owned();
        let changed = self.database.write(move |transaction| {
            let (id, receives) = receipt.split_once('-').unwrap_or_default();
            // A message that was received again has another receipt.
            let update = "UPDATE messages SET visible_ms = ?3 WHERE id = ?1 AND receives = ?2";
            transaction.execute(update, params![id, receives, until])
        });
        match changed.await {
            Ok(1) => Ok(()),
            Ok(_) => Err(InboxFailure("the receipt is not valid any more".to_owned())),
            Err(error) => Err(InboxFailure(error.to_string())),
        }
    }

    async fn dead_letter(&self, message: &DispatchMessage) -> Result<(), InboxFailure> {
        self.send_bodies(self.queue.dead(), vec![message.body()]).await.map_err(InboxFailure)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;

    const DELIVERY: Delivery = Delivery { visibility: Duration::from_secs(10), receives: 2, messages: 10 };

    /// A queue and its clock, in Unix milliseconds.
    fn queue() -> (tempfile::TempDir, EmbeddedQueue, Arc<AtomicI64>) {
        let folder = tempfile::tempdir().unwrap();
        let now = Arc::new(AtomicI64::new(0));
        let of_clock = Arc::clone(&now);
        let clock = Clock::new(move || Timestamp::from_unix_ms(of_clock.load(Ordering::Relaxed)));
        let database = Database::open(&folder.path().join("queue.sqlite")).unwrap();
        (folder, EmbeddedQueue { queue: LocalQueue::Spill, database, clock }, now)
    }

    async fn send(queue: &EmbeddedQueue, keys: &[&str]) {
        let messages: Vec<_> = keys.iter().map(|key| SpillMessage::of(key, &["{}"])).collect();
        assert!(SpillQueue::send(queue, &messages).await.iter().all(Result::is_ok));
    }

    /// Receives messages and returns their ids.
    async fn receive(queue: &EmbeddedQueue, bytes: usize) -> Vec<String> {
        queue.receive(bytes, DELIVERY).await.unwrap().into_iter().map(|message| message.id).collect()
    }

    #[tokio::test]
    async fn a_received_message_is_hidden_and_repeated_unless_it_is_deleted() {
        let (_folder, queue, now) = queue();
        send(&queue, &["a", "b"]).await;
        assert_eq!(receive(&queue, 1_000).await, ["1", "2"]);
        assert!(receive(&queue, 1_000).await.is_empty());
        queue.delete(vec!["1".to_owned()]).await.unwrap();
        now.store(10_000, Ordering::Relaxed);
        assert_eq!(receive(&queue, 1_000).await, ["2"]);
        assert_eq!(queue.left().await.unwrap(), Left { waiting: 1, dead: 0 });
    }

    #[tokio::test]
    async fn a_message_received_too_often_goes_to_the_dead_letter_queue_with_its_body() {
        let (_folder, queue, now) = queue();
        send(&queue, &["a"]).await;
        for _ in 0..2 {
            assert_eq!(receive(&queue, 1_000).await, ["1"]);
            now.fetch_add(10_000, Ordering::Relaxed);
        }
        assert!(receive(&queue, 1_000).await.is_empty());
        assert_eq!(queue.left().await.unwrap(), Left { waiting: 0, dead: 1 });
        let body = queue.database.call(|connection| {
            connection.query_row("SELECT body FROM messages", [], |row| row.get::<_, String>(0))
        });
        assert_eq!(body.await.unwrap(), SpillMessage::of("a", &["{}"]).body());
    }

    #[tokio::test]
    async fn listing_a_queue_changes_nothing_in_it() {
        let (_folder, queue, now) = queue();
        now.store(7, Ordering::Relaxed);
        send(&queue, &["a", "b"]).await;
        assert_eq!(receive(&queue, 1).await, ["1"]);
        for _ in 0..2 {
            let seen = queue.messages(QueueName::Spill).await.unwrap();
            let ids: Vec<_> =
                seen.iter().map(|message| (message.id.as_str(), message.sent.unix_ms())).collect();
            assert_eq!(ids, [("1", 7), ("2", 7)], "a hidden and a visible message");
            assert_eq!(seen[1].body, SpillMessage::of("b", &["{}"]).body());
        }
        assert_eq!(queue.messages(QueueName::SpillDead).await.unwrap(), []);
        assert_eq!(receive(&queue, 1_000).await, ["2"]);
    }

    #[tokio::test]
    async fn a_receive_returns_at_most_ten_messages_and_the_given_bytes() {
        let (_folder, queue, _now) = queue();
        send(&queue, &["a"; 10]).await;
        send(&queue, &["a"; 3]).await;
        assert_eq!(receive(&queue, 1).await.len(), 1, "at least one message");
        assert_eq!(receive(&queue, 1_000_000).await.len(), 10);
        queue.release().await.unwrap();
        let body = SpillMessage::of("a", &["{}"]).body().len();
        assert_eq!(receive(&queue, 3 * body).await.len(), 3);
    }

    #[tokio::test]
    async fn a_call_over_the_limits_is_refused_as_a_whole() {
        let (_folder, queue, _now) = queue();
        let message = SpillMessage::of("a", &["{}"]);
        assert!(SpillQueue::send(&queue, &vec![message; 11]).await.iter().all(Result::is_err));
        assert_eq!(queue.left().await.unwrap(), Left::default());
    }

    #[tokio::test]
    async fn a_postponed_message_is_hidden_until_then_and_an_old_receipt_hides_nothing() {
        let (_folder, queue, now) = queue();
        send(&queue, &["a"]).await;
        let received = queue.receive(1_000, DELIVERY).await.unwrap();
        queue.postpone(&received[0].receipt(), Duration::from_secs(3)).await.unwrap();
        now.store(2_999, Ordering::Relaxed);
        assert!(receive(&queue, 1_000).await.is_empty());
        now.store(3_000, Ordering::Relaxed);
        assert_eq!(receive(&queue, 1_000).await, ["1"]);
        let late = queue.postpone(&received[0].receipt(), Duration::from_secs(3)).await;
        assert_eq!(late.unwrap_err().to_string(), "the receipt is not valid any more");
    }

    #[tokio::test]
    async fn the_two_queues_do_not_see_each_others_messages() {
        let (_folder, spill, _now) = queue();
        let dispatch = EmbeddedQueue { queue: LocalQueue::Dispatch, ..spill.clone() };
        send(&spill, &["a"]).await;
        assert_eq!(dispatch.left().await.unwrap(), Left::default());
        dispatch.send_again("b".to_owned()).await.unwrap();
        assert_eq!(receive(&spill, 1_000).await, ["1"]);
        assert_eq!(receive(&dispatch, 1_000).await, ["2"]);
        dispatch.release().await.unwrap();
        assert!(receive(&spill, 1_000).await.is_empty());
    }
}
