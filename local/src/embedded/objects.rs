//! The bucket: a folder, with the metadata of archive objects in the database.

use std::fmt::Display;

use bytes::Bytes;
use rusqlite::{OptionalExtension, params};
use shared::digest::sha256;
use shared::objects::{Created, FoundObject, ObjectFailure, ObjectStore};
use shared::origin::ShardPosition;

use super::database::Database;
use super::folder::Folder;

/// The objects are in a folder, their metadata in the database.
#[derive(Clone)]
pub struct EmbeddedObjects {
    pub folder: Folder,
    pub database: Database,
}

impl EmbeddedObjects {
    /// Writes metadata before its object, so that a reader of the object always finds it. The row names the object's
    /// checksum: the metadata of a writer that died, or came second, does not count for another object.
    async fn write_covers_end(
        &self,
        key: &str,
        bytes: &Bytes,
        end: &ShardPosition,
    ) -> Result<(), ObjectFailure> {
        let (row_key, sha256) = (key.to_owned(), sha256(bytes));
        let (sequence_number, position) = (end.sequence_number.clone(), end.position);
        let written = self.database.write(move |transaction| {
            transaction.execute(
                "INSERT INTO object_metadata VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
                params![row_key, sha256, &*sequence_number, position],
            )
        });
        written.await.map(drop).map_err(failure(key))
    }
}

impl EmbeddedObjects {
    /// Replaces an archive object by what an erasure has left of it. A reader finds one of the two, with the end of what it covers.
    pub(crate) async fn replace(
        &self,
        key: &str,
        bytes: Bytes,
        covers_end: Option<&ShardPosition>,
    ) -> Result<(), ObjectFailure> {
        let (row_key, sha256) = (key.to_owned(), sha256(&bytes));
        if let Some(end) = covers_end {
            self.write_covers_end(key, &bytes, end).await?;
        }
        self.folder.replace(key, bytes).await.map_err(failure(key))?;
        let delete = self.database.write(move |transaction| {
            let delete = "DELETE FROM object_metadata WHERE key = ?1 AND sha256 <> ?2";
            transaction.execute(delete, params![row_key, sha256])
        });
        delete.await.map(drop).map_err(failure(key))
    }
}

impl ObjectStore for EmbeddedObjects {
    async fn put_if_absent(
        &self,
        key: &str,
        bytes: Bytes,
        covers_end: Option<&ShardPosition>,
    ) -> Result<Created, ObjectFailure> {
        if let Some(end) = covers_end {
            self.write_covers_end(key, &bytes, end).await?;
        }
        let is_new = self.folder.create(key, bytes).await.map_err(failure(key))?;
        Ok(if is_new { Created::New } else { Created::Existed })
    }

    async fn put(&self, key: &str, bytes: Bytes) -> Result<(), ObjectFailure> {
        self.folder.replace(key, bytes).await.map_err(failure(key))
    }

    async fn find(&self, key: &str) -> Result<Option<FoundObject>, ObjectFailure> {
        let Some(bytes) = self.get(key).await? else { return Ok(None) };
        let (row_key, sha256) = (key.to_owned(), sha256(&bytes));
        let covers_end = self.database.call(move |connection| {
            connection
                .query_row(
                    "SELECT end_sequence_number, end_position FROM object_metadata WHERE key = ?1 AND sha256 = ?2",
                    params![row_key, sha256],
                    |row| Ok(ShardPosition { sequence_number: row.get(0)?, position: row.get(1)? }),
                )
                .optional()
        });
        Ok(Some(FoundObject { bytes, covers_end: covers_end.await.map_err(failure(key))? }))
    }

    async fn get_range(
        &self,
        key: &str,
        offset: usize,
        length: usize,
    ) -> Result<Option<Bytes>, ObjectFailure> {
        self.folder.get_range(key, offset, length).await.map_err(failure(key))
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>, ObjectFailure> {
        self.folder.get(key).await.map_err(failure(key))
    }
}

fn failure<E: Display>(key: &str) -> impl FnOnce(E) -> ObjectFailure {
    let key = key.to_owned();
    move |error| ObjectFailure(format!("`{key}`: {error}"))
}
