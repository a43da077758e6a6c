//! What a run does to its data folder before anything else: finishes what an earlier run did not, makes the files private,
//! and refuses a folder that would lose or mix data.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use rusqlite::{OptionalExtension, Transaction, params};
use shared::id::Ids;
use shared::time::{Clock, Timestamp};

use super::{DataFolder, FILES_OF_THE_DATABASE, RESETTING};
use crate::embedded::{Database, DatabaseError, Folder};
use crate::guard::JUMP;

/// A start with a clock that is further ahead of the last run is refused, because all items may expire at once.
const AHEAD: Duration = Duration::from_hours(30 * 24);

/// What the database knows about its folder.
struct Known {
    id: String,
    last_run: Timestamp,
    /// Whether the database names objects.
    has_objects: bool,
}

impl DataFolder {
    /// Prepares the folder for a run, which has the lock. `accept_clock` skips the comparison with the time of the last run.
    pub(crate) async fn claim(&self, clock: &Clock, accept_clock: bool) -> anyhow::Result<()> {
        if self.0.join(RESETTING).exists() {
            tracing::warn!("an earlier --reset was interrupted: it is finished now");
            self.reset()?;
        }
        // First, because on a full disk the database may need the room.
        Folder::remove_unfinished(&self.objects_folder())
            .context("what an interrupted run left in `s3/.unfinished` cannot be deleted")?;
        self.make_private();
        let (now, new_id) = (clock.now(), Ids::system().next().to_string());
        let database = self.database()?;
        let known = database.write(move |transaction| known(transaction, &new_id, now)).await?;
        self.check_clock(known.last_run, now, accept_clock)?;
        self.check_objects(&known)?;
        note_run(&database, now).await.context("the time of this run cannot be stored")
    }

    /// The database and the objects must be of the same runs: a new database would number its records from one again, and
    /// their objects exist already.
    fn check_objects(&self, known: &Known) -> anyhow::Result<()> {
        let file = self.objects_folder().join(".id");
        let found = match std::fs::read_to_string(&file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            found => Some(found.with_context(|| format!("`{}` cannot be read", file.display()))?),
        };
        if found.as_deref() == Some(&known.id) {
            return Ok(());
        }
        let has_objects = holds_anything(&self.bucket())
            .with_context(|| format!("`{}` cannot be read", self.bucket().display()))?;
        if has_objects || known.has_objects {
            bail!(
                "in `{}` the database `{}` and the objects in `s3` do not belong together: one of them was deleted or replaced. Put the old one back, or start with --reset, which deletes both",
                self.0.display(),
                super::DATABASE
            );
        }
        self.objects()?;
        std::fs::write(&file, &known.id).with_context(|| format!("`{}` cannot be written", file.display()))
    }

    fn check_clock(&self, last_run: Timestamp, now: Timestamp, accept_clock: bool) -> anyhow::Result<()> {
        if accept_clock || (now.since(last_run) <= AHEAD && last_run.since(now) <= JUMP) {
            return Ok(());
        }
        bail!(
            "the clock says {now}, but the last run on `{}` was at {last_run}. With a wrong clock, all items may expire at once. Set the clock right, or start with --accept-clock if it is right",
            self.0.display()
        )
    }

    /// For folders of earlier versions, and of copies. New files are private from the start. The data folder itself may hold other
    /// things, for other users.
    fn make_private(&self) {
        let files = FILES_OF_THE_DATABASE.map(|name| (self.0.join(name), 0o600));
        for (path, mode) in files.into_iter().chain([(self.objects_folder(), 0o700)]) {
            if let Err(error) = restrict(&path, mode) {
                let path = path.display();
                tracing::warn!(%error, "other users of this machine may be able to read `{path}`: {error}");
            }
        }
    }
}

/// Notes the time of a run, which the next start compares with its clock.
pub(crate) async fn note_run(database: &Database, now: Timestamp) -> Result<(), DatabaseError> {
    let note = move |transaction: &Transaction<'_>| {
        transaction.execute("UPDATE data_folder SET last_run_ms = ?1", [now.unix_ms()]).map(drop)
    };
    database.write(note).await
}

fn known(transaction: &Transaction<'_>, new_id: &str, now: Timestamp) -> rusqlite::Result<Known> {
    transaction.execute(
        "INSERT INTO data_folder SELECT ?1, ?2 WHERE NOT EXISTS (SELECT 1 FROM data_folder)",
        params![new_id, now.unix_ms()],
    )?;
    let (id, last_run_ms) = transaction
        .query_row("SELECT id, last_run_ms FROM data_folder", [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let object: Option<i64> =
        transaction.query_row("SELECT 1 FROM manifest LIMIT 1", [], |row| row.get(0)).optional()?;
    Ok(Known { id, last_run: Timestamp::from_unix_ms(last_run_ms), has_objects: object.is_some() })
}

fn holds_anything(folder: &Path) -> io::Result<bool> {
    match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        entries => Ok(entries?.next().is_some()),
    }
}

/// Takes the other users' permissions, if they have any.
fn restrict(path: &Path, mode: u32) -> io::Result<()> {
    let permissions = match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found?.permissions(),
    };
    let others = permissions.mode() & 0o077;
    if others == 0 {
        return Ok(());
    }
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use shared::objects::ObjectStore;

    use super::*;

    const DAY: i64 = 86_400_000;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    async fn claim(data: &DataFolder, day: i64) -> Result<(), String> {
        let clock = Clock::fixed(Timestamp::from_unix_ms(day * DAY));
        let claimed = data.claim(&clock, false).await.map_err(|error| format!("{error:#}"));
        closed(data).await;
        claimed
    }

    /// Waits until no connection is open. A write is answered before the thread that wrote it lets its connection go; if the last
    /// one is closed while the next start has deleted the files and made new ones, it deletes their write-ahead log.
    async fn closed(data: &DataFolder) {
        let log = data.0.join("tidegate.sqlite-wal");
        let wait = async {
            while log.exists() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), wait).await.expect("every connection is closed");
    }

    /// A folder that was used on day 1000 and holds an object.
    async fn used() -> (tempfile::TempDir, DataFolder) {
        let folder = tempfile::tempdir().unwrap();
        let data = DataFolder::open(&folder.path().join("data")).unwrap();
        claim(&data, 1_000).await.unwrap();
        data.objects().unwrap().put("events/a", Bytes::from_static(b"one")).await.unwrap();
        closed(&data).await;
        (folder, data)
    }

    #[tokio::test]
    async fn all_that_is_stored_can_be_read_by_this_user_only() {
        let (_folder, data) = used().await;
        let object = data.bucket().join("events/a");
        for (path, expected) in [
            (data.0.clone(), 0o700),
            (data.database_file(), 0o600),
            (data.bucket(), 0o700),
            (data.bucket().join("events"), 0o700),
            (object, 0o600),
        ] {
            assert_eq!(mode(&path), expected, "{}", path.display());
        }
        let wal = data.0.join("tidegate.sqlite-wal");
        let _open = data.database().unwrap();
        assert_eq!(mode(&wal), 0o600);
    }

    #[tokio::test]
    async fn a_start_makes_the_files_of_an_earlier_version_private() {
        let (_folder, data) = used().await;
        for path in [data.database_file(), data.objects_folder()] {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        claim(&data, 1_000).await.unwrap();
        assert_eq!((mode(&data.database_file()), mode(&data.objects_folder())), (0o600, 0o700));
    }

    #[tokio::test]
    async fn a_start_removes_unfinished_objects_and_finishes_a_reset() {
        let (_folder, data) = used().await;
        let part = data.objects_folder().join(".unfinished/part");
        std::fs::write(&part, "half of an object").unwrap();
        claim(&data, 1_000).await.unwrap();
        assert!(!part.exists());

        // As it is when a reset is interrupted just before the database is deleted.
        std::fs::write(data.0.join(RESETTING), "").unwrap();
        std::fs::remove_dir_all(data.objects_folder()).unwrap();
        claim(&data, 1_000).await.unwrap();
        assert!(!data.0.join(RESETTING).exists());
        assert!(!holds_anything(&data.bucket()).unwrap());
    }

    #[tokio::test]
    async fn a_database_and_objects_that_do_not_belong_together_are_refused() {
        let (_folder, data) = used().await;
        let (_other_folder, other) = used().await;
        claim(&data, 1_000).await.expect("a second run on the same folder");

        std::fs::remove_dir_all(data.objects_folder()).unwrap();
        std::fs::rename(other.objects_folder(), data.objects_folder()).unwrap();
        let error = claim(&data, 1_000).await.unwrap_err();
        assert!(error.contains("do not belong together") && error.contains("--reset"), "{error}");
        data.reset().unwrap();
        claim(&data, 1_000).await.unwrap();
    }

    #[tokio::test]
    async fn objects_without_their_database_are_refused_until_a_reset() {
        let (_folder, data) = used().await;
        for name in FILES_OF_THE_DATABASE {
            let _may_be_absent = std::fs::remove_file(data.0.join(name));
        }
        // The second start finds the database that the first one has created.
        for _ in 0..2 {
            assert!(claim(&data, 1_000).await.unwrap_err().contains("do not belong together"));
        }
        data.reset().unwrap();
        claim(&data, 1_000).await.unwrap();
    }

    #[tokio::test]
    async fn a_database_whose_objects_are_gone_is_refused() {
        let (_folder, data) = used().await;
        let row = "INSERT INTO manifest VALUES ('p', 's', 'events/a', '1', 0, '2', 0, 3, '', 1, '', '', NULL, NULL)";
        data.database().unwrap().call(move |connection| connection.execute(row, [])).await.unwrap();
        std::fs::remove_dir_all(data.objects_folder()).unwrap();
        assert!(claim(&data, 1_000).await.unwrap_err().contains("do not belong together"));
    }

    #[tokio::test]
    async fn a_start_with_a_clock_that_is_far_from_the_last_run_is_refused() {
        let (_folder, data) = used().await;
        for (day, is_refused) in [(1_400, true), (998, true), (1_029, false), (1_059, false), (1_090, true)] {
            let claimed = claim(&data, day).await;
            assert_eq!(claimed.is_err(), is_refused, "day {day}: {claimed:?}");
            if let Err(error) = claimed {
                assert!(error.contains("--accept-clock"), "{error}");
            }
        }
        let far = Clock::fixed(Timestamp::from_unix_ms(1_400 * DAY));
        data.claim(&far, true).await.unwrap();
        claim(&data, 1_401).await.unwrap();
    }
}
