//! Effects that land late, when nobody waits for them any more and he who asked for them may be dead: a process of
//! their own waits a moment, then does them on the plain adapters.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use consumer_fn::items::{ItemStore, TakeOver};
use consumer_fn::ledger::{Intent, Ledger, Progress};
use local::data::DataFolder;
use local::embedded::{EmbeddedItems, EmbeddedLedger};
use serde::{Deserialize, Serialize};
use shared::id::{EventId, TenantId};
use shared::objects::ObjectStore;
use shared::origin::{Origin, ShardPosition};

/// The variable by which such a process is told its data folder.
pub(crate) const VARIABLE: &str = "TIDEGATE_TEST_LATE";
/// How late.
const DELAY: Duration = Duration::from_millis(60);

/// An effect.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Late {
    Put { key: String, bytes: Vec<u8>, before: Place },
    Write { shard: String, version: u32, settled_before: Option<Place>, intent: Option<(String, Place)> },
    TakeOver(Vec<(TenantId, EventId, Origin, Origin)>),
}

/// A mark.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Place(String, u32);

impl From<&ShardPosition> for Place {
    fn from(mark: &ShardPosition) -> Self {
        Self(mark.sequence_number.to_string(), mark.position)
    }
}

impl From<Place> for ShardPosition {
    fn from(Place(sequence_number, position): Place) -> Self {
        Self::new(sequence_number, position)
    }
}

impl Late {
    pub(crate) fn put(key: &str, bytes: &Bytes, before: &ShardPosition) -> Self {
        Self::Put { key: key.to_owned(), bytes: bytes.to_vec(), before: before.into() }
    }

    pub(crate) fn write(shard: &str, progress: &Progress) -> Self {
        Self::Write {
            shard: shard.to_owned(),
            version: progress.version,
            settled_before: progress.settled_before.as_ref().map(Place::from),
            intent: progress.intent.as_ref().map(|intent| (intent.key.clone(), (&intent.from).into())),
        }
    }

    pub(crate) fn take_over(items: &[TakeOver]) -> Self {
        let item = |TakeOver { tenant, id, from, to }: &TakeOver| {
            (tenant.clone(), id.clone(), from.clone(), to.clone())
        };
        Self::TakeOver(items.iter().map(item).collect())
    }

    /// Returns once the process has taken the effect over.
    #[expect(clippy::zombie_processes, reason = "it outlives the one who sends it off, who may die at once")]
    pub(crate) fn send_off(&self) {
        let data = std::env::args_os().skip_while(|argument| argument != "--data").nth(1);
        let mut process = Command::new(std::env::current_exe().expect("this program runs"))
            .env(VARIABLE, data.expect("a function is told its data folder"))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("this program can be started");
        let effect = process.stdin.take().expect("stdin is a pipe");
        serde_json::to_writer(effect, self).expect("the process reads it");
    }

    /// What such a process does.
    pub(crate) fn land(data: &Path) {
        let mut effect = Vec::new();
        let read = std::io::stdin().read_to_end(&mut effect).map(|_| serde_json::from_slice::<Self>(&effect));
        let Ok(Ok(late)) = read else { return };
        std::thread::sleep(DELAY);
        let data = DataFolder::open(data).expect("the folder is there");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(late.take_effect(&data));
    }

    async fn take_effect(self, data: &DataFolder) {
        match self {
            Self::Put { key, bytes, before } => {
                let objects = data.objects().expect("the bucket is there");
                let landed = objects.put_if_absent(&key, bytes.into(), Some(&before.into())).await;
                eprintln!("late: object {key}: {landed:?}");
            }
            Self::TakeOver(items) => {
                let store = EmbeddedItems(data.database().expect("the database is there"));
                let item = |(tenant, id, from, to)| TakeOver { tenant, id, from, to };
                let items: Vec<_> = items.into_iter().map(item).collect();
                let landed = store.take_over(&items).await;
                eprintln!("late: items {items:?}: {landed:?}");
            }
            Self::Write { shard, version, settled_before, intent } => {
                let ledger = EmbeddedLedger(data.database().expect("the database is there"));
                let intent = intent.map(|(key, from)| Intent { key, from: from.into() });
                let progress =
                    Progress { version, settled_before: settled_before.map(ShardPosition::from), intent };
                let landed = ledger.write(&shard, &progress).await;
                eprintln!("late: ledger {progress:?}: {landed:?}");
            }
        }
    }
}
