//! Late effects: a call takes effect when its caller has stopped waiting or is dead. A process of its own waits a
//! moment, then makes the call on the adapters without faults.

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

/// The variable with the data folder of such a process.
pub(crate) const VARIABLE: &str = "TIDEGATE_TEST_LATE";
const DELAY: Duration = Duration::from_millis(60);

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum LateEffect {
    Put {
        key: String,
        bytes: Vec<u8>,
        before: SavedPosition,
    },
    Write {
        shard: String,
        version: u32,
        committed_end: Option<SavedPosition>,
        intent: Option<(String, SavedPosition)>,
    },
    TakeOver(Vec<(TenantId, EventId, Origin, Origin)>),
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SavedPosition(String, u32);

impl From<&ShardPosition> for SavedPosition {
    fn from(mark: &ShardPosition) -> Self {
        Self(mark.sequence_number.to_string(), mark.position)
    }
}

impl From<SavedPosition> for ShardPosition {
    fn from(SavedPosition(sequence_number, position): SavedPosition) -> Self {
        Self::new(sequence_number, position)
    }
}

impl LateEffect {
    pub(crate) fn put(key: &str, bytes: &Bytes, before: &ShardPosition) -> Self {
        Self::Put { key: key.to_owned(), bytes: bytes.to_vec(), before: before.into() }
    }

    pub(crate) fn write(shard: &str, progress: &Progress) -> Self {
        Self::Write {
            shard: shard.to_owned(),
            version: progress.version,
            committed_end: progress.committed_end.as_ref().map(SavedPosition::from),
            intent: progress.intent.as_ref().map(|intent| (intent.key.clone(), (&intent.from).into())),
        }
    }

    pub(crate) fn take_over(items: &[TakeOver]) -> Self {
        let item = |TakeOver { tenant, id, from, to }: &TakeOver| {
            (tenant.clone(), id.clone(), from.clone(), to.clone())
        };
        Self::TakeOver(items.iter().map(item).collect())
    }

    /// Returns once the process has received the effect.
    #[expect(clippy::zombie_processes, reason = "it outlives this process, which may die at once")]
    pub(crate) fn send_off(&self) {
        let data = std::env::args_os().skip_while(|argument| argument != "--data").nth(1);
        let mut process = Command::new(std::env::current_exe().expect("this program runs"))
            .env(VARIABLE, data.expect("a function has the option --data"))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("this program can be started");
        let effect = process.stdin.take().expect("stdin is a pipe");
        serde_json::to_writer(effect, self).expect("the process reads it");
    }

    /// Runs in the other process.
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
                let result = objects.put_if_absent(&key, bytes.into(), Some(&before.into())).await;
                eprintln!("late: object {key}: {result:?}");
            }
            Self::TakeOver(items) => {
                let store = EmbeddedItems(data.database().expect("the database is there"));
                let item = |(tenant, id, from, to)| TakeOver { tenant, id, from, to };
                let items: Vec<_> = items.into_iter().map(item).collect();
                let result = store.take_over(&items).await;
                eprintln!("late: items {items:?}: {result:?}");
            }
            Self::Write { shard, version, committed_end, intent } => {
                let ledger = EmbeddedLedger(data.database().expect("the database is there"));
                let intent = intent.map(|(key, from)| Intent { key, from: from.into() });
                let progress =
                    Progress { version, committed_end: committed_end.map(ShardPosition::from), intent };
                let result = ledger.write(&shard, &progress).await;
                eprintln!("late: ledger {progress:?}: {result:?}");
            }
        }
    }
}
