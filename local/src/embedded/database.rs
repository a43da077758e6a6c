//! One SQLite file for everything that is not an object.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};

/// Tables as they are now. The names of columns are the names of attributes in DynamoDB, where there is one.
const SCHEMA: &str = include_str!("schema.sql");
/// The number of [`SCHEMA`], kept in the file as `user_version`.
const SCHEMA_VERSION: i64 = 2;
/// How long a writer waits for another process to finish its transaction.
const BUSY: Duration = Duration::from_secs(10);

/// A connection to the file. Clones share it; open a second one for work that must not wait.
#[derive(Clone, Debug)]
pub struct Database(Arc<Mutex<Connection>>);

/// Why the file could not be used.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// It was written by another version.
    #[error(
        "`{path}` has schema {found}, this version of Tidegate writes {SCHEMA_VERSION}: start with --reset, or with another --data"
    )]
    Schema {
        /// The file.
        path: String,
        /// The version found in it.
        found: i64,
    },
    /// SQLite's own.
    #[error("SQLite: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The work panicked or was cut off.
    #[error("the work on the database did not finish")]
    Unfinished,
}

impl DatabaseError {
    /// Whether the same call may work later: another process held the file.
    pub fn is_busy(&self) -> bool {
        let Self::Sqlite(error) = self else { return false };
        matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
    }
}

impl Database {
    /// Opens the file, and creates it with its tables if it is not there.
    pub fn open(path: &Path) -> Result<Self, DatabaseError> {
        let mut connection = Connection::open(path)?;
        connection.busy_timeout(BUSY)?;
        // Readers and one writer at a time, across processes. NORMAL: a commit survives this process, which is what
        // `kill -9` asks for, without an fsync each.
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;

        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let found: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
        match found {
            0 => {
                transaction.execute_batch(SCHEMA)?;
                transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
            }
            SCHEMA_VERSION => {}
            found => return Err(DatabaseError::Schema { path: path.display().to_string(), found }),
        }
        transaction.commit()?;
        Ok(Self(Arc::new(Mutex::new(connection))))
    }

    /// Runs `work` on the connection, off the async threads.
    pub async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, DatabaseError> {
        let database = self.clone();
        let finished = tokio::task::spawn_blocking(move || {
            let mut connection = database.0.lock().unwrap_or_else(PoisonError::into_inner);
            work(&mut connection)
        });
        Ok(finished.await.map_err(|_| DatabaseError::Unfinished)??)
    }

    /// Runs `work` in one write transaction, off the async threads. Commits if it succeeds.
    pub async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, DatabaseError> {
        self.call(move |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let result = work(&transaction)?;
            transaction.commit()?;
            Ok(result)
        })
        .await
    }
}
