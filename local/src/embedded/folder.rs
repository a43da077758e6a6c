//! A bucket as a folder. Objects are files. A file appears whole or not at all and is never changed in place.

use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use operate::deployment::ListedObject;
use shared::id::Ids;
use shared::time::Timestamp;

/// The longest name of a file or folder, in bytes. Common file systems take 255.
const NAME_BYTES: usize = 200;
const UNFINISHED: &str = ".unfinished";

#[derive(Clone, Debug)]
pub struct Folder {
    bucket: PathBuf,
    unfinished: PathBuf,
    ids: Ids,
}

impl Folder {
    /// Opens the bucket `name` in `root`, and creates it if it does not exist.
    pub fn open(root: &Path, name: &str) -> io::Result<Self> {
        // Unfinished files are outside the bucket, so no reader sees them, and in the same file system.
        let (bucket, unfinished) = (root.join(name), root.join(UNFINISHED));
        create_private_folders(&bucket)?;
        create_private_folders(&unfinished)?;
        Ok(Self { bucket, unfinished, ids: Ids::system() })
    }

    /// Deletes what writers that were killed have left. Call it only while no process writes: a run that starts has the lock.
    pub fn remove_unfinished(root: &Path) -> io::Result<()> {
        let unfinished = match std::fs::read_dir(root.join(UNFINISHED)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            unfinished => unfinished?,
        };
        for file in unfinished {
            ignore_missing(std::fs::remove_file(file?.path()))?;
        }
        Ok(())
    }

    /// The file of the object `key`. It need not exist.
    pub fn path(&self, key: &str) -> PathBuf {
        key.split('/').fold(self.bucket.clone(), |path, segment| match segment {
            // `shared::format::key` makes no such key. If one came, it must not leave the bucket.
            "" | "." | ".." => path.join(format!("+{segment}")),
            segment => short_names(segment).fold(path, |path, name| path.join(name)),
        })
    }

    /// Writes the object unless it exists. Returns whether it was written.
    pub async fn create(&self, key: &str, bytes: Bytes) -> io::Result<bool> {
        self.write(key, bytes, |unfinished, path| match std::fs::hard_link(unfinished, path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        })
        .await
    }

    /// Writes the object. Replaces it if it exists.
    pub async fn replace(&self, key: &str, bytes: Bytes) -> io::Result<()> {
        self.write(key, bytes, |unfinished, path| std::fs::rename(unfinished, path)).await
    }

    pub async fn get(&self, key: &str) -> io::Result<Option<Bytes>> {
        self.get_range(key, 0, usize::MAX).await
    }

    /// `length` bytes of the object from `offset`, or fewer if it ends before that.
    pub async fn get_range(&self, key: &str, offset: usize, length: usize) -> io::Result<Option<Bytes>> {
        let path = self.path(key);
        off_thread(move || match read_range(&path, offset, length) {
            Ok(bytes) => Ok(Some(bytes.into())),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(error),
        })
        .await
    }

    /// Deletes the object. Succeeds if it does not exist.
    pub async fn delete(&self, key: &str) -> io::Result<()> {
        let path = self.path(key);
        off_thread(move || ignore_missing(std::fs::remove_file(path))).await
    }

    /// Deletes folders without objects: their names may be those of a tenant or an event. Call it only while no process writes.
    pub(crate) async fn remove_empty(&self) -> io::Result<()> {
        fn clean(folder: &Path) -> io::Result<()> {
            for entry in std::fs::read_dir(folder)? {
                let path = entry?.path();
                if path.is_dir() {
                    clean(&path)?;
                    if std::fs::read_dir(&path)?.next().is_none() {
                        ignore_missing(std::fs::remove_dir(&path))?;
                    }
                }
            }
            Ok(())
        }
        let bucket = self.bucket.clone();
        off_thread(move || clean(&bucket)).await
    }

    /// The objects whose keys begin with `prefix`, in the order of their keys.
    pub async fn list(&self, prefix: &str) -> io::Result<Vec<ListedObject>> {
        // The part before the last slash is a folder. The part after it may be the beginning of a name.
        let folder =
            prefix.rsplit_once('/').map_or_else(|| self.bucket.clone(), |(folder, _)| self.path(folder));
        let (bucket, prefix) = (self.bucket.clone(), prefix.to_owned());
        off_thread(move || {
            let mut listed = Vec::new();
            walk(&folder, &mut |path, file| {
                let key = path.strip_prefix(&bucket).map(key_of).unwrap_or_default();
                if key.starts_with(&prefix) {
                    listed.push(ListedObject { key, bytes: file.len(), written: written(file)? });
                }
                Ok(())
            })?;
            listed.sort_unstable_by(|a, b| a.key.cmp(&b.key));
            Ok(listed)
        })
        .await
    }

    async fn write<T: Send + 'static>(
        &self,
        key: &str,
        bytes: Bytes,
        publish: impl FnOnce(&Path, &Path) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let path = self.path(key);
        let unfinished = self.unfinished.join(self.ids.next().to_string());
        off_thread(move || {
            if let Some(folder) = path.parent() {
                create_private_folders(folder)?;
            }
            let written = write_private(&unfinished, &bytes);
            let published = written.and_then(|()| publish(&unfinished, &path));
            // After a link, this is a second name of the file. After a rename, it does not exist any more. After an error it
            // is a part of the object, and on a full disk it would take the room of the next ones.
            let _gone = std::fs::remove_file(&unfinished);
            published
        })
        .await
    }
}

/// A segment of a key as file names: a name ends in `+` if the segment continues in the next. Keys contain no other
/// `+`, because `shared::format::key` percent-encodes it. So two keys never have the same path.
fn short_names(segment: &str) -> impl Iterator<Item = String> + '_ {
    let count = segment.len().div_ceil(NAME_BYTES);
    let chunks = segment.as_bytes().chunks(NAME_BYTES);
    chunks.enumerate().map(move |(index, chunk)| {
        let name = String::from_utf8_lossy(chunk);
        if index + 1 < count { format!("{name}+") } else { name.into_owned() }
    })
}

/// Only this user can read the events of the tenants.
pub(crate) fn create_private_folders(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(bytes)
}

fn read_range(path: &Path, offset: usize, length: usize) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(offset as u64))?;
    let mut bytes = Vec::new();
    file.take(length as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Deleting succeeds if there is nothing to delete.
pub(crate) fn ignore_missing(deleted: io::Result<()>) -> io::Result<()> {
    match deleted {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Whether there is no object. A folder counts as absent, because a bucket has no folders.
fn is_absent(error: &io::Error) -> bool {
    use io::ErrorKind::{IsADirectory, NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory | IsADirectory)
}

/// The key of the object at a path in the bucket: the reverse of [`Folder::path`].
fn key_of(path: &Path) -> String {
    let mut key = String::new();
    let mut continues = true;
    for name in path.iter().map(|name| name.to_string_lossy()) {
        if !continues {
            key.push('/');
        }
        let name = name.strip_prefix('+').unwrap_or(&name);
        continues = name.ends_with('+');
        key.push_str(name.strip_suffix('+').unwrap_or(name));
    }
    key
}

fn written(file: &Metadata) -> io::Result<Timestamp> {
    let since_epoch = file.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(Timestamp::from_unix_ms(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)))
}

/// Visits every file in `folder` and its folders. Visits nothing if `folder` does not exist.
fn walk(folder: &Path, visit: &mut impl FnMut(&Path, &Metadata) -> io::Result<()>) -> io::Result<()> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if is_absent(&error) => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => walk(&entry.path(), visit)?,
            Ok(metadata) => visit(&entry.path(), &metadata)?,
            // Deleted since `read_dir` listed it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_folder_is_not_an_object_and_an_object_contains_no_others() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::open(root.path(), "bucket").unwrap();
        folder.create("a/b", Bytes::from_static(b"one")).await.unwrap();
        for key in ["a", "a/b/c"] {
            assert_eq!(folder.get(key).await.unwrap(), None, "{key}");
            assert_eq!(folder.get_range(key, 0, 1).await.unwrap(), None, "{key}");
        }
    }

    #[tokio::test]
    async fn an_object_is_created_once() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::open(root.path(), "bucket").unwrap();
        assert!(folder.create("a/b", Bytes::from_static(b"one")).await.unwrap());
        assert!(!folder.create("a/b", Bytes::from_static(b"two")).await.unwrap());
        assert_eq!(folder.get("a/b").await.unwrap().unwrap(), "one");
        folder.replace("a/b", Bytes::from_static(b"three")).await.unwrap();
        assert_eq!(folder.get("a/b").await.unwrap().unwrap(), "three");
        assert_eq!(folder.get("a/c").await.unwrap(), None);
        assert_eq!(std::fs::read_dir(root.path().join(UNFINISHED)).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn what_could_not_be_stored_leaves_no_part() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::open(root.path(), "bucket").unwrap();
        folder.create("a/b", Bytes::from_static(b"one")).await.unwrap();
        // There is a folder where the object should be. Root may write everywhere, so permissions would not do.
        folder.replace("a", Bytes::from_static(b"two")).await.unwrap_err();
        assert_eq!(std::fs::read_dir(root.path().join(UNFINISHED)).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn objects_are_listed_by_prefix_in_the_order_of_their_keys() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::open(root.path(), "bucket").unwrap();
        let long = format!("a/{}/x", "y".repeat(500));
        for key in ["a/c", "a/b/1", "a/b/2", "a/b1", "z", &long] {
            assert!(folder.create(key, Bytes::from_static(b"one")).await.unwrap());
        }
        let list = async |prefix: &str| {
            let listed = folder.list(prefix).await.unwrap();
            assert!(listed.iter().all(|object| object.bytes == 3));
            listed.into_iter().map(|object| object.key).collect::<Vec<_>>()
        };
        assert_eq!(list("").await, ["a/b/1", "a/b/2", "a/b1", "a/c", &long, "z"]);
        assert_eq!(list("a/b").await, ["a/b/1", "a/b/2", "a/b1"]);
        assert_eq!(list("a/b/").await, ["a/b/1", "a/b/2"]);
        assert_eq!(list(&long).await, [long.as_str()]);
        assert!(list("none/").await.is_empty());
    }

    #[tokio::test]
    async fn a_range_is_read_and_a_deleted_object_is_absent() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::open(root.path(), "bucket").unwrap();
        folder.create("a", Bytes::from_static(b"0123456789")).await.unwrap();
        assert_eq!(folder.get_range("a", 3, 4).await.unwrap().unwrap(), "3456");
        assert_eq!(folder.get_range("a", 8, 4).await.unwrap().unwrap(), "89");
        folder.delete("a").await.unwrap();
        folder.delete("a").await.unwrap();
        assert_eq!(folder.get_range("a", 3, 4).await.unwrap(), None);
    }

    #[tokio::test]
    async fn only_one_of_many_creators_succeeds() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::open(root.path(), "bucket").unwrap();
        let creators = (0..16).map(|_| folder.create("k", Bytes::from_static(b"x")));
        let created = futures::future::try_join_all(creators).await.unwrap();
        assert_eq!(created.into_iter().filter(|created| *created).count(), 1);
    }

    #[test]
    fn no_key_leaves_the_bucket_or_makes_a_name_that_is_too_long() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::open(root.path(), "bucket").unwrap();
        for key in
            ["../../x".to_owned(), "a/../../../x".to_owned(), format!("claims/{}/x", "%C3".repeat(256))]
        {
            let path = folder.path(&key);
            assert!(path.starts_with(root.path().join("bucket")), "{key}");
            assert!(
                path.components().all(|part| part.as_os_str() != ".." && part.as_os_str().len() <= 255),
                "{key}"
            );
        }
    }
}
