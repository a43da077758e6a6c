//! The spill queue and its dead-letter queue: messages with a visibility time-out and a count of receives, as SQS
//! keeps them.

use std::time::Duration;

use ingest_fn::{SpillFailure, SpillMessage, SpillQueue};
use operate::deployment::{QueueName, QueuedMessage};
use rusqlite::{Connection, Transaction, named_params, params};
use shared::limits;
use shared::time::{Clock, Timestamp};

use super::{Database, DatabaseError};

/// The queue's name, and its dead-letter queue's.
const SPILL: &str = "spill";
const DEAD: &str = "spill-dead";

/// The queue, for sending and for receiving.
#[derive(Clone, Debug)]
pub struct EmbeddedQueue {
    database: Database,
    clock: Clock,
}

/// What a queue promises about its messages.
#[derive(Clone, Copy, Debug)]
pub struct Delivery {
    /// How long a message that was received stays hidden.
    pub visibility: Duration,
    /// A message that was received so often goes to the dead-letter queue instead: `maxReceiveCount`.
    pub receives: u32,
}

/// A message that was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Names it for as long as it exists.
    pub id: String,
    /// What was sent.
    pub body: String,
    /// How often it was received, this time included.
    pub receives: u32,
    /// When it was sent, in Unix milliseconds.
    pub sent_ms: i64,
}

/// What is in the two queues.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Messages in the spill queue, hidden ones among them.
    pub waiting: u64,
    /// Messages in the dead-letter queue.
    pub dead: u64,
}

impl EmbeddedQueue {
    /// The queue in `database`.
    pub fn new(database: Database, clock: Clock) -> Self {
        Self { database, clock }
    }

    /// At most 10 visible messages, the oldest first, whose bodies come to no more than `bytes`, or else one. They are
    /// hidden for a while, and come again unless they are deleted.
    pub async fn receive(&self, bytes: usize, delivery: Delivery) -> Result<Vec<Received>, DatabaseError> {
        let now = self.clock.now();
        let hidden_until = now.plus(delivery.visibility).unix_ms();
        let now = now.unix_ms();
        // Most of the time there is nothing, and to find that out needs no transaction that writes.
        let visible = self.database.call(move |connection| {
            let mut any = connection.prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM messages WHERE queue = ?1 AND visible_ms <= ?2)",
            )?;
            any.query_row(params![SPILL, now], |row| row.get(0))
        });
        if !visible.await? {
            return Ok(Vec::new());
        }
        let received = self.database.write(move |transaction| {
            bury(transaction, now, delivery.receives)?;
            let received = oldest(transaction, now, bytes)?;
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

    /// Deletes messages that are done.
    pub async fn delete(&self, ids: Vec<String>) -> Result<(), DatabaseError> {
        self.database
            .write(move |transaction| {
                ids.iter().try_for_each(|id| {
                    transaction.execute("DELETE FROM messages WHERE id = ?1", [id]).map(drop)
                })
            })
            .await
    }

    /// The messages of a queue, hidden ones among them, in their order. They are not received by it.
    pub async fn messages(&self, queue: QueueName) -> Result<Vec<QueuedMessage>, DatabaseError> {
        let queue = match queue {
            QueueName::Spill => SPILL,
            QueueName::Dead => DEAD,
        };
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

    /// Makes hidden messages visible: for a start, when nobody can be at work on them.
    pub async fn release(&self) -> Result<(), DatabaseError> {
        let release = |transaction: &Transaction<'_>| {
            transaction.execute("UPDATE messages SET visible_ms = 0 WHERE queue = ?1", [SPILL]).map(drop)
        };
        self.database.write(release).await
    }

    /// What is in the two queues.
    pub async fn left(&self) -> Result<Left, DatabaseError> {
        self.database
            .call(|connection| {
                let mut count =
                    connection.prepare_cached("SELECT count(*) FROM messages WHERE queue = ?1")?;
                let mut count = |queue| count.query_row([queue], |row| row.get::<_, i64>(0));
                let (waiting, dead) = (count(SPILL)?, count(DEAD)?);
                Ok(Left { waiting: waiting.unsigned_abs(), dead: dead.unsigned_abs() })
            })
            .await
    }
}

/// Moves visible messages that were received too often to the dead-letter queue, as they are.
fn bury(transaction: &Transaction<'_>, now: i64, receives: u32) -> rusqlite::Result<()> {
    let buried = transaction.execute(
        "UPDATE messages SET queue = :dead, visible_ms = 0 WHERE queue = :spill AND visible_ms <= :now AND receives >= :receives",
        named_params! {":dead": DEAD, ":spill": SPILL, ":now": now, ":receives": receives},
    )?;
    if buried > 0 {
        tracing::error!(
            messages = buried,
            "messages were received {receives} times in vain: they lie in the dead-letter queue"
        );
    }
    Ok(())
}

fn oldest(transaction: &Transaction<'_>, now: i64, bytes: usize) -> rusqlite::Result<Vec<Received>> {
    let mut select = transaction.prepare_cached(
        "SELECT id, body, receives + 1, sent_ms FROM messages WHERE queue = ?1 AND visible_ms <= ?2 ORDER BY id",
    )?;
    let mut rows = select.query(params![SPILL, now])?;
    let (mut received, mut sum) = (Vec::new(), 0);
    while received.len() < limits::BATCH_MESSAGES
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

impl SpillQueue for EmbeddedQueue {
    async fn send(&self, messages: &[SpillMessage]) -> Vec<Result<(), SpillFailure>> {
        let bytes: usize = messages.iter().map(|message| message.body().len()).sum();
        if messages.len() > limits::BATCH_MESSAGES || bytes > limits::MESSAGE_BYTES {
            // As SQS does: the whole call is refused.
            let failure = SpillFailure(format!("a call of {} messages and {bytes} bytes", messages.len()));
            return vec![Err(failure); messages.len()];
        }
        let bodies: Vec<_> = messages.iter().map(|message| message.body().to_owned()).collect();
        let now = self.clock.now().unix_ms();
        let sent = self.database.write(move |transaction| {
            let mut insert = transaction.prepare_cached(
                "INSERT INTO messages (queue, body, sent_ms, visible_ms) VALUES (?1, ?2, ?3, ?3)",
            )?;
            bodies.iter().try_for_each(|body| insert.execute(params![SPILL, body, now]).map(drop))
        });
        let sent = sent.await.map_err(|error| SpillFailure(error.to_string()));
        vec![sent; messages.len()]
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;

    const DELIVERY: Delivery = Delivery { visibility: Duration::from_secs(10), receives: 2 };

    /// A queue, and the clock's milliseconds.
    fn queue() -> (tempfile::TempDir, EmbeddedQueue, Arc<AtomicI64>) {
        let folder = tempfile::tempdir().unwrap();
        let now = Arc::new(AtomicI64::new(0));
        let of_clock = Arc::clone(&now);
        let clock = Clock::new(move || Timestamp::from_unix_ms(of_clock.load(Ordering::Relaxed)));
        let database = Database::open(&folder.path().join("queue.sqlite")).unwrap();
        (folder, EmbeddedQueue::new(database, clock), now)
    }

    async fn send(queue: &EmbeddedQueue, keys: &[&str]) {
        let messages: Vec<_> = keys.iter().map(|key| SpillMessage::of(key, &["{}"])).collect();
        assert!(queue.send(&messages).await.iter().all(Result::is_ok));
    }

    /// Receives; the messages' ids.
    async fn receive(queue: &EmbeddedQueue, bytes: usize) -> Vec<String> {
        queue.receive(bytes, DELIVERY).await.unwrap().into_iter().map(|message| message.id).collect()
    }

    #[tokio::test]
    async fn a_message_that_was_received_is_hidden_and_comes_again_unless_it_is_deleted() {
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
    async fn looking_at_a_queue_changes_nothing_in_it() {
        let (_folder, queue, now) = queue();
        now.store(7, Ordering::Relaxed);
        send(&queue, &["a", "b"]).await;
        assert_eq!(receive(&queue, 1).await, ["1"]);
        for _ in 0..2 {
            let seen = queue.messages(QueueName::Spill).await.unwrap();
            let ids: Vec<_> =
                seen.iter().map(|message| (message.id.as_str(), message.sent.unix_ms())).collect();
            assert_eq!(ids, [("1", 7), ("2", 7)], "a hidden one, and one that is not");
            assert_eq!(seen[1].body, SpillMessage::of("b", &["{}"]).body());
        }
        assert_eq!(queue.messages(QueueName::Dead).await.unwrap(), []);
        assert_eq!(receive(&queue, 1_000).await, ["2"]);
    }

    #[tokio::test]
    async fn a_receive_has_ten_messages_and_the_bytes_it_may_at_most() {
        let (_folder, queue, _now) = queue();
        send(&queue, &["a"; 10]).await;
        send(&queue, &["a"; 3]).await;
        assert_eq!(receive(&queue, 1).await.len(), 1, "one there is always");
        assert_eq!(receive(&queue, 1_000_000).await.len(), 10);
        queue.release().await.unwrap();
        let body = SpillMessage::of("a", &["{}"]).body().len();
        assert_eq!(receive(&queue, 3 * body).await.len(), 3);
    }

    #[tokio::test]
    async fn a_call_beyond_the_limits_is_refused_as_a_whole() {
        let (_folder, queue, _now) = queue();
        let message = SpillMessage::of("a", &["{}"]);
        assert!(queue.send(&vec![message; 11]).await.iter().all(Result::is_err));
        assert_eq!(queue.left().await.unwrap(), Left::default());
    }
}
