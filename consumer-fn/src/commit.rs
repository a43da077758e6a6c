//! Commit: writes archive objects and moves the ledger on, as [`crate::protocol`] decides. The records before the ledger's
//! end are then done.

use bytes::Bytes;
use shared::format::manifest_row::ManifestRow;
use shared::metric::Metric;
use shared::{config, gzip};
use tokio::time::Instant;

use crate::archive::Layout;
use crate::batch::Records;
use crate::insert::InsertOutcome;
use crate::ledger::{Intent, Ledger, Progress};
use crate::manifest::{self, Contents};
use crate::prefix::Prefix;
use crate::protocol::{Action, Attempt, Planned, Seen};
use crate::retry::{OutOfTime, retry};
use crate::span::Written;
use shared::objects::{Created, FoundObject, ObjectFailure, ObjectStore};
use shared::origin::ShardPosition;
use shared::traces::now;

/// How much of a batch is done.
#[derive(Debug)]
pub(crate) struct Committed {
    /// The records that this attempt finished.
    pub(crate) prefix: Prefix<InsertOutcome>,
    /// The objects that were written.
    pub(crate) objects: Vec<Written>,
    /// How many records of the batch are done. More than the prefix has if an earlier attempt got further than this one: it
    /// finished all records that it archived.
    pub(crate) records: usize,
}

/// The archive and the ledger of a shard, and the time limit for them.
#[derive(Debug)]
pub(crate) struct CommitStores<'a, O, L> {
    pub(crate) shard: &'a str,
    pub(crate) objects: &'a O,
    pub(crate) ledger: &'a L,
    pub(crate) until: Instant,
}

/// Archives the prefix's stored events. If a store does not answer in time, the prefix ends before the first record that the
/// ledger does not have as committed. An object alone is not enough, since the manifest would not list its lines.
///
/// `progress` is the ledger, if it was read already: writes are conditional on its version, so it may be old.
pub(crate) async fn commit<O: ObjectStore, L: Ledger>(
    mut prefix: Prefix<InsertOutcome>,
    batch: &Records,
    progress: Option<Progress>,
    stores: CommitStores<'_, O, L>,
    config: &config::Archive,
) -> Committed {
    let mut attempt = Attempt::new(ShardPosition::new(batch.first().sequence_number.clone(), 0));
    if let Some(progress) = progress {
        attempt.see(Action::Read, Seen::Progress(progress));
    }
    let mut layout = Layout::new(&prefix, batch, config);
    let mut committer = Committer { stores, row: None, written: Vec::new() };
    let mut carried = committer.carry_out(attempt, Some(&mut layout)).await;
    if let Ok(committed) = &carried
        && let Some(end) = layout.open_end(committed)
    {
        // These records are answered as done, so the ledger must say so too: redrive and audit read it.
        let fenced = committer.carry_out(Attempt::fence(end), None).await;
        carried = fenced.map_err(|(_, error)| (committed.clone(), error));
    }
    let record_at = |position: &ShardPosition| layout.in_batch(position).record;
    let records = match carried {
        Ok(position) => record_at(&position).max(prefix.records),
        Err((position, error)) => {
            let records = record_at(&position);
            tracing::error!(%error, batch.record = records, "the archive or the ledger did not answer in time, the batch ends there");
            records
        }
    };
    if records < prefix.records {
        prefix.end_before(records);
    }
    Committed { prefix, objects: committer.written, records }
}

/// Fences a shard: no attempt can archive anything before `end` any more, however late it writes. An announced object is
/// adopted if it exists; otherwise its key is closed by an empty object. The caller must know that no batch will begin before
/// `end`: `tidegate redrive` does, for records at the failure destination. What the manifest covers then is in the archive;
/// what it does not cover will never be archived by that origin.
pub async fn fence(
    shard: &str,
    end: ShardPosition,
    objects: &impl ObjectStore,
    ledger: &impl Ledger,
    until: Instant,
) -> Result<(), NotFenced> {
    let stores = CommitStores { shard, objects, ledger, until };
    let mut committer = Committer { stores, row: None, written: Vec::new() };
    let fenced = committer.carry_out(Attempt::fence(end), None).await;
    fenced.map(drop).map_err(|(_, error)| NotFenced(error.to_string()))
}

/// The ledger or the archive did not answer in time. Trying again is safe.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the shard could not be fenced: {0}")]
pub struct NotFenced(String);

/// Carries out what the protocol decides.
struct Committer<'a, O, L> {
    stores: CommitStores<'a, O, L>,
    /// The row of the object that closes the intent, and its sidecar. `None` for an object without lines.
    row: Option<(ManifestRow, Option<Bytes>)>,
    written: Vec<Written>,
}

impl<O: ObjectStore, L: Ledger> Committer<'_, O, L> {
    /// Runs an attempt to its end. Returns the end of what is committed, also with an error.
    async fn carry_out(
        &mut self,
        mut attempt: Attempt,
        mut layout: Option<&mut Layout<'_>>,
    ) -> Result<ShardPosition, (ShardPosition, OutOfTime)> {
        loop {
            let action = attempt.next(&mut |committed| layout.as_mut()?.next(committed));
            if let Action::Done(committed) = action {
                return Ok(committed);
            }
            match self.act(&action, layout.as_deref()).await {
                Ok(seen) => attempt.see(action, seen),
                Err(error) => return Err((attempt.committed_end().clone(), error)),
            }
        }
    }

    async fn act(&mut self, action: &Action, layout: Option<&Layout<'_>>) -> Result<Seen, OutOfTime> {
        let CommitStores { shard, ledger, until, .. } = self.stores;
        match action {
            Action::Read => retry(until, || ledger.read(shard)).await.map(Seen::Progress),
            Action::Write { progress, closed } => {
                if closed.is_some() {
                    self.note().await?;
                }
                retry(until, || ledger.write(shard, progress)).await.map(Seen::Written)
            }
            Action::Put(planned) => {
                let layout = layout.expect("a planned object has its bytes");
                let (bytes, contents) = layout.object(planned);
                let (size, began) = (bytes.len(), now());
                let seen = self.put(planned, bytes, contents, &layout.traces(planned)).await?;
                if matches!(seen, Seen::Put(Created::New)) {
                    let Planned { intent: Intent { key, from }, end } = planned;
                    let (key, covers) = (key.clone(), layout.in_batch(from)..layout.in_batch(end));
                    self.written.push(Written { key, bytes: size, covers, time: began..now() });
                }
                Ok(seen)
            }
            Action::Find(intent) => self.find(intent).await,
            Action::PutEmpty(intent, end) => self.put_empty(intent, end).await,
            Action::Done(_) => unreachable!("the loop ends with it"),
        }
    }

    /// On a second attempt the object exists. What it covers counts, which may be less or more than what was planned now.
    async fn put(
        &mut self,
        planned: &Planned,
        bytes: Bytes,
        contents: Contents,
        traces: &[&str],
    ) -> Result<Seen, OutOfTime> {
        let Planned { intent: Intent { key, from }, end } = planned;
        let created = self.create(key, &bytes, end).await?;
        if created == Created::New {
            tracing::info!(
                object.key = %key,
                object.bytes = bytes.len(),
                object.tenants = contents.ranges.len(),
                covers.end = %end,
                traces = ?traces,
                "archive object written"
            );
            self.row = manifest::row(key, from, end, &bytes, contents);
        }
        Ok(Seen::Put(created))
    }

    async fn find(&mut self, intent: &Intent) -> Result<Seen, OutOfTime> {
        let CommitStores { objects, until, .. } = self.stores;
        let find = || async { objects.find(&intent.key).await?.map(|found| read(intent, found)).transpose() };
        let found = retry(until, find).await?;
        let covered = found.map(|(row, end)| {
            tracing::info!(object.key = %intent.key, covers.end = %end, "archive object of an earlier attempt adopted");
            self.row = row;
            end
        });
        Ok(Seen::Found(covered))
    }

    async fn put_empty(&mut self, intent: &Intent, end: &ShardPosition) -> Result<Seen, OutOfTime> {
        let nothing = gzip::compress(b"", gzip::Level::FAST).into();
        let created = self.create(&intent.key, &nothing, end).await?;
        if created == Created::New {
            tracing::warn!(object.key = %intent.key, covers.end = %end, "archive key of an earlier attempt closed by an empty object");
            self.row = None;
            Metric::ObjectsWritten.add(1);
        }
        Ok(Seen::Put(created))
    }

    async fn create(&self, key: &str, bytes: &Bytes, end: &ShardPosition) -> Result<Created, OutOfTime> {
        let CommitStores { objects, until, .. } = self.stores;
        retry(until, || objects.put_if_absent(key, bytes.clone(), Some(end))).await
    }

    /// Before the ledger write, so that all committed lines are in the manifest.
    async fn note(&mut self) -> Result<(), OutOfTime> {
        let CommitStores { shard, objects, ledger, until } = self.stores;
        let Some((row, sidecar)) = self.row.take() else { return Ok(()) };
        if let Some(sidecar) = sidecar {
            let key = shared::format::key::manifest_sidecar(&row.key);
            retry(until, || objects.put(&key, sidecar.clone())).await?;
            Metric::SidecarsWritten.add(1);
        }
        retry(until, || ledger.note(shard, &row)).await
    }
}

/// The row of an object that was found, with its sidecar, and the end of what it covers.
type Adopted = (Option<(ManifestRow, Option<Bytes>)>, ShardPosition);

fn read(intent: &Intent, found: FoundObject) -> Result<Adopted, ObjectFailure> {
    let Intent { key, from } = intent;
    let end = found.covers_end;
    let end = end.ok_or_else(|| ObjectFailure(format!("the object `{key}` does not say what it covers")))?;
    let contents =
        Contents::scan(&found.bytes).map_err(|why| ObjectFailure(format!("the object `{key}`: {why}")))?;
    Ok((manifest::row(key, from, &end, &found.bytes, contents), end))
}
