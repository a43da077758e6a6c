//! The data folder: one SQLite file and one bucket with everything that a local run stores.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use shared::time::Clock;

use crate::embedded::{Database, EmbeddedObjects, EmbeddedQueue, Folder, LocalQueue, ignore_missing};

/// The bucket: a folder in `s3/`.
pub const BUCKET: &str = "tidegate-local";

pub(crate) const DATABASE: &str = "tidegate.sqlite";

#[derive(Clone, Debug)]
pub struct DataFolder(PathBuf);

/// No other run can use the folder until this is dropped.
#[derive(Debug)]
pub struct DataLock(#[expect(dead_code, reason = "the lock is held for as long as the file is open")] File);

impl DataFolder {
    /// Creates the folder if it does not exist.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(path)
            .with_context(|| format!("the data folder `{}` cannot be created", path.display()))?;
        Ok(Self(path.to_owned()))
    }

    pub fn database_file(&self) -> PathBuf {
        self.0.join(DATABASE)
    }

    pub fn bucket(&self) -> PathBuf {
        self.0.join("s3").join(BUCKET)
    }

    /// Opens a new connection.
    pub fn database(&self) -> anyhow::Result<Database> {
        let file = self.database_file();
        Database::open(&file).with_context(|| format!("`{}` cannot be opened", file.display()))
    }

    pub fn objects(&self) -> anyhow::Result<EmbeddedObjects> {
        let folder = Folder::open(&self.0.join("s3"), BUCKET)
            .with_context(|| format!("the bucket in `{}` cannot be created", self.0.display()))?;
        Ok(EmbeddedObjects { folder, database: self.database()? })
    }

    /// A queue, on a connection of its own.
    pub fn queue(&self, queue: LocalQueue, clock: &Clock) -> anyhow::Result<EmbeddedQueue> {
        Ok(EmbeddedQueue { queue, database: self.database()?, clock: clock.clone() })
    }

    /// Fails if another run uses the folder.
    pub fn lock(&self) -> anyhow::Result<DataLock> {
        let path = self.0.join("lock");
        let file = File::create(&path).with_context(|| format!("`{}` cannot be created", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(DataLock(file)),
            Err(TryLockError::WouldBlock) => bail!(
                "another `tidegate local` uses the data folder `{}`: stop it, or choose another folder with --data",
                self.0.display()
            ),
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("`{}` cannot be locked", path.display()))
            }
        }
    }

    /// Deletes the data of earlier runs, and nothing that Tidegate did not write.
    pub fn reset(&self) -> anyhow::Result<()> {
        for suffix in ["", "-wal", "-shm"] {
            let file = self.0.join(format!("{DATABASE}{suffix}"));
            ignore_missing(std::fs::remove_file(&file))
                .with_context(|| format!("`{}` cannot be deleted", file.display()))?;
        }
        let objects = self.0.join("s3");
        ignore_missing(std::fs::remove_dir_all(&objects))
            .with_context(|| format!("`{}` cannot be deleted", objects.display()))
    }
}
