//! The bucket as the functions see it: claim checks from ingest, archive, quarantine and failures from behind.

use bytes::Bytes;
use consumer_fn::ShardPosition;
use consumer_fn::objects::{Created, Found, ObjectFailure, ObjectStore};
use ingest_fn::payload::{PayloadFailure, PayloadStore};
use rusqlite::{OptionalExtension, params};
use shared::digest::sha256;

use super::{Database, Folder};
use crate::event_source_mapping::FailureRecord;
use crate::event_source_mapping::ports::FailureDestination;

/// Objects in a folder, their metadata in the database.
#[derive(Clone, Debug)]
pub struct EmbeddedObjects {
    /// The bucket.
    pub folder: Folder,
    /// Where metadata lies.
    pub database: Database,
}

impl EmbeddedObjects {
    /// Metadata is written before the object: an object is never seen without it. It names the bytes it belongs to,
    /// so what a dead or beaten writer left behind speaks for no other object.
    async fn write_covers(
        &self,
        key: &str,
        bytes: &Bytes,
        before: &ShardPosition,
    ) -> Result<(), ObjectFailure> {
        let (key, sha256) = (key.to_owned(), sha256(bytes));
        let (sequence_number, position) = (before.sequence_number.clone(), before.position);
        let written = self.database.write(move |transaction| {
            transaction.execute(
                "INSERT INTO object_metadata VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
                params![key, sha256, &*sequence_number, position],
            )
        });
        written.await.map(drop).map_err(|error| ObjectFailure(error.to_string()))
    }
}

impl ObjectStore for EmbeddedObjects {
    async fn put_if_absent(
        &self,
        key: &str,
        bytes: Bytes,
        covers_before: Option<&ShardPosition>,
    ) -> Result<Created, ObjectFailure> {
        if let Some(before) = covers_before {
            self.write_covers(key, &bytes, before).await?;
        }
        let created = self.folder.create(key, bytes).await;
        created
            .map(|new| if new { Created::New } else { Created::Existed })
            .map_err(|error| ObjectFailure(error.to_string()))
    }

    async fn put(&self, key: &str, bytes: Bytes) -> Result<(), ObjectFailure> {
        self.folder.replace(key, bytes).await.map_err(|error| ObjectFailure(error.to_string()))
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>, ObjectFailure> {
        self.folder.get(key).await.map_err(|error| ObjectFailure(error.to_string()))
    }

    async fn find(&self, key: &str) -> Result<Option<Found>, ObjectFailure> {
        let Some(bytes) = self.get(key).await? else { return Ok(None) };
        let (key, sha256) = (key.to_owned(), sha256(&bytes));
        let covers_before = self.database.call(move |connection| {
            connection
                .query_row(
                    "SELECT before_sequence_number, before_position FROM object_metadata WHERE key = ?1 AND sha256 = ?2",
                    params![key, sha256],
                    |row| {
                        let sequence_number: String = row.get(0)?;
                        Ok(ShardPosition::new(sequence_number, row.get(1)?))
                    },
                )
                .optional()
        });
        let covers_before = covers_before.await.map_err(|error| ObjectFailure(error.to_string()))?;
        Ok(Some(Found { bytes, covers_before }))
    }
}

impl PayloadStore for EmbeddedObjects {
    async fn put_if_absent(&self, key: &str, bytes: Bytes) -> Result<(), PayloadFailure> {
        let created = self.folder.create(key, bytes).await;
        created.map(drop).map_err(|error| PayloadFailure { key: key.to_owned(), problem: error.to_string() })
    }
}

impl FailureDestination for EmbeddedObjects {
    async fn keep(&self, record: &FailureRecord) -> anyhow::Result<()> {
        let json = serde_json::to_vec(record)?;
        self.folder.replace(&record.object_key, json.into()).await?;
        Ok(())
    }
}
