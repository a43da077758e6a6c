//! The slot counter of dispatch: one row.

use std::time::Duration;

use dispatch_fn::SlotCounter;
use dispatch_fn::slots::{CounterFailure, Micros, Slot, next};
use rusqlite::{OptionalExtension, Transaction, params};

use super::database::Database;
use super::error::DatabaseError;

const ROW: &str = "dispatch";

#[derive(Clone)]
pub struct EmbeddedSlots(pub Database);

impl SlotCounter for EmbeddedSlots {
    async fn take(&self, now: Micros, latest: Micros, interval: Duration) -> Result<Slot, CounterFailure> {
        let taken = self.0.write(move |transaction| {
            let (slot, free) = next(read(transaction)?, now, latest, interval);
            if let (Slot::At(_), Some(free)) = (slot, free) {
                write(transaction, free)?;
            }
            Ok(slot)
        });
        taken.await.map_err(|error| failure(&error))
    }

    async fn pause(&self, until: Micros) -> Result<(), CounterFailure> {
        let paused = self.0.write(move |transaction| match read(transaction)? {
            Some(free) if free >= until => Ok(()),
            _ => write(transaction, until),
        });
        paused.await.map_err(|error| failure(&error))
    }
}

fn read(transaction: &Transaction<'_>) -> rusqlite::Result<Option<Micros>> {
    let mut select = transaction.prepare_cached("SELECT next_slot FROM rate WHERE pk = ?1")?;
    select.query_row([ROW], |row| row.get(0).map(Micros)).optional()
}

fn write(transaction: &Transaction<'_>, free: Micros) -> rusqlite::Result<()> {
    let mut replace =
        transaction.prepare_cached("INSERT OR REPLACE INTO rate (pk, next_slot) VALUES (?1, ?2)")?;
    replace.execute(params![ROW, free.0]).map(drop)
}

fn failure(error: &DatabaseError) -> CounterFailure {
    CounterFailure(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_millis(50);

    #[tokio::test]
    async fn two_connections_take_different_slots_and_a_pause_holds_for_both() {
        let folder = tempfile::tempdir().unwrap();
        let open = || EmbeddedSlots(Database::open(&folder.path().join("slots.sqlite")).unwrap());
        let (one, other) = (open(), open());
        let take =
            async |slots: &EmbeddedSlots| slots.take(Micros(1_000), Micros(101_000), INTERVAL).await.unwrap();
        assert_eq!(take(&one).await, Slot::At(Micros(1_000)));
        assert_eq!(take(&other).await, Slot::At(Micros(51_000)));
        assert_eq!(take(&one).await, Slot::At(Micros(101_000)));
        assert_eq!(take(&other).await, Slot::NotBefore(Micros(151_000)));
        one.pause(Micros(120_000)).await.unwrap();
        assert_eq!(take(&other).await, Slot::NotBefore(Micros(151_000)), "a pause never moves it back");
        one.pause(Micros(900_000)).await.unwrap();
        assert_eq!(take(&other).await, Slot::NotBefore(Micros(900_000)));
    }
}
