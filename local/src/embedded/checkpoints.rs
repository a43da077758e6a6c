//! How far the event source mapping has processed each shard.

use rusqlite::{OptionalExtension, params};

use super::database::Database;
use crate::event_source_mapping::ports::Checkpoints;

#[derive(Clone)]
pub struct EmbeddedCheckpoints(pub Database);

impl Checkpoints for EmbeddedCheckpoints {
    async fn load(&self, shard: &str) -> anyhow::Result<Option<String>> {
        let shard = shard.to_owned();
        let loaded = self.0.call(move |connection| {
            connection
                .query_row("SELECT sequence_number FROM checkpoints WHERE shard = ?1", [shard], |row| {
                    row.get(0)
                })
                .optional()
        });
        Ok(loaded.await?)
    }

    async fn save(&self, shard: &str, sequence_number: &str) -> anyhow::Result<()> {
        let (shard, sequence_number) = (shard.to_owned(), sequence_number.to_owned());
        let saved = self.0.write(move |transaction| {
            transaction.execute(
                "INSERT INTO checkpoints VALUES (?1, ?2) ON CONFLICT DO UPDATE SET sequence_number = excluded.sequence_number",
                params![shard, sequence_number],
            )
        });
        saved.await?;
        Ok(())
    }
}
