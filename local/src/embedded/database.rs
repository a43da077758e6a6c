//! One SQLite file for everything except objects.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rusqlite::types::{Type, Value};
use rusqlite::{Connection, Transaction, TransactionBehavior, params_from_iter};
use shared::format::item::Attribute;

use super::error::DatabaseError;
use super::writes::Writes;
use crate::lock;

/// Columns have the names of the attributes in DynamoDB, where there is one.
const SCHEMA: &str = include_str!("schema.sql");
/// The version of [`SCHEMA`] and of what its columns mean: also of the content hash. The file stores it as `user_version`.
const SCHEMA_VERSION: i64 = 9;
/// A writer waits up to ten seconds for another process: it retries this often, with a [`BUSY_PAUSE`] between.
const BUSY_RETRIES: i32 = 10_000;
const BUSY_PAUSE: Duration = Duration::from_millis(1);
/// The item of a 1 KB event takes 2.4 KB: a page of 8192 bytes holds three, a page of 4096 only one.
const PAGE_BYTES: u32 = 8192;
/// SQLite's default is 1,000.
const AUTO_CHECKPOINT_PAGES: u32 = 16_384;

/// A connection to the file. Clones share it. Open a second one for work that must not wait.
#[derive(Clone)]
pub struct Database(Arc<SharedConnection>);

struct SharedConnection {
    connection: Mutex<Connection>,
    writes: Writes,
}

/// An attribute as its column's value.
pub(super) fn value(attribute: Attribute) -> Value {
    match attribute {
        Attribute::Text(text) => Value::Text(text),
        Attribute::Number(number) => Value::Integer(number),
        Attribute::Flag(flag) => Value::Integer(flag.into()),
    }
}

/// Inserts a row with these attributes, as `insert` and `on_conflict` say. Returns the number of rows: 0 or 1.
pub(super) fn insert_row(
    transaction: &Transaction<'_>,
    insert: &str,
    attributes: impl IntoIterator<Item = (&'static str, Attribute)>,
    on_conflict: &str,
) -> rusqlite::Result<usize> {
    let (names, values): (Vec<_>, Vec<_>) = attributes.into_iter().unzip();
    let (columns, marks) = (names.join(", "), vec!["?"; names.len()].join(", "));
    let insert = format!("{insert} ({columns}) VALUES ({marks}) {on_conflict}");
    transaction.prepare_cached(&insert)?.execute(params_from_iter(values.into_iter().map(value)))
}

/// The error of a column whose text cannot be read.
pub(super) fn unreadable(
    column: usize,
    error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, error.into())
}

/// SQLite's own busy handler sleeps up to 100 ms at a time, but ingest has only 120 ms for a put.
fn wait(retries: i32) -> bool {
    std::thread::sleep(BUSY_PAUSE);
    retries < BUSY_RETRIES
}

/// SQLite would create the file with permissions for others.
fn create_private(path: &Path) -> io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        // An existing file must not be opened here: closing it would release SQLite's locks of other connections.
        _created_or_exists => Ok(()),
    }
}

impl Database {
    /// Opens the file. Creates it, with its tables, if it does not exist.
    pub fn open(path: &Path) -> Result<Self, DatabaseError> {
        create_private(path)?;
        let mut connection = Connection::open(path)?;
        connection.busy_handler(Some(wait))?;
        // Has an effect on a new file only.
        connection.pragma_update(None, "page_size", PAGE_BYTES)?;
        // WAL: readers do not wait for a writer, even in another process. NORMAL: a commit survives `kill -9` of this
        // process, without an fsync for each.
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        // Only for commands without a run: see `log.rs`.
        connection.pragma_update(None, "wal_autocheckpoint", AUTO_CHECKPOINT_PAGES)?;
        // Each write is a savepoint (`writes.rs`): a copy of each page that it changes, which would go to a temporary file.
        connection.pragma_update(None, "temp_store", "MEMORY")?;

        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let found: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
        match found {
            0 => {
                transaction.execute_batch(SCHEMA)?;
                transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
            }
            SCHEMA_VERSION => {}
            found => {
                let path = path.display().to_string();
                return Err(DatabaseError::Schema { path, found, expected: SCHEMA_VERSION });
            }
        }
        transaction.commit()?;
        Ok(Self(Arc::new(SharedConnection { connection: Mutex::new(connection), writes: Writes::default() })))
    }

    /// How many transactions of [`Self::write`] were committed. The count rises before their results are known.
    pub(crate) fn commits(&self) -> u64 {
        self.0.writes.commits()
    }

    /// Runs `work` on the connection, on a thread that may block.
    pub async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, DatabaseError> {
        let database = self.clone();
        let finished = tokio::task::spawn_blocking(move || {
            let mut connection = lock(&database.0.connection);
            work(&mut connection)
        });
        Ok(finished.await.map_err(|_| DatabaseError::Unfinished)??)
    }

    /// Runs `work` in a write transaction, on a thread that may block. Concurrent writes share a transaction, because a
    /// commit costs the same for one write as for fifty. If `work` fails, only its own writes are undone.
    pub async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, DatabaseError> {
        let (must_drain, result) = self.0.writes.enter(work);
        if must_drain {
            let database = self.clone();
            tokio::task::spawn_blocking(move || database.0.writes.drain(&database.0.connection));
        }
        result.await.unwrap_or(Err(DatabaseError::Unfinished))
    }
}
