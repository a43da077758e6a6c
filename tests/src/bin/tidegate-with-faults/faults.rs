//! The fault plan: which call of which operation fails, and how. The plan is JSON in `TIDEGATE_TEST_FAULTS`. Calls are
//! counted in the folder `TIDEGATE_TEST_FAULTS_DIR`, so the count continues after a process has died.
//!
//! A test can also start and end a fault while the process runs: a file such as `StreamPut.now` in that folder
//! contains the name of a fault. It is read at every call, and overrides the plan while it exists.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    operation: Operation,
    /// Calls `from` to `to` have the fault, both included, counted from 1.
    from: u64,
    to: u64,
    fault: PlannedFault,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Operation {
    /// By ingest or the drain.
    StreamPut,
    /// By ingest.
    SpillSend,
    /// This and the following are calls of the consumer.
    ItemsInsert,
    /// Items of redriven events get a new origin.
    ItemsTakeOver,
    TextPut,
    /// A part of a claim check is read.
    ClaimGet,
    QuarantinePut,
    LedgerRead,
    /// The ledger write that announces an archive object.
    LedgerIntent,
    ArchivePut,
    ManifestNote,
    /// The ledger write that commits a range and announces no other object. It is the last effect before the answer.
    LedgerCommit,
    /// Stored events go to the dispatch queue.
    DispatchSend,
    /// By the dispatcher: the target has taken an event.
    DispatchNote,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PlannedFault {
    /// The call has no effect and fails.
    Refuse,
    /// Every second element is refused, the others take effect.
    RefuseSome,
    /// The call takes effect and fails.
    FailAfter,
    /// The call has no effect and never ends.
    Hang,
    /// The process dies before the call.
    DieBefore,
    /// The call takes effect, then the process dies.
    DieAfter,
    /// The call fails, and takes effect a little later.
    Late,
    /// The process dies, and the call takes effect a little later.
    DieLate,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct FaultPlan {
    rules: Arc<[Rule]>,
    folder: PathBuf,
    /// The consumer dies on an event whose id contains this.
    crash_on: Option<String>,
}

impl FaultPlan {
    /// Without the variables, there are no faults.
    pub(crate) fn from_environment() -> Result<Self, String> {
        let Ok(rules) = std::env::var("TIDEGATE_TEST_FAULTS") else { return Ok(Self::default()) };
        let rules: Vec<Rule> =
            serde_json::from_str(&rules).map_err(|error| format!("TIDEGATE_TEST_FAULTS: {error}"))?;
        let folder = std::env::var("TIDEGATE_TEST_FAULTS_DIR")
            .map_err(|_| "TIDEGATE_TEST_FAULTS_DIR is not set".to_owned())?;
        let crash_on = std::env::var("TIDEGATE_TEST_CRASH_ON").ok().filter(|marker| !marker.is_empty());
        Ok(Self { rules: rules.into(), folder: folder.into(), crash_on })
    }

    /// Dies if one of the ids contains the marker.
    pub(crate) fn crash_on<'a>(&self, mut ids: impl Iterator<Item = &'a str>) {
        if let Some(marker) = &self.crash_on
            && ids.any(|id| id.contains(marker))
        {
            die();
        }
    }

    /// Counts a call. Returns its fault, if it has one.
    pub(crate) fn next(&self, operation: Operation) -> Option<PlannedFault> {
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

    /// The fault that every call has now.
    fn now(&self, operation: Operation) -> Option<PlannedFault> {
        let name = std::fs::read_to_string(self.folder.join(format!("{operation:?}.now"))).ok()?;
        Some(serde_json::from_value(name.into()).expect("the file holds a fault's name"))
    }

    /// The number of this call, from 1. Each call appends a byte to the operation's file.
    fn count(&self, operation: Operation) -> u64 {
        let path = self.folder.join(format!("{operation:?}"));
        let mut file =
            OpenOptions::new().create(true).append(true).open(path).expect("the test has created the folder");
        file.write_all(b".").expect("the test has created the folder");
        file.metadata().expect("the file is open").len()
    }
}

/// Ends the process as `kill -9` does, without flushing or unwinding.
pub(crate) fn die() -> ! {
    let me = std::process::id().to_string();
    let _killed = std::process::Command::new("kill").args(["-9", &me]).status();
    std::process::abort()
}
