//! A bucket as a folder: objects are files that appear whole or not at all, and are never changed.

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use shared::id::Ids;

/// The longest name of a file or folder that common file systems take, in bytes, and a little less.
const NAME_BYTES: usize = 200;

/// A folder of objects.
#[derive(Clone, Debug)]
pub struct Folder {
    bucket: PathBuf,
    unfinished: PathBuf,
    ids: Ids,
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
            // Never made by `shared::key`; if one came, it must not leave the bucket.
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
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
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
/// (`shared::key` percent-encodes it), so two keys never meet in one path.
fn short_names(segment: &str) -> impl Iterator<Item = String> + '_ {
    let count = segment.len().div_ceil(NAME_BYTES);
    let chunks = segment.as_bytes().chunks(NAME_BYTES);
    chunks.enumerate().map(move |(index, chunk)| {
        let name = String::from_utf8_lossy(chunk);
        if index + 1 < count { format!("{name}+") } else { name.into_owned() }
    })
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
            ["../../x".to_owned(), "a/../../../x".to_owned(), format!("payloads/{}/x", "%C3".repeat(256))]
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
