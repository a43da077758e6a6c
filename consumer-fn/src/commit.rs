//! Commit: archive objects are written, and the ledger is moved on, as [`crate::protocol`] says. From there on the
//! records before the mark are done.

use bytes::Bytes;
use shared::format::manifest_row::ManifestRow;
use shared::metric::Metric;
use shared::{config, gzip};
use tokio::time::Instant;

use crate::archive::Layout;
use crate::batch::Batch;
use crate::insert::Settled;
use crate::ledger::{Intent, Ledger};
use crate::manifest::{self, Contents};
use crate::prefix::Prefix;
use crate::protocol::{Action, Attempt, Planned, Seen};
use crate::retry::{OutOfTime, retry};
use shared::objects::{Created, FoundObject, ObjectFailure, ObjectStore};
use shared::origin::ShardPosition;

/// What is done of a batch.
#[derive(Debug)]
pub(crate) struct Committed {
    /// What was finished in this attempt.
    pub(crate) prefix: Prefix<Settled>,
    /// The size of each object that was written.
    pub(crate) object_bytes: Vec<usize>,
    /// How many records of the batch are done. More than the prefix has where an earlier attempt got further than
    /// this one: it did all that is to be done for what it archived.
    pub(crate) records: usize,
}

/// Where archive and ledger of a shard are, and how long they may take.
#[derive(Debug)]
pub(crate) struct Shelf<'a, O, L> {
    pub(crate) shard: &'a str,
    pub(crate) objects: &'a O,
    pub(crate) ledger: &'a L,
    pub(crate) until: Instant,
}

/// Archives the prefix's stored events. Where a store does not answer in time, the prefix ends before the first record
/// that the ledger does not call settled: an object alone is not enough, since nobody would note what it holds.
pub(crate) async fn commit<O: ObjectStore, L: Ledger>(
    mut prefix: Prefix<Settled>,
    batch: &Batch,
    shelf: Shelf<'_, O, L>,
    config: &config::Archive,
) -> Committed {
    let attempt = Attempt::new(ShardPosition::new(batch.first().sequence_number.clone(), 0));
    let mut layout = Layout::new(&prefix, batch, config);
    let mut hands = Hands { shelf, row: None, object_bytes: Vec::new() };
    let mut carried = hands.carry_out(attempt, Some(&mut layout)).await;
    if let Ok(settled) = &carried
        && let Some(end) = layout.open_end(settled)
    {
        // The answer says that these are done; the ledger must, too: who redrives or audits them has nobody else to ask.
        let fenced = hands.carry_out(Attempt::fence(end), None).await;
        carried = fenced.map_err(|(_, error)| (settled.clone(), error));
    }
    let settled = |mark: &ShardPosition| layout.place(mark).record;
    let records = match carried {
        Ok(mark) => settled(&mark).max(prefix.records),
        Err((mark, error)) => {
            let records = settled(&mark);
            tracing::error!(%error, batch.record = records, "the archive or its ledger is out of reach, the batch ends there");
            records
        }
    };
    if records < prefix.records {
        prefix.end_before(records);
    }
    Committed { prefix, object_bytes: hands.object_bytes, records }
}

/// Sees to it that no attempt archives anything of `shard` before `before` any more, however late: an object that is
/// under way is waited for no longer, but adopted if it is there and sealed if not. Only for who knows that no batch
/// will begin before `before`: `tidegate redrive`, for records that lie at the failure destination. What of them the
/// manifest covers then is in the archive, what it does not cover never will be by that origin.
pub async fn settle(
    shard: &str,
    before: ShardPosition,
    objects: &impl ObjectStore,
    ledger: &impl Ledger,
    until: Instant,
) -> Result<(), Unsettled> {
    let shelf = Shelf { shard, objects, ledger, until };
    let mut hands = Hands { shelf, row: None, object_bytes: Vec::new() };
    let settled = hands.carry_out(Attempt::fence(before), None).await;
    settled.map(drop).map_err(|(_, error)| Unsettled(error.to_string()))
}

/// Ledger or archive were out of reach. Trying again is safe.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the shard could not be settled: {0}")]
pub struct Unsettled(String);

/// Does what the protocol decides.
struct Hands<'a, O, L> {
    shelf: Shelf<'a, O, L>,
    /// The row of the object that closes the intent, and its sidecar. None for one without lines.
    row: Option<(ManifestRow, Option<Bytes>)>,
    object_bytes: Vec<usize>,
}

impl<O: ObjectStore, L: Ledger> Hands<'_, O, L> {
    /// Brings an attempt to its end. Gives up to where the ledger calls the shard settled.
    async fn carry_out(
        &mut self,
        mut attempt: Attempt,
        mut layout: Option<&mut Layout<'_>>,
    ) -> Result<ShardPosition, (ShardPosition, OutOfTime)> {
        loop {
            let action = attempt.next(&mut |settled| layout.as_mut()?.next(settled));
            if let Action::Done(settled) = action {
                return Ok(settled);
            }
            match self.act(&action, layout.as_deref()).await {
                Ok(seen) => attempt.see(action, seen),
                Err(error) => return Err((attempt.settled().clone(), error)),
            }
        }
    }

    async fn act(&mut self, action: &Action, layout: Option<&Layout<'_>>) -> Result<Seen, OutOfTime> {
        let Shelf { shard, ledger, until, .. } = self.shelf;
        match action {
            Action::Read => retry(until, || ledger.read(shard)).await.map(Seen::Progress),
            Action::Write { progress, closed } => {
                if closed.is_some() {
                    self.note().await?;
                }
                retry(until, || ledger.write(shard, progress)).await.map(Seen::Written)
            }
            Action::Put(planned) => {
                let layout = layout.expect("what is planned is laid out");
                let (bytes, contents) = layout.object(planned);
                self.put(planned, bytes, contents, &layout.traces(planned)).await
            }
            Action::Find(intent) => self.find(intent).await,
            Action::Seal(intent, before) => self.seal(intent, before).await,
            Action::Done(_) => unreachable!("the loop ends with it"),
        }
    }

    /// On the second attempt the object is there, and what it covers counts: that may be less than what was to be
    /// written now, or more.
    async fn put(
        &mut self,
        planned: &Planned,
        bytes: Bytes,
        contents: Contents,
        traces: &[&str],
    ) -> Result<Seen, OutOfTime> {
        let Planned { intent: Intent { key, from }, before } = planned;
        let created = self.create(key, &bytes, before).await?;
        if created == Created::New {
            tracing::info!(
                object.key = %key,
                object.bytes = bytes.len(),
                object.tenants = contents.ranges.len(),
                covers.before = %before,
                traces = ?traces,
                "archive object written"
            );
            self.row = manifest::row(key, from, before, &bytes, contents);
            self.object_bytes.push(bytes.len());
        }
        Ok(seen(created))
    }

    async fn find(&mut self, intent: &Intent) -> Result<Seen, OutOfTime> {
        let Shelf { objects, until, .. } = self.shelf;
        let find = || async { objects.find(&intent.key).await?.map(|found| read(intent, found)).transpose() };
        let found = retry(until, find).await?;
        let covered = found.map(|(row, before)| {
            tracing::info!(object.key = %intent.key, covers.before = %before, "archive object of an earlier attempt adopted");
            self.row = row;
            before
        });
        Ok(Seen::Found(covered))
    }

    async fn seal(&mut self, intent: &Intent, before: &ShardPosition) -> Result<Seen, OutOfTime> {
        let nothing = gzip::compress(b"", gzip::Level::FAST).into();
        let created = self.create(&intent.key, &nothing, before).await?;
        if created == Created::New {
            tracing::warn!(object.key = %intent.key, covers.before = %before, "archive key of an earlier attempt sealed");
            self.row = None;
            Metric::ObjectsWritten.add(1);
        }
        Ok(seen(created))
    }

    async fn create(&self, key: &str, bytes: &Bytes, before: &ShardPosition) -> Result<Created, OutOfTime> {
        let Shelf { objects, until, .. } = self.shelf;
        retry(until, || objects.put_if_absent(key, bytes.clone(), Some(before))).await
    }

    /// The ledger never calls settled what the manifest does not have.
    async fn note(&mut self) -> Result<(), OutOfTime> {
        let Shelf { shard, objects, ledger, until } = self.shelf;
        let Some((row, sidecar)) = self.row.take() else { return Ok(()) };
        if let Some(sidecar) = sidecar {
            let key = shared::format::key::manifest_sidecar(&row.key);
            retry(until, || objects.put(&key, sidecar.clone())).await?;
            Metric::SidecarsWritten.add(1);
        }
        retry(until, || ledger.note(shard, &row)).await
    }
}

fn seen(created: Created) -> Seen {
    match created {
        Created::New => Seen::Created,
        Created::Existed => Seen::Existed,
    }
}

/// The row of an object that was found, with its sidecar, and the first place behind what it covers.
type Adopted = (Option<(ManifestRow, Option<Bytes>)>, ShardPosition);

fn read(intent: &Intent, found: FoundObject) -> Result<Adopted, ObjectFailure> {
    let Intent { key, from } = intent;
    let before = found.covers_end;
    let before =
        before.ok_or_else(|| ObjectFailure(format!("the object `{key}` does not say what it covers")))?;
    let contents =
        Contents::scan(&found.bytes).map_err(|why| ObjectFailure(format!("the object `{key}`: {why}")))?;
    Ok((manifest::row(key, from, &before, &found.bytes, contents), before))
}
