//! A bucket as a folder: objects are files that appear whole or not at all, and are never changed.

use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use shared::id::Ids;
use shared::time::Timestamp;

/// The longest name of a file or folder that common file systems take, in bytes, and a little less.
const NAME_BYTES: usize = 200;

/// A folder of objects.
#[derive(Clone, Debug)]
pub struct Folder {
    bucket: PathBuf,
    unfinished: PathBuf,
    ids: Ids,
}

/// An object of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its key.
    pub key: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// When it was written, the last time.
    pub written: Timestamp,
}

impl Folder {
    /// The bucket `name` under `root`; the folders are created.
    pub fn open(root: &Path, name: &str) -> io::Result<Self> {
        // Unfinished files lie beside the bucket: in the same file system, and never seen in the bucket.
        let (bucket, unfinished) = (root.join(name), root.join(".unfinished"));
        std::fs::create_dir_all(&bucket)?;
        std::fs::create_dir_all(&unfinished)?;
        Ok(Self { bucket, unfinished, ids: Ids::system() })
    }

    /// Where the object `key` lies, or would.
    pub fn path(&self, key: &str) -> PathBuf {
        key.split('/').fold(self.bucket.clone(), |path, segment| match segment {
            // Never made by `shared::format::key`; if one came, it must not leave the bucket.
            "" | "." | ".." => path.join(format!("+{segment}")),
            segment => short_names(segment).fold(path, |path, name| path.join(name)),
        })
    }

    /// Writes the object unless there is one; whether it did.
    pub async fn create(&self, key: &str, bytes: Bytes) -> io::Result<bool> {
        self.place(key, bytes, |unfinished, path| match std::fs::hard_link(unfinished, path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        })
        .await
    }

    /// Writes the object, in place of one that may be there.
    pub async fn replace(&self, key: &str, bytes: Bytes) -> io::Result<()> {
        self.place(key, bytes, |unfinished, path| std::fs::rename(unfinished, path)).await
    }

    /// The object's bytes, if it is there.
    pub async fn get(&self, key: &str) -> io::Result<Option<Bytes>> {
        let path = self.path(key);
        off_thread(move || match std::fs::read(path) {
            Ok(bytes) => Ok(Some(bytes.into())),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(error),
        })
        .await
    }

    /// `length` bytes of the object from `offset` on; fewer where it ends before.
    pub async fn get_range(&self, key: &str, offset: usize, length: usize) -> io::Result<Option<Bytes>> {
        let path = self.path(key);
        off_thread(move || match read_range(&path, offset, length) {
            Ok(bytes) => Ok(Some(bytes.into())),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(error),
        })
        .await
    }

    /// Deletes the object, if it is there.
    pub async fn delete(&self, key: &str) -> io::Result<()> {
        let path = self.path(key);
        off_thread(move || match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        })
        .await
    }

    /// The objects whose keys begin with `prefix`, in the order of their keys.
    pub async fn list(&self, prefix: &str) -> io::Result<Vec<Listed>> {
        // What follows the last slash may be the beginning of a name; what stands before it is a folder.
        let folder =
            prefix.rsplit_once('/').map_or_else(|| self.bucket.clone(), |(folder, _)| self.path(folder));
        let (bucket, prefix) = (self.bucket.clone(), prefix.to_owned());
        off_thread(move || {
            let mut listed = Vec::new();
            walk(&folder, &mut |path, file| {
                let key = path.strip_prefix(&bucket).map(key_of).unwrap_or_default();
                if key.starts_with(&prefix) {
                    listed.push(Listed { key, bytes: file.len(), written: written(file)? });
                }
                Ok(())
            })?;
            listed.sort_unstable_by(|a, b| a.key.cmp(&b.key));
            Ok(listed)
        })
        .await
    }

    async fn place<T: Send + 'static>(
        &self,
        key: &str,
        bytes: Bytes,
        publish: impl FnOnce(&Path, &Path) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let path = self.path(key);
        let unfinished = self.unfinished.join(self.ids.next().to_string());
        off_thread(move || {
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            std::fs::write(&unfinished, bytes)?;
            let published = publish(&unfinished, &path);
            // After a rename it is gone already; after a link it is a second name.
            let _gone = std::fs::remove_file(&unfinished);
            published
        })
        .await
    }
}

/// A key's segment as names of folders: a name ends in `+` where the segment goes on. Keys hold no `+` otherwise
/// (`shared::format::key` percent-encodes it), so two keys never meet in one path.
fn short_names(segment: &str) -> impl Iterator<Item = String> + '_ {
    let count = segment.len().div_ceil(NAME_BYTES);
    let chunks = segment.as_bytes().chunks(NAME_BYTES);
    chunks.enumerate().map(move |(index, chunk)| {
        let name = String::from_utf8_lossy(chunk);
        if index + 1 < count { format!("{name}+") } else { name.into_owned() }
    })
}

fn read_range(path: &Path, offset: usize, length: usize) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(offset as u64))?;
    let mut bytes = Vec::new();
    file.take(length as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Whether there is no object. A bucket knows no folders: what is one here is no object there.
fn is_absent(error: &io::Error) -> bool {
    use io::ErrorKind::{IsADirectory, NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory | IsADirectory)
}

/// The key of the object at a path below the bucket: [`Folder::path`] read back.
fn key_of(path: &Path) -> String {
    let mut key = String::new();
    let mut goes_on = true;
    for name in path.iter().map(|name| name.to_string_lossy()) {
        if !goes_on {
            key.push('/');
        }
        let name = name.strip_prefix('+').unwrap_or(&name);
        goes_on = name.ends_with('+');
        key.push_str(name.strip_suffix('+').unwrap_or(name));
    }
    key
}

fn written(file: &Metadata) -> io::Result<Timestamp> {
    let since_epoch = file.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(Timestamp::from_unix_ms(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)))
}

/// Every file below `folder`; none if it is not there.
fn walk(folder: &Path, visit: &mut impl FnMut(&Path, &Metadata) -> io::Result<()>) -> io::Result<()> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => walk(&entry.path(), visit)?,
            Ok(metadata) => visit(&entry.path(), &metadata)?,
            // Deleted since.
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
    async fn a_folder_is_no_object_and_nothing_lies_below_an_object() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::open(root.path(), "bucket").unwrap();
        folder.create("a/b", Bytes::from_static(b"one")).await.unwrap();
        for key in ["a", "a/b/c"] {
            assert_eq!(folder.get(key).await.unwrap(), None, "{key}");
            assert_eq!(folder.get_range(key, 0, 1).await.unwrap(), None, "{key}");
        }
    }

    #[tokio::test]
    async fn an_object_is_created_once_and_then_stays() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::open(root.path(), "bucket").unwrap();
        assert!(folder.create("a/b", Bytes::from_static(b"one")).await.unwrap());
        assert!(!folder.create("a/b", Bytes::from_static(b"two")).await.unwrap());
        assert_eq!(folder.get("a/b").await.unwrap().unwrap(), "one");
        folder.replace("a/b", Bytes::from_static(b"three")).await.unwrap();
        assert_eq!(folder.get("a/b").await.unwrap().unwrap(), "three");
        assert_eq!(folder.get("a/c").await.unwrap(), None);
        assert_eq!(std::fs::read_dir(root.path().join(".unfinished")).unwrap().count(), 0);
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
    async fn a_range_is_read_and_a_deleted_object_is_gone() {
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
    async fn of_many_creators_one_succeeds() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::open(root.path(), "bucket").unwrap();
        let creators = (0..16).map(|_| folder.create("k", Bytes::from_static(b"x")));
        let created = futures::future::try_join_all(creators).await.unwrap();
        assert_eq!(created.into_iter().filter(|created| *created).count(), 1);
    }

    #[test]
    fn no_key_leaves_the_bucket_or_has_a_name_too_long() {
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
