//! A fault plan: which call of which operation fails, and how. It comes from `TIDEGATE_TEST_FAULTS` (JSON), and the
//! calls are counted in a folder (`TIDEGATE_TEST_FAULTS_DIR`), so that the count goes on when a process dies.
//!
//! What is to begin and to end while the process runs is not planned but told: a file `StreamPut.now` in that folder,
//! which holds a fault's name, is read at every call, and goes before the plan for as long as it is there.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;

/// One fault.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    operation: Operation,
    /// Which calls, counted from 1: `from` to `to`, both included.
    from: u64,
    to: u64,
    fault: Fault,
}

/// Where a fault can strike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Operation {
    /// The door's put to the stream, or the drain's.
    StreamPut,
    /// The door's send to the spill queue.
    SpillSend,
    /// The consumer's insert of items.
    ItemsInsert,
    /// The consumer's taking over of items that redriven events left behind.
    ItemsTakeOver,
    /// The consumer's put of a large text.
    TextPut,
    /// The consumer's put of a quarantine object.
    QuarantinePut,
    /// The consumer's read of the ledger.
    LedgerRead,
    /// The consumer's write to the ledger of what it is going to archive.
    LedgerIntent,
    /// The consumer's put of an archive object.
    ArchivePut,
    /// The consumer's manifest row.
    ManifestNote,
    /// The consumer's write to the ledger of what is settled, with nothing more to archive: the last effect before
    /// the answer.
    LedgerSettle,
}

/// What happens instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Fault {
    /// Nothing has an effect, and the call says so.
    Refuse,
    /// Every second element is refused, the others take effect.
    RefuseSome,
    /// It takes effect, and the call says that it failed.
    FailAfter,
    /// Nothing has an effect, and the call never ends.
    Hang,
    /// The process dies first.
    DieBefore,
    /// It takes effect, and the process dies.
    DieAfter,
    /// The call says that it failed, and it takes effect a little later.
    Late,
    /// The process dies, and it takes effect a little later.
    DieLate,
}

/// The plan of this process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    rules: Arc<[Rule]>,
    folder: PathBuf,
    /// Part of an event id that the consumer dies of.
    crash_on: Option<String>,
}

impl Faults {
    /// No faults where the environment names none.
    pub(crate) fn from_environment() -> Result<Self, String> {
        let Ok(rules) = std::env::var("TIDEGATE_TEST_FAULTS") else { return Ok(Self::default()) };
        let rules: Vec<Rule> =
            serde_json::from_str(&rules).map_err(|error| format!("TIDEGATE_TEST_FAULTS: {error}"))?;
        let folder = std::env::var("TIDEGATE_TEST_FAULTS_DIR")
            .map_err(|_| "TIDEGATE_TEST_FAULTS_DIR is not set".to_owned())?;
        let crash_on = std::env::var("TIDEGATE_TEST_CRASH_ON").ok().filter(|marker| !marker.is_empty());
        Ok(Self { rules: rules.into(), folder: folder.into(), crash_on })
    }

    /// Dies if one of the ids has the marker in it.
    pub(crate) fn look_at<'a>(&self, mut ids: impl Iterator<Item = &'a str>) {
        if let Some(marker) = &self.crash_on
            && ids.any(|id| id.contains(marker))
        {
            die();
        }
    }

    /// Counts a call; the fault that strikes it, if any.
    pub(crate) fn strike(&self, operation: Operation) -> Option<Fault> {
        if let Some(fault) = self.now(operation) {
            return Some(fault);
        }
        if self.rules.iter().all(|rule| rule.operation != operation) {
            return None;
        }
        let call = self.count(operation);
        self.rules
            .iter()
            .find(|rule| rule.operation == operation && (rule.from..=rule.to).contains(&call))
            .map(|rule| rule.fault)
    }

    /// The fault that every call has at present.
    fn now(&self, operation: Operation) -> Option<Fault> {
        let name = std::fs::read_to_string(self.folder.join(format!("{operation:?}.now"))).ok()?;
        Some(serde_json::from_value(name.into()).expect("the file holds a fault's name"))
    }

    /// The number of this call, from 1: a byte is appended to the operation's file for each.
    fn count(&self, operation: Operation) -> u64 {
        let path = self.folder.join(format!("{operation:?}"));
        let mut file =
            OpenOptions::new().create(true).append(true).open(path).expect("the folder is the test's");
        file.write_all(b".").expect("the folder is the test's");
        file.metadata().expect("the file is open").len()
    }
}

/// Ends the process as `kill -9` does: nothing is flushed, nothing is unwound.
pub(crate) fn die() -> ! {
    let me = std::process::id().to_string();
    let _killed = std::process::Command::new("kill").args(["-9", &me]).status();
    std::process::abort()
}
