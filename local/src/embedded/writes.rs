//! Lets writes share a transaction: writes that come while a transaction is in progress share the next one.
//!
//! A commit copies every page that the transaction touched, however little was written to it. With a transaction for
//! each write, commits would be the largest cost of ingest.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rusqlite::{Connection, Transaction, TransactionBehavior, ffi};
use tokio::sync::oneshot;

use super::error::DatabaseError;
use crate::lock;

/// A transaction takes no more writes after this time. Other processes wait for it, and ingest has only 120 ms for a put.
const LONGEST: Duration = Duration::from_millis(4);
/// The pause after a transaction that took as long. Other processes look for the lock once a millisecond, and would not find it free
/// otherwise.
const PAUSE: Duration = Duration::from_millis(2);

#[derive(Default)]
pub(super) struct Writes {
    pending: Mutex<PendingWrites>,
    commits: AtomicU64,
}

#[derive(Default)]
struct PendingWrites {
    writes: VecDeque<Box<dyn Write>>,
    /// Whether a thread is in [`Writes::drain`], or will be.
    is_drained: bool,
}

pub(super) type WriteResult<T> = oneshot::Receiver<Result<T, DatabaseError>>;

/// A write with any result type.
trait Write: Send {
    /// Returns whether the write succeeded; if not, it must be undone.
    fn run(&mut self, transaction: &Transaction<'_>) -> bool;
    /// Sends the result to the caller.
    fn finish(self: Box<Self>, committed: Result<(), &rusqlite::Error>);
}

struct PendingWrite<T, W> {
    work: Option<W>,
    /// `None` before it ran, and if it panicked.
    returned: Option<rusqlite::Result<T>>,
    result: oneshot::Sender<Result<T, DatabaseError>>,
}

impl Writes {
    /// Adds `work`. If this returns `true`, the caller must call [`Writes::drain`] on a thread that may block.
    pub(super) fn enter<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> (bool, WriteResult<T>) {
        let (sender, result) = oneshot::channel();
        let mut pending = lock(&self.pending);
        pending.writes.push_back(Box::new(PendingWrite { work: Some(work), returned: None, result: sender }));
        (!std::mem::replace(&mut pending.is_drained, true), result)
    }

    /// Writes until no write is pending.
    pub(super) fn drain(&self, connection: &Mutex<Connection>) {
        let mut waiting = VecDeque::new();
        while self.has_more(&mut waiting) {
            let mut done = Vec::with_capacity(waiting.len());
            let mut connection = lock(connection);
            let held = commit(&mut connection, &mut waiting, &mut done);
            drop(connection);
            match &held {
                Ok(_) => drop(self.commits.fetch_add(1, Ordering::Release)),
                // An error may have come before the first write ran. It is that of all of them.
                Err(_) => done.extend(waiting.drain(..)),
            }
            let committed = held.as_ref().map(drop);
            for write in done {
                write.finish(committed);
            }
            if held.is_ok_and(|held| held >= PAUSE) {
                std::thread::sleep(PAUSE);
            }
        }
    }

    pub(super) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Acquire)
    }

    /// Adds all pending writes to those that are `waiting`. If there are none, the caller of the next [`Writes::enter`] must drain.
    fn has_more(&self, waiting: &mut VecDeque<Box<dyn Write>>) -> bool {
        let mut pending = lock(&self.pending);
        waiting.append(&mut pending.writes);
        pending.is_drained = !waiting.is_empty();
        pending.is_drained
    }
}

/// Runs writes until none is `waiting`, or for [`LONGEST`]; those that ran are in `done`. Returns how long it had the lock. An error
/// undoes all of them.
fn commit(
    connection: &mut Connection,
    waiting: &mut VecDeque<Box<dyn Write>>,
    done: &mut Vec<Box<dyn Write>>,
) -> rusqlite::Result<Duration> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let begun = Instant::now();
    let execute = |sql| transaction.prepare_cached(sql)?.execute([]).map(drop);
    while let Some(write) = waiting.pop_front_if(|_| done.is_empty() || begun.elapsed() < LONGEST) {
        let write = done.push_mut(write);
        execute("SAVEPOINT work")?;
        if !write.run(&transaction) {
            execute("ROLLBACK TO work")?;
        }
        // Fails, and ends the loop, if an error made SQLite roll back the whole transaction.
        execute("RELEASE work")?;
    }
    transaction.commit().map(|()| begun.elapsed())
}

impl<T, W> Write for PendingWrite<T, W>
where
    T: Send,
    W: FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send,
{
    fn run(&mut self, transaction: &Transaction<'_>) -> bool {
        let Some(work) = self.work.take() else { return false };
        // A panic must not undo the other writes of the transaction.
        self.returned = catch_unwind(AssertUnwindSafe(|| work(transaction))).ok();
        matches!(self.returned, Some(Ok(_)))
    }

    fn finish(self: Box<Self>, committed: Result<(), &rusqlite::Error>) {
        let result = match (self.returned, committed) {
            (Some(Err(own)), _) => Err(own.into()),
            (_, Err(shared)) => Err(copy(shared).into()),
            (Some(Ok(returned)), Ok(())) => Ok(returned),
            (None, Ok(())) => Err(DatabaseError::Unfinished),
        };
        // An error means that the caller has stopped waiting.
        let _ = self.result.send(result);
    }
}

/// `rusqlite::Error` is not `Clone`. The copy has the same code, which says whether the file was busy.
fn copy(error: &rusqlite::Error) -> rusqlite::Error {
    match error {
        rusqlite::Error::SqliteFailure(code, message) => {
            rusqlite::Error::SqliteFailure(*code, message.clone())
        }
        other => {
            let code = ffi::Error::new(ffi::SQLITE_ERROR);
            rusqlite::Error::SqliteFailure(code, Some(other.to_string()))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rusqlite::ErrorCode;

    use super::*;

    fn open(folder: &tempfile::TempDir) -> Mutex<Connection> {
        let connection = Connection::open(folder.path().join("writes.sqlite")).unwrap();
        connection.busy_timeout(Duration::ZERO).unwrap();
        connection.pragma_update(None, "journal_mode", "WAL").unwrap();
        connection.execute_batch("CREATE TABLE IF NOT EXISTS rows (name TEXT PRIMARY KEY)").unwrap();
        Mutex::new(connection)
    }

    fn insert(name: &'static str) -> impl FnOnce(&Transaction<'_>) -> rusqlite::Result<usize> + Send {
        move |transaction| transaction.execute("INSERT INTO rows VALUES (?1)", [name])
    }

    fn rows(connection: &Connection) -> Vec<String> {
        let mut select = connection.prepare("SELECT name FROM rows ORDER BY name").unwrap();
        select.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    }

    #[test]
    fn pending_writes_are_committed_together_and_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let (connection, outside) = (open(&folder), open(&folder));
        let writes = Writes::default();
        let (first_drains, first) = writes.enter(insert("a"));
        let (second_drains, mut second) =
            writes.enter(move |transaction| Ok((rows(transaction), rows(&outside.lock().unwrap()))));
        assert_eq!((first_drains, second_drains), (true, false));
        writes.drain(&connection);
        assert_eq!(first.blocking_recv().unwrap().unwrap(), 1);
        let (inside, outside) = second.try_recv().unwrap().unwrap();
        assert_eq!((inside, outside), (vec!["a".to_owned()], vec![]));
        assert!(writes.enter(insert("b")).0, "the drain has ended");
    }

    #[test]
    fn a_transaction_that_takes_long_leaves_the_other_writes_to_the_next_one() {
        let folder = tempfile::tempdir().unwrap();
        let (connection, outside) = (open(&folder), open(&folder));
        let writes = Writes::default();
        let (_, slow) = writes.enter(|transaction| {
            std::thread::sleep(LONGEST);
            insert("slow")(transaction)
        });
        let (_, next) = writes.enter(move |_| Ok(rows(&outside.lock().unwrap())));
        writes.drain(&connection);
        assert_eq!(slow.blocking_recv().unwrap().unwrap(), 1);
        assert_eq!(next.blocking_recv().unwrap().unwrap(), ["slow"]);
        assert_eq!(writes.commits(), 2);
    }

    #[test]
    fn a_write_that_fails_or_panics_is_undone_and_the_others_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let connection = open(&folder);
        let writes = Writes::default();
        let (_, first) = writes.enter(insert("a"));
        let (_, fails) = writes.enter(|transaction| {
            insert("half")(transaction)?;
            insert("a")(transaction)
        });
        let (_, panics) = writes.enter(|transaction| -> rusqlite::Result<()> {
            insert("half")(transaction)?;
            panic!("by the test")
        });
        let (_, last) = writes.enter(insert("b"));
        writes.drain(&connection);
        assert!(first.blocking_recv().unwrap().is_ok() && last.blocking_recv().unwrap().is_ok());
        assert!(matches!(fails.blocking_recv().unwrap(), Err(DatabaseError::Sqlite(_))));
        assert!(matches!(panics.blocking_recv().unwrap(), Err(DatabaseError::Unfinished)));
        assert_eq!(rows(&connection.lock().unwrap()), ["a", "b"]);
    }

    #[test]
    fn every_caller_gets_the_error_that_another_process_holds_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let (connection, other) = (open(&folder), open(&folder));
        other.lock().unwrap().execute_batch("BEGIN IMMEDIATE").unwrap();
        let writes = Writes::default();
        let results = [writes.enter(insert("a")).1, writes.enter(insert("b")).1];
        writes.drain(&connection);
        for result in results {
            let error = result.blocking_recv().unwrap().unwrap_err();
            let DatabaseError::Sqlite(error) = error else { panic!("{error}") };
            assert_eq!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy));
        }
        assert_eq!(rows(&connection.lock().unwrap()), Vec::<String>::new());
    }

    #[test]
    fn every_write_of_a_rolled_back_transaction_fails() {
        let folder = tempfile::tempdir().unwrap();
        let connection = open(&folder);
        let writes = Writes::default();
        let (_, before) = writes.enter(insert("a"));
        let (_, ends_it) =
            writes.enter(|transaction| transaction.execute("INSERT OR ROLLBACK INTO rows VALUES ('a')", []));
        let (_, after) = writes.enter(insert("b"));
        writes.drain(&connection);
        for result in [before, ends_it, after] {
            assert!(matches!(result.blocking_recv().unwrap(), Err(DatabaseError::Sqlite(_))));
        }
        assert_eq!(rows(&connection.lock().unwrap()), Vec::<String>::new());
    }
}
