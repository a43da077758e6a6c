//! Copies SQLite's write-ahead log into the database file, on a connection and a thread of its own. By default, the commit of every
//! thousandth page does it, and the requests in that commit wait for the disk.

use std::time::Duration;

use rusqlite::Connection;

use super::database::Database;
use crate::guard::Guard;

/// Between two copies.
const PAUSE: Duration = Duration::from_millis(500);
/// A log of so many pages (64 MiB) is begun anew. Without load, SQLite does that itself; under load, it finds no moment in which
/// everything is copied.
const LONG: i64 = 8_192;
/// How long writers may wait for that, besides the copy of the last few pages.
const PATIENCE: Duration = Duration::from_millis(5);

pub(crate) struct WriteAheadLog {
    pub(crate) database: Database,
    /// Nothing is copied while there is a fault: the file may be another one.
    pub(crate) guard: Guard,
}

impl WriteAheadLog {
    pub(crate) async fn run(self) {
        loop {
            self.guard.healthy().await;
            // While this fails, the log grows. If it cannot grow, no event can be stored, and that is reported.
            let _failed = self.database.call(|connection| copy(connection, LONG)).await;
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Returns how many pages the log has.
fn copy(connection: &mut Connection, long: i64) -> rusqlite::Result<i64> {
    let pages = checkpoint(connection, "PASSIVE")?;
    if pages < long {
        return Ok(pages);
    }
    connection.busy_timeout(PATIENCE)?;
    checkpoint(connection, "RESTART")
}

/// In the mode `PASSIVE`, no writer waits. In `RESTART`, writers wait until the rest is copied and nothing reads from the log.
fn checkpoint(connection: &Connection, mode: &str) -> rusqlite::Result<i64> {
    connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| row.get("log"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// More pages than SQLite's default would leave in the log.
    const MEGABYTES: u64 = 10;

    #[tokio::test]
    async fn a_commit_copies_nothing_and_a_long_log_is_begun_anew_while_others_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.sqlite");
        let (requests, copier) = (Database::open(&path).unwrap(), Database::open(&path).unwrap());
        let write = || {
            requests.write(|transaction| {
                transaction.execute_batch("CREATE TABLE IF NOT EXISTS blobs (bytes BLOB)")?;
                let insert = format!("INSERT INTO blobs VALUES (zeroblob({}))", MEGABYTES << 20);
                transaction.execute(&insert, [])
            })
        };
        let bytes = || std::fs::metadata(&path).unwrap().len();
        write().await.unwrap();
        assert!(bytes() < 1 << 20, "nothing is copied yet");

        let reader = Connection::open(&path).unwrap();
        reader.execute_batch("BEGIN; SELECT count(*) FROM blobs").unwrap();
        let pages = copier.call(|connection| copy(connection, 1)).await.unwrap();
        assert!(bytes() > MEGABYTES << 20, "{pages} pages are copied, although there is a reader");
        reader.execute_batch("COMMIT").unwrap();

        copier.call(|connection| copy(connection, 1)).await.unwrap();
        write().await.unwrap();
        let after = copier.call(|connection| copy(connection, LONG)).await.unwrap();
        assert!(after < pages + 10, "the log began anew: {after} pages after {pages}");
    }
}
