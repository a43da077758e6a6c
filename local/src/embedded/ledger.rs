//! The ledger table: one row for each shard, and one for each archive object.

use std::fmt::Display;

use consumer_fn::Attribute;
use consumer_fn::ledger::{Intent, Ledger, LedgerFailure, Progress, Written};
use operate::deployment::{ManifestPart, NotedRow, UnreadableRow};
use rusqlite::types::Value;
use rusqlite::{OptionalExtension, Row, params};
use shared::format::key;
use shared::format::manifest_row::ManifestRow;
use shared::origin::ShardPosition;

use super::database::{Database, insert_row};

#[derive(Clone)]
pub struct EmbeddedLedger(pub Database);

impl Ledger for EmbeddedLedger {
    async fn read(&self, shard: &str) -> Result<Progress, LedgerFailure> {
        let (name, shard) = (shard, shard.to_owned());
        let read = self.0.call(move |connection| {
            let mut select = connection.prepare_cached(
                "SELECT version, committed_end_sequence_number, committed_end_position, intent_key, intent_sequence_number, intent_position FROM ledger WHERE shard = ?1",
            )?;
            // A row that cannot be read is not a failure of the store.
            select.query_row([shard], |row| Ok(progress(row))).optional()
        });
        let row = read.await.map_err(|error| LedgerFailure::NoAnswer(error.to_string()))?;
        let unreadable =
            |error| LedgerFailure::Unreadable(format!("the ledger row of `{name}` cannot be read: {error}"));
        row.transpose().map_err(unreadable).map(Option::unwrap_or_default)
    }

    async fn write(&self, shard: &str, progress: &Progress) -> Result<Written, LedgerFailure> {
        let (shard, progress) = (shard.to_owned(), progress.clone());
        let written = self.0.write(move |transaction| {
            let committed = progress.committed_end.as_ref();
            let intent = progress.intent.as_ref();
            // Version 1 is written only if there is no row.
            transaction.execute(
                "INSERT INTO ledger SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7 WHERE ?2 - 1 = coalesce((SELECT version FROM ledger WHERE shard = ?1), 0)
                 ON CONFLICT DO UPDATE SET version = excluded.version, committed_end_sequence_number = excluded.committed_end_sequence_number, committed_end_position = excluded.committed_end_position,
                 intent_key = excluded.intent_key, intent_sequence_number = excluded.intent_sequence_number, intent_position = excluded.intent_position",
                params![
                    shard,
                    progress.version,
                    committed.map(|end| &*end.sequence_number),
                    committed.map(|end| end.position),
                    intent.map(|intent| &intent.key),
                    intent.map(|intent| &*intent.from.sequence_number),
                    intent.map(|intent| intent.from.position),
                ],
            )
        });
        let rows = written.await.map_err(|error| LedgerFailure::NoAnswer(error.to_string()))?;
        Ok(if rows == 1 { Written::Done } else { Written::Conflict })
    }

    async fn note(&self, shard: &str, row: &ManifestRow) -> Result<(), LedgerFailure> {
        let keys = [("pk", key::ledger_partition(shard)), ("sk", sort(&row.first))];
        let keys = keys.map(|(name, key)| (name, Attribute::Text(key)));
        let attributes: Vec<_> = keys.into_iter().chain(row.attributes()).collect();
        let written = self.0.write(move |transaction| {
            insert_row(transaction, "INSERT OR REPLACE INTO manifest", attributes, "")
        });
        written.await.map(drop).map_err(|error| LedgerFailure::NoAnswer(error.to_string()))
    }
}

/// The sort key of the row that starts at this position.
fn sort(position: &ShardPosition) -> String {
    key::manifest_sort(&position.sequence_number, position.position)
}

impl EmbeddedLedger {
    /// At most `limit` rows of a shard's manifest.
    pub async fn manifest(
        &self,
        shard: &str,
        part: ManifestPart<'_>,
        limit: usize,
    ) -> anyhow::Result<Vec<NotedRow>> {
        let (condition, key, limit) = match part {
            ManifestPart::After(after) => ("sk > ?2 ORDER BY sk", after.map_or(String::new(), sort), limit),
            // Without an end: a key after that of every row.
            ManifestPart::Before(end) => {
                ("sk < ?2 ORDER BY sk DESC", end.map_or_else(|| "object0".to_owned(), sort), limit)
            }
            ManifestPart::At(position) => ("sk <= ?2 ORDER BY sk DESC", sort(position), 1),
        };
        let query = format!("SELECT * FROM manifest WHERE pk = ?1 AND {condition} LIMIT ?3");
        let partition = key::ledger_partition(shard);
        let rows = self.0.call(move |connection| {
            let mut select = connection.prepare_cached(&query)?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let read = |row: &Row<'_>| Ok(noted(row));
            select.query_map(params![partition, key, limit], read)?.collect::<Result<Vec<_>, _>>()
        });
        Ok(rows.await?)
    }
}

pub(super) fn noted(row: &Row<'_>) -> NotedRow {
    let unreadable = |why: &dyn Display| {
        let [partition, sort] = ["pk", "sk"].map(|name| row.get::<_, String>(name).unwrap_or_default());
        UnreadableRow::new(&partition, &sort, why)
    };
    ManifestRow::read(|name| attribute(row, name)).map_err(|why| unreadable(&why))
}

pub(super) fn attribute(row: &Row<'_>, name: &str) -> Option<Attribute> {
    match row.get(name).ok()? {
        Value::Text(text) => Some(Attribute::Text(text)),
        Value::Integer(number) => Some(Attribute::Number(number)),
        _ => None,
    }
}

fn progress(row: &Row<'_>) -> rusqlite::Result<Progress> {
    let position = |column| {
        let sequence_number: Option<String> = row.get(column)?;
        let position: Option<u32> = row.get(column + 1)?;
        Ok::<_, rusqlite::Error>(
            sequence_number.zip(position).map(|(number, position)| ShardPosition::new(number, position)),
        )
    };
    let key: Option<String> = row.get(3)?;
    Ok(Progress {
        version: row.get(0)?,
        committed_end: position(1)?,
        intent: key.zip(position(4)?).map(|(key, from)| Intent { key, from }),
    })
}

#[cfg(test)]
mod tests {
    use shared::format::manifest_row::TenantIndex;
    use shared::time::Timestamp;

    use super::*;

    #[tokio::test]
    async fn only_one_of_two_writers_of_a_version_succeeds() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = EmbeddedLedger(Database::open(&folder.path().join("ledger.sqlite")).unwrap());
        assert_eq!(ledger.read("a").await.unwrap(), Progress::default());

        let from = ShardPosition::new("95", 2);
        let first = Progress {
            version: 1,
            committed_end: None,
            intent: Some(Intent { key: "events/x".to_owned(), from: from.clone() }),
        };
        let second = Progress { version: 2, committed_end: Some(from), intent: None };
        assert_eq!(ledger.write("a", &second).await, Ok(Written::Conflict), "version 1 must come first");
        assert_eq!(ledger.write("a", &first).await, Ok(Written::Done));
        assert_eq!(ledger.write("a", &first).await, Ok(Written::Conflict), "a repeated write");
        assert_eq!(ledger.read("a").await.unwrap(), first);
        assert_eq!(ledger.write("a", &second).await, Ok(Written::Done));
        assert_eq!(ledger.read("a").await.unwrap(), second);
        assert_eq!(ledger.read("b").await.unwrap(), Progress::default());
    }

    #[tokio::test]
    async fn the_manifest_of_a_shard_is_read_in_order_and_in_pages() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = EmbeddedLedger(Database::open(&folder.path().join("ledger.sqlite")).unwrap());
        let row = |first: &str, before: &str| ManifestRow {
            key: format!("events/{first}"),
            first: ShardPosition::new(first, 0),
            end: ShardPosition::new(before, 1),
            bytes: 1,
            sha256: "ab".to_owned(),
            lines: 1,
            received_at: [Timestamp::from_unix_ms(1), Timestamp::from_unix_ms(2)],
            tenants: TenantIndex::Sidecar("manifests/x".to_owned()),
        };
        let rows = [row("9", "10"), row("11", "99"), row("100", "101")];
        for row in rows.iter().rev() {
            ledger.note("a", row).await.unwrap();
        }
        ledger.note("b", &row("1", "2")).await.unwrap();
        let read = async |part| {
            let rows = ledger.manifest("a", part, 2).await.unwrap();
            rows.into_iter().collect::<Result<Vec<_>, _>>().unwrap()
        };
        assert_eq!(read(ManifestPart::After(None)).await, rows[..2]);
        assert_eq!(read(ManifestPart::After(Some(&rows[1].first))).await, rows[2..]);
        assert_eq!(read(ManifestPart::After(Some(&rows[2].first))).await, []);
        let back = rows.iter().rev().cloned().collect::<Vec<_>>();
        assert_eq!(read(ManifestPart::Before(None)).await, back[..2]);
        assert_eq!(read(ManifestPart::Before(Some(&back[1].first))).await, back[2..]);
        assert_eq!(read(ManifestPart::Before(Some(&back[2].first))).await, []);
        let [before, within] = ["8", "9"].map(|number| ShardPosition::new(number, 3));
        assert_eq!(read(ManifestPart::At(&before)).await, []);
        assert_eq!(read(ManifestPart::At(&within)).await, rows[..1]);
        assert_eq!(read(ManifestPart::At(&rows[1].first)).await, rows[1..2]);
    }
}
