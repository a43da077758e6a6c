//! Writes that share a transaction: what comes while one is under way goes with the next.
//!
//! To end a transaction costs a copy of every page that it touched, however little was written there. A transaction for
//! each write would cost the door more than anything else it does.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, Transaction, TransactionBehavior, ffi};
use tokio::sync::oneshot;

use super::DatabaseError;

/// What waits to be written.
#[derive(Default)]
pub(super) struct Writes(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    writes: Vec<Box<dyn Write>>,
    /// Whether somebody is at work on them.
    is_drained: bool,
}

/// What comes back for work that gives a `T`.
pub(super) type Answer<T> = oneshot::Receiver<Result<T, DatabaseError>>;

/// Work and who waits for it, whatever it gives.
trait Write: Send {
    /// Does the work. Returns whether it is to be kept.
    fn run(&mut self, transaction: &Transaction<'_>) -> bool;
    /// Tells whether the transaction was committed, to whoever waits.
    fn answer(self: Box<Self>, committed: Result<(), &rusqlite::Error>);
}

struct Work<T, W> {
    todo: Option<W>,
    /// What it gave; nothing also if it panicked.
    given: Option<rusqlite::Result<T>>,
    answer: oneshot::Sender<Result<T, DatabaseError>>,
}

impl Writes {
    /// Takes in `work`. Whoever is told `true` must call [`Writes::drain`], on a thread that may block.
    pub(super) fn enter<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> (bool, Answer<T>) {
        let (sender, answer) = oneshot::channel();
        let mut waiting = self.lock();
        waiting.writes.push(Box::new(Work { todo: Some(work), given: None, answer: sender }));
        (!std::mem::replace(&mut waiting.is_drained, true), answer)
    }

    /// Writes until nothing waits.
    pub(super) fn drain(&self, connection: &Mutex<Connection>) {
        while let Some(mut writes) = self.next() {
            let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            let committed = commit(&mut connection, &mut writes);
            drop(connection);
            for write in writes {
                write.answer(committed.as_ref().copied());
            }
        }
    }

    /// All that waits; if nothing does, whoever comes next has to see to it.
    fn next(&self) -> Option<Vec<Box<dyn Write>>> {
        let mut waiting = self.lock();
        waiting.is_drained = !waiting.writes.is_empty();
        waiting.is_drained.then(|| std::mem::take(&mut waiting.writes))
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Writes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Writes").field("waiting", &self.lock().writes.len()).finish()
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

impl<T, W> Write for Work<T, W>
where
    T: Send,
    W: FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send,
{
    fn run(&mut self, transaction: &Transaction<'_>) -> bool {
        let Some(work) = self.todo.take() else { return false };
        // Its neighbours are written, also if it panics.
        self.given = catch_unwind(AssertUnwindSafe(|| work(transaction))).ok();
        matches!(self.given, Some(Ok(_)))
    }

    fn answer(self: Box<Self>, committed: Result<(), &rusqlite::Error>) {
        let answer = match (self.given, committed) {
            (Some(Err(own)), _) => Err(own.into()),
            (_, Err(shared)) => Err(copy(shared).into()),
            (Some(Ok(given)), Ok(())) => Ok(given),
            (None, Ok(())) => Err(DatabaseError::Unfinished),
        };
        // Whoever has stopped waiting needs no answer.
        let _ = self.answer.send(answer);
    }
}

/// An error for each of those that it hits; the code, which tells whether the file was busy, is kept.
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
    fn what_waits_together_is_committed_together_and_in_order() {
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
        assert!(writes.enter(insert("b")).0, "nobody drains any more");
    }

    #[test]
    fn a_write_that_fails_or_panics_is_undone_and_its_neighbours_are_not() {
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
    fn whoever_waits_hears_that_another_process_holds_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let (connection, other) = (open(&folder), open(&folder));
        other.lock().unwrap().execute_batch("BEGIN IMMEDIATE").unwrap();
        let writes = Writes::default();
        let answers = [writes.enter(insert("a")).1, writes.enter(insert("b")).1];
        writes.drain(&connection);
        for answer in answers {
            assert!(answer.blocking_recv().unwrap().unwrap_err().is_busy());
        }
        assert_eq!(rows(&connection.lock().unwrap()), Vec::<String>::new());
    }

    #[test]
    fn a_transaction_that_is_rolled_back_whole_takes_nobody_for_written() {
        let folder = tempfile::tempdir().unwrap();
        let connection = open(&folder);
        let writes = Writes::default();
        let (_, before) = writes.enter(insert("a"));
        let (_, ends_it) =
            writes.enter(|transaction| transaction.execute("INSERT OR ROLLBACK INTO rows VALUES ('a')", []));
        let (_, behind) = writes.enter(insert("b"));
        writes.drain(&connection);
        for answer in [before, ends_it, behind] {
            assert!(matches!(answer.blocking_recv().unwrap(), Err(DatabaseError::Sqlite(_))));
        }
        assert_eq!(rows(&connection.lock().unwrap()), Vec::<String>::new());
    }
}
