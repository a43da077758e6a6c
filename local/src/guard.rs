//! Notices what no retry repairs while the pipeline runs: a data folder that is gone or replaced, and a clock that jumped.
//!
//! SQLite goes on writing to a file that was deleted, and every event would be lost at the end of the process. With a wrong
//! clock, events would get wrong times, and all items would expire at once.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use ingest_fn::{Fault, FaultCheck};
use rustix::time::{ClockId, clock_gettime};
use shared::time::{Clock, Timestamp};
use tokio::sync::watch;

use crate::event_source_mapping::ports::{InvokeFailure, Invoker};

/// A clock that differs by more from the time that has passed is wrong. Daylight saving does not change it.
pub(crate) const JUMP: Duration = Duration::from_hours(24);
/// How often it looks, besides after each commit of events.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

/// Clones share what was found.
#[derive(Clone)]
pub(crate) struct Guard(Arc<Watched>);

struct Watched {
    /// Each with its name for people.
    files: Vec<(&'static str, PathBuf, FileId)>,
    /// The paths of those in which no other is. A folder that is gone takes its files along.
    innermost: Vec<(PathBuf, FileId)>,
    clock: Clock,
    /// The time since some start. It never jumps.
    passed: Box<dyn Fn() -> Duration + Send + Sync>,
    started: (Timestamp, Duration),
    fault: watch::Sender<Option<Fault>>,
}

/// Device and inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileId(u64, u64);

impl FileId {
    fn of(path: &Path) -> io::Result<Self> {
        // The file is not opened: closing it would release SQLite's locks on it.
        std::fs::metadata(path).map(|file: Metadata| Self(file.dev(), file.ino()))
    }
}

impl Guard {
    /// Guards these files, which exist.
    pub(crate) fn new(
        files: impl IntoIterator<Item = (&'static str, PathBuf)>,
        clock: Clock,
        passed: impl Fn() -> Duration + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let files = files.into_iter().map(|(name, path)| {
            let id = FileId::of(&path)?;
            Ok((name, path, id))
        });
        let files = files.collect::<io::Result<Vec<_>>>()?;
        let is_innermost = |path: &Path| {
            let is_inside = |other: &Path| other != path && other.starts_with(path);
            !files.iter().any(|(_, other, _)| is_inside(other))
        };
        let innermost = files.iter().filter(|(_, path, _)| is_innermost(path));
        let innermost = innermost.map(|(_, path, id)| (path.clone(), *id)).collect();
        let (started, fault) = ((clock.now(), passed()), watch::Sender::default());
        Ok(Self(Arc::new(Watched { files, innermost, clock, passed: Box::new(passed), started, fault })))
    }

    /// Finds the fault, if there is one now. One line is logged when it begins, and one when it ends.
    pub(crate) fn look(&self) -> Option<Fault> {
        let found = self.0.find();
        self.0.fault.send_if_modified(|known| {
            let is_new = *known != found;
            if is_new {
                match &found {
                    Some(fault) => {
                        tracing::error!("events are refused, and nothing is stored or deleted: {}", fault.0);
                    }
                    None => {
                        tracing::info!("the data folder and the clock are right again: events are accepted");
                    }
                }
                known.clone_from(&found);
            }
            is_new
        });
        found
    }

    /// Waits while there is a fault.
    pub(crate) async fn healthy(&self) {
        let mut fault = self.0.fault.subscribe();
        while self.look().is_some() {
            // Fails only if the sender is gone, and it is a field of ours.
            let _healed = fault.wait_for(Option::is_none).await;
        }
    }

    /// For ingest. `commits` counts the transactions by which it stores events. A look after a commit holds for the answers to
    /// all events of the transaction, so the others need none.
    pub(crate) fn check(&self, commits: impl Fn() -> u64 + Send + Sync + 'static) -> FaultCheck {
        let (guard, known) = (self.clone(), self.clone());
        let looked_after = AtomicU64::new(u64::MAX);
        // Arguments are evaluated before the look: a commit that comes meanwhile needs another one.
        FaultCheck::new(move || guard.look_after(commits(), &looked_after))
            .remembering(move || known.look_again())
    }

    /// Looks, unless a look after as many commits has found no fault.
    fn look_after(&self, commits: u64, looked_after: &AtomicU64) -> Option<Fault> {
        if looked_after.load(Ordering::Acquire) == commits {
            return self.look_again();
        }
        let found = self.look();
        looked_after.store(commits, Ordering::Release);
        found
    }

    /// Looks only if there was a fault. It may be over by now.
    fn look_again(&self) -> Option<Fault> {
        let is_known = self.0.fault.borrow().is_some();
        is_known.then(|| self.look()).flatten()
    }

    /// Looks until it is aborted.
    pub(crate) async fn watch(self) {
        loop {
            self.look();
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
    }
}

impl Watched {
    fn find(&self) -> Option<Fault> {
        let is_there = |(path, id): &(PathBuf, FileId)| FileId::of(path).is_ok_and(|found| found == *id);
        // Most looks end here: each commit of events is followed by one.
        let file = if self.innermost.iter().all(is_there) {
            None
        } else {
            self.files.iter().find_map(|(name, path, id)| missing(name, FileId::of(path), *id))
        };
        file.or_else(|| self.jump())
    }

    fn jump(&self) -> Option<Fault> {
        let (started, passed) = self.started;
        let (right, now) = (started.plus((self.passed)().saturating_sub(passed)), self.clock.now());
        let jumped = now.since(right).max(right.since(now)) > JUMP;
        jumped.then(|| {
            let hours = JUMP.as_secs() / 3_600;
            Fault(
                format!("the clock jumped by more than {hours} hours while Tidegate ran; set it right, or if it is right now, restart Tidegate").into(),
            )
        })
    }
}

fn missing(name: &str, found: io::Result<FileId>, expected: FileId) -> Option<Fault> {
    let happened = match found {
        Ok(id) if id == expected => return None,
        Ok(_) => "is not the one that Tidegate started with".to_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => "is gone".to_owned(),
        Err(error) => format!("cannot be read ({error})"),
    };
    Some(Fault(
        format!("{name} {happened}; put the old one back, or restart Tidegate with what is there now").into(),
    ))
}

/// The time since the machine started, also while it slept.
pub(crate) fn uptime() -> Duration {
    #[cfg(target_os = "linux")]
    const CLOCK: ClockId = ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    const CLOCK: ClockId = ClockId::Monotonic;
    let time = clock_gettime(CLOCK);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// Runs the function only while there is no fault: a new process would open, or create, the wrong files.
#[derive(Clone)]
pub(crate) struct Guarded<I> {
    pub(crate) invoker: I,
    pub(crate) guard: Guard,
}

impl<I: Invoker> Invoker for Guarded<I> {
    /// A batch waits for the end of the fault. It is not tried and failed again and again.
    async fn invoke(&self, payload: Bytes) -> Result<Bytes, InvokeFailure> {
        self.guard.healthy().await;
        self.invoker.invoke(payload).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicI64;

    use super::*;

    const HOUR: i64 = 3_600_000;

    fn guard(files: &[&Path], clock: Clock) -> Guard {
        let files: Vec<_> = files.iter().map(|path| ("the database", path.to_path_buf())).collect();
        Guard::new(files, clock, || Duration::ZERO).unwrap()
    }

    fn reason(guard: &Guard) -> Option<String> {
        guard.look().map(|fault| fault.0.to_string())
    }

    #[test]
    fn a_file_that_is_gone_or_replaced_is_noticed_and_one_that_comes_back_is_well() {
        let folder = tempfile::tempdir().unwrap();
        let (file, aside) = (folder.path().join("a"), folder.path().join("b"));
        std::fs::write(&file, "one").unwrap();
        let guard = guard(&[&file], Clock::system());
        assert_eq!(reason(&guard), None);
        std::fs::rename(&file, &aside).unwrap();
        assert_eq!(
            reason(&guard).unwrap(),
            "the database is gone; put the old one back, or restart Tidegate with what is there now"
        );
        std::fs::write(&file, "two").unwrap();
        assert!(
            reason(&guard).unwrap().starts_with("the database is not the one that Tidegate started with")
        );
        std::fs::rename(&aside, &file).unwrap();
        assert_eq!(reason(&guard), None);
    }

    #[test]
    fn a_look_after_a_commit_holds_for_all_its_answers_and_a_fault_is_looked_at_again() {
        let folder = tempfile::tempdir().unwrap();
        let (file, aside) = (folder.path().join("a"), folder.path().join("b"));
        std::fs::write(&file, "one").unwrap();
        let guard = guard(&[&file], Clock::system());
        let looked_after = AtomicU64::new(u64::MAX);
        let is_fault = |commits| guard.look_after(commits, &looked_after).is_some();
        assert!(!is_fault(1));
        std::fs::rename(&file, &aside).unwrap();
        assert!(!is_fault(1), "its events were committed to the file before it was gone");
        assert!(is_fault(2) && is_fault(2));
        std::fs::rename(&aside, &file).unwrap();
        assert!(!is_fault(2));
    }

    #[test]
    fn a_clock_that_jumps_by_more_than_a_day_is_noticed_in_both_directions() {
        let now = Arc::new(AtomicI64::new(1_000 * HOUR));
        let read = Arc::clone(&now);
        let clock = Clock::new(move || Timestamp::from_unix_ms(read.load(Ordering::Relaxed)));
        let guard = guard(&[], clock);
        for (hours, is_fault) in
            [(0, false), (23, false), (25, true), (-23, false), (-25, true), (9_600, true)]
        {
            now.store((1_000 + hours) * HOUR, Ordering::Relaxed);
            assert_eq!(guard.look().is_some(), is_fault, "{hours} h");
        }
    }

    #[test]
    fn time_that_passes_is_no_jump_also_if_the_machine_sleeps() {
        let passed = Arc::new(AtomicI64::new(0));
        let (wall, up) = (Arc::clone(&passed), Arc::clone(&passed));
        let clock = Clock::new(move || Timestamp::from_unix_ms(wall.load(Ordering::Relaxed)));
        let passed_ms = move || Duration::from_millis(up.load(Ordering::Relaxed).unsigned_abs());
        let guard = Guard::new([], clock, passed_ms).unwrap();
        passed.store(72 * HOUR, Ordering::Relaxed);
        assert_eq!(guard.look(), None);
    }

    #[derive(Clone)]
    struct Echo;

    impl Invoker for Echo {
        async fn invoke(&self, payload: Bytes) -> Result<Bytes, InvokeFailure> {
            Ok(payload)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_invocation_waits_for_the_end_of_a_fault() {
        let folder = tempfile::tempdir().unwrap();
        let (file, aside) = (folder.path().join("a"), folder.path().join("b"));
        std::fs::write(&file, "one").unwrap();
        let guard = guard(&[&file], Clock::system());
        std::fs::rename(&file, &aside).unwrap();
        let function = Guarded { invoker: Echo, guard: guard.clone() };
        let invoked = tokio::spawn(async move { function.invoke(Bytes::from_static(b"x")).await });
        let watched = tokio::spawn(guard.watch());
        tokio::time::sleep(Duration::from_mins(10)).await;
        assert!(!invoked.is_finished());
        std::fs::rename(&aside, &file).unwrap();
        assert_eq!(invoked.await.unwrap().unwrap(), "x");
        watched.abort();
    }
}
