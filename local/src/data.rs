//! The data folder: one SQLite file and one bucket with everything that a local run stores.

mod claim;

use std::fs::{File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use shared::time::Clock;

use crate::embedded::{
    Database, EmbeddedObjects, EmbeddedQueue, Folder, LocalQueue, create_private_folders, ignore_missing,
};

pub(crate) use claim::note_run;

/// The bucket: a folder in `s3/`.
pub const BUCKET: &str = "tidegate-local";

pub(crate) const DATABASE: &str = "tidegate.sqlite";

/// SQLite gives the other files the permissions of the first.
const FILES_OF_THE_DATABASE: [&str; 3] = [DATABASE, "tidegate.sqlite-wal", "tidegate.sqlite-shm"];

const LOCK: &str = "lock";

/// This file exists while a reset is not complete.
const RESETTING: &str = "resetting";

#[derive(Clone, Debug)]
pub struct DataFolder(PathBuf);

/// No other run can use the folder until this is dropped. The file has the address of the run, for commands.
#[derive(Debug)]
pub struct DataLock(File);

impl DataLock {
    pub(crate) fn note(&self, url: &str) -> std::io::Result<()> {
        (&self.0).write_all(url.as_bytes())
    }
}

impl Drop for DataLock {
    fn drop(&mut self) {
        // After `kill -9` it stays, and no one answers there.
        let _unwritable = self.0.set_len(0);
    }
}

/// Where the local run that uses the data folder `folder` listens, such as `http://127.0.0.1:8080`. If it was killed it may be
/// gone.
pub fn address(folder: &Path) -> anyhow::Result<String> {
    let noted = std::fs::read_to_string(folder.join(LOCK)).unwrap_or_default();
    if noted.is_empty() {
        bail!(
            "no local run uses the data folder `{}`: start one with `tidegate local`, or name its folder with --data",
            folder.display()
        );
    }
    Ok(noted)
}

impl DataFolder {
    /// Creates the folder, for this user only, if it does not exist.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        create_private_folders(path)
            .with_context(|| format!("the data folder `{}` cannot be created", path.display()))?;
        Ok(Self(path.to_owned()))
    }

    pub fn database_file(&self) -> PathBuf {
        self.0.join(DATABASE)
    }

    /// While this file exists, ingest and the drain cannot put anything on the stream. It is not ours: someone makes it to see
    /// what happens then.
    pub fn stream_away_file(&self) -> PathBuf {
        self.0.join("stream-away")
    }

    pub fn bucket(&self) -> PathBuf {
        self.objects_folder().join(BUCKET)
    }

    fn objects_folder(&self) -> PathBuf {
        self.0.join("s3")
    }

    /// What must not disappear while a run uses it, with names for people.
    pub(crate) fn parts(&self) -> [(&'static str, PathBuf); 3] {
        [
            ("the data folder", self.0.clone()),
            ("the database `tidegate.sqlite` of the data folder", self.database_file()),
            ("the folder `s3/tidegate-local` of the data folder", self.bucket()),
        ]
    }

    /// Opens a new connection.
    pub fn database(&self) -> anyhow::Result<Database> {
        let file = self.database_file();
        Database::open(&file).with_context(|| format!("`{}` cannot be opened", file.display()))
    }

    pub fn objects(&self) -> anyhow::Result<EmbeddedObjects> {
        let folder = Folder::open(&self.objects_folder(), BUCKET)
            .with_context(|| format!("the bucket in `{}` cannot be created", self.0.display()))?;
        Ok(EmbeddedObjects { folder, database: self.database()? })
    }

    /// A queue, on a connection of its own.
    pub fn queue(&self, queue: LocalQueue, clock: &Clock) -> anyhow::Result<EmbeddedQueue> {
        Ok(EmbeddedQueue { queue, database: self.database()?, clock: clock.clone() })
    }

    /// Fails if another run uses the folder.
    pub fn lock(&self) -> anyhow::Result<DataLock> {
        let path = self.0.join(LOCK);
        let unwritable = || format!("`{}` cannot be written", path.display());
        // Not emptied before it is locked: the address in it is that of the run that uses the folder.
        let file = File::options().write(true).create(true).truncate(false).open(&path);
        let file = file.with_context(|| format!("`{}` cannot be created", path.display()))?;
        match file.try_lock() {
            Ok(()) => file.set_len(0).map(|()| DataLock(file)).with_context(unwritable),
            Err(TryLockError::WouldBlock) => bail!(
                "another `tidegate local` uses the data folder `{}`: stop it, or choose another folder with --data",
                self.0.display()
            ),
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("`{}` cannot be locked", path.display()))
            }
        }
    }

    /// Deletes the data of earlier runs, and nothing that Tidegate did not write. If it is interrupted, the next start
    /// finishes it: what is left must not be taken for data.
    pub fn reset(&self) -> anyhow::Result<()> {
        let resetting = self.0.join(RESETTING);
        std::fs::write(&resetting, "")
            .with_context(|| format!("`{}` cannot be written", resetting.display()))?;
        let objects = self.objects_folder();
        ignore_missing(std::fs::remove_dir_all(&objects))
            .with_context(|| format!("`{}` cannot be deleted", objects.display()))?;
        for name in FILES_OF_THE_DATABASE.into_iter().chain([RESETTING]) {
            let file = self.0.join(name);
            ignore_missing(std::fs::remove_file(&file))
                .with_context(|| format!("`{}` cannot be deleted", file.display()))?;
        }
        Ok(())
    }
}
