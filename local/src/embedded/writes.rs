//! Lets writes share a transaction: writes that come while a transaction is in progress share the next one.
//!
//! A commit copies every page that the transaction touched, however little was written to it. With a transaction for
//! each write, commits would be the largest cost of ingest.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use rusqlite::{Connection, Transaction, TransactionBehavior, ffi};
use tokio::sync::oneshot;

use super::error::DatabaseError;
use crate::lock;

#[derive(Default)]
pub(super) struct Writes(Mutex<PendingWrites>);

#[derive(Default)]
struct PendingWrites {
    writes: Vec<Box<dyn Write>>,
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
        let mut pending = lock(&self.0);
        pending.writes.push(Box::new(PendingWrite { work: Some(work), returned: None, result: sender }));
        (!std::mem::replace(&mut pending.is_drained, true), result)
    }

    /// Writes until no write is pending.
    pub(super) fn drain(&self, connection: &Mutex<Connection>) {
        while let Some(mut writes) = self.next() {
            let mut connection = lock(connection);
            let committed = commit(&mut connection, &mut writes);
            drop(connection);
            for write in writes {
                write.finish(committed.as_ref().copied());
            }
        }
    }

    /// All pending writes. If there are none, the caller of the next [`Writes::enter`] must drain.
    fn next(&self) -> Option<Vec<Box<dyn Write>>> {
        let mut pending = lock(&self.0);
        pending.is_drained = !pending.writes.is_empty();
        pending.is_drained.then(|| std::mem::take(&mut pending.writes))
    }
}

fn commit(connection: &mut Connection, writes: &mut [Box<dyn Write>]) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let execute = |sql| transaction.prepare_cached(sql)?.execute([]).map(drop);
    for write in writes {
        execute("SAVEPOINT work")?;
        if !write.run(&transaction) {
            execute("ROLLBACK TO work")?;
        }
        // Fails, and ends the loop, if an error made SQLite roll back the whole transaction.
        execute("RELEASE work")?;
    }
    transaction.commit()
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
