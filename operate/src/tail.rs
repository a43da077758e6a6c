//! Archived events as they are stored: the last ones, then new ones, along the manifest.
//!
//! The rows of a shard appear in the shard's order. An object's row is written before the ledger names the next object,
//! and objects without a row are not looked at. So every row after the last printed one is new, however late its object
//! was written or adopted, and the order is the same after a restart of the pipeline.

mod arrivals;
#[cfg(test)]
mod tests;

pub use arrivals::Arrivals;

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Write};
use std::time::Duration;

use anyhow::{Context, bail};
use shared::archive::{NotRead, each_line, ranges_of, whole_line};
use shared::format::archive_line::Identity;
use shared::format::manifest_row::{ManifestRow, TenantIndex};
use shared::id::TenantId;
use shared::origin::ShardPosition;
use shared::time::Timestamp;
use tokio::time::{Instant, sleep};

use crate::archive::{self, Absent, members};
use crate::deployment::{Deployment, ManifestPart};

/// While following, reading may fail for so long before the command ends with the error.
const PATIENCE: Duration = Duration::from_mins(1);

#[derive(Clone, Debug, Default)]
pub struct TailRequest {
    /// Only this tenant's events. No other tenant's bytes are read.
    pub tenant: Option<TenantId>,
    /// How many events that are stored already. A row of the manifest is held in memory for each.
    pub lines: usize,
    /// Continue with new events, and look for them this often.
    pub follow: Option<Duration>,
}

/// A tail, which may be dropped at any moment: each line is written whole.
pub struct Tail<'a, D, W> {
    deployment: &'a D,
    request: TailRequest,
    out: W,
    on_note: &'a dyn Fn(String),
    /// For each shard the next row to print.
    cursors: BTreeMap<String, Cursor>,
    left_out: u64,
    /// Why no more can be written.
    closed: Option<io::Error>,
}

/// How far a shard is printed: the row that begins at `after`, and so many lines of the next one.
#[derive(Clone, Debug, Default)]
struct Cursor {
    after: Option<ShardPosition>,
    lines: usize,
}

/// A row with some of the last events.
struct Chosen {
    row: ManifestRow,
    /// How many of its lines, from the first on, are not among the last events.
    skipped: usize,
}

impl<'a, D: Deployment, W: Write> Tail<'a, D, W> {
    /// `on_note` gets what people should know, such as an object that is lost.
    pub fn new(deployment: &'a D, request: TailRequest, out: W, on_note: &'a dyn Fn(String)) -> Self {
        let cursors = BTreeMap::new();
        Self { deployment, request, out, on_note, cursors, left_out: 0, closed: None }
    }

    /// How many objects and texts do not exist that should.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Prints the last events; then, if it follows, new ones until the reader closes the pipe.
    pub async fn run(&mut self) -> anyhow::Result<()> {
        for Chosen { row, skipped } in self.last_events().await? {
            self.print(&row, &mut { skipped }).await?;
        }
        let Some(pause) = self.request.follow else { return self.ended() };
        let mut failing: Option<Instant> = None;
        while self.closed.is_none() {
            sleep(pause).await;
            match self.print_new().await {
                Ok(()) => failing = None,
                Err(error) if failing.is_some_and(|since| since.elapsed() >= PATIENCE) => return Err(error),
                Err(error) if failing.is_none() => {
                    failing = Some(Instant::now());
                    (self.on_note)(format!("reading failed and is repeated: {error:#}"));
                }
                Err(_) => {}
            }
        }
        self.ended()
    }

    fn ended(&mut self) -> anyhow::Result<()> {
        match self.closed.take() {
            Some(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("stdout"),
            _ => Ok(()),
        }
    }

    /// The objects of the last events, in order; and the cursors after them.
    async fn last_events(&mut self) -> anyhow::Result<Vec<Chosen>> {
        let absent = Absent::of(self.deployment).await?;
        let streamed = self.shards().await?;
        let mut ends = Vec::new();
        // The youngest shard first, as in `print_new`.
        for shard in streamed.iter().rev() {
            let end = Backwards::new(self.deployment, shard).await?;
            self.cursors.insert(shard.clone(), Cursor { after: end.first(), lines: 0 });
            ends.push(end);
        }
        let mut wanted = self.request.lines;
        let mut chosen = self.choose(ends, &mut wanted, &absent).await?;
        if wanted > 0 {
            // Shards that the stream no longer has: their events are older than those of the others.
            let since = absent.since(Timestamp::default());
            let mut ends = Vec::new();
            for shard in archive::shards(self.deployment, since, drop).await?.into_keys() {
                if !streamed.contains(&shard) {
                    ends.push(Backwards::new(self.deployment, &shard).await?);
                }
            }
            chosen.extend(self.choose(ends, &mut wanted, &absent).await?);
        }
        chosen.reverse();
        Ok(chosen)
    }

    /// Rows with the last `wanted` events of these shards, the last first. Rows of several shards are in the order of their
    /// sequence numbers, so the shards of a split come after their parent.
    async fn choose(
        &mut self,
        mut ends: Vec<Backwards>,
        wanted: &mut usize,
        absent: &Absent,
    ) -> anyhow::Result<Vec<Chosen>> {
        let mut chosen = Vec::new();
        while *wanted > 0
            && let Some(last) =
                ends.iter_mut().filter(|end| end.first().is_some()).max_by_key(|end| end.first())
            && let Some(mut row) = last.next(self.deployment).await?
        {
            if absent.has_expired(&row) {
                // And so have all before it.
                last.rows.clear();
                continue;
            }
            let lines = match &self.request.tenant {
                None => {
                    row.tenants = TenantIndex::Ranges(Vec::new());
                    row.lines
                }
                Some(tenant) => match ranges_of(self.deployment.objects(), &row).await {
                    Ok((mut ranges, _)) => {
                        ranges.retain(|range| range.tenant == *tenant);
                        let lines = ranges.iter().map(|range| range.lines).sum();
                        row.tenants = TenantIndex::Ranges(ranges);
                        lines
                    }
                    Err(failure @ NotRead::Store(_)) => return Err(failure.into()),
                    Err(NotRead::Unreadable(why)) => {
                        self.leave_out(&format!("{}: {why}", row.key));
                        0
                    }
                },
            };
            if lines > 0 {
                chosen.push(Chosen { row, skipped: lines.saturating_sub(*wanted) });
                *wanted = wanted.saturating_sub(lines);
            }
        }
        Ok(chosen)
    }

    /// Prints all rows after the cursors, shard after shard.
    ///
    /// A shard that came from a split is read only after its parent is archived. So rows are read from the youngest shard
    /// back and printed from the oldest on: then all rows of the parent are printed before those of its children.
    async fn print_new(&mut self) -> anyhow::Result<()> {
        let shards = self.shards().await?;
        self.cursors.retain(|shard, _| shards.contains(shard));
        let mut pages = Vec::new();
        for shard in shards.into_iter().rev() {
            let after = self.cursors.get(&shard).and_then(|cursor| cursor.after.as_ref());
            let page = self.deployment.manifest(&shard, ManifestPart::After(after)).await?;
            pages.push((shard, page));
        }
        for (shard, mut page) in pages.into_iter().rev() {
            while !page.is_empty() {
                for row in page {
                    let mut lines = self.cursors.get(&shard).map_or(0, |cursor| cursor.lines);
                    let printed = self.print(&row, &mut lines).await;
                    let cursor = self.cursors.entry(shard.clone()).or_default();
                    cursor.lines = lines;
                    printed?;
                    if self.closed.is_some() {
                        return Ok(());
                    }
                    *cursor = Cursor { after: Some(row.first), lines: 0 };
                }
                let after = self.cursors[&shard].after.as_ref();
                page = self.deployment.manifest(&shard, ManifestPart::After(after)).await?;
            }
        }
        Ok(())
    }

    /// Prints a row's lines after the first `done` ones, which it counts on.
    async fn print(&mut self, row: &ManifestRow, done: &mut usize) -> anyhow::Result<()> {
        let tenant = self.request.tenant.as_ref();
        let mut absent = Absent::none_has_expired();
        let found = members(self.deployment, row, tenant, &mut absent).await?;
        for lost in absent.describe() {
            self.left_out += 1;
            (self.on_note)(lost);
        }
        let Some((members, _)) = found else { return Ok(()) };
        let lines = in_order(&members, self.request.tenant.as_ref())
            .with_context(|| format!("`{}` is not as its manifest row says", row.key))?;
        for line in lines.iter().skip(*done) {
            let whole = match whole_line(line, self.deployment.objects()).await {
                Ok(whole) => whole,
                Err(failure @ NotRead::Store(_)) => return Err(failure.into()),
                Err(NotRead::Unreadable(why)) => {
                    self.leave_out(&format!("a text of `{}`: {why}", row.key));
                    line.into()
                }
            };
            if !self.write(|out| out.write_all(&whole).and_then(|()| out.write_all(b"\n"))) {
                return Ok(());
            }
            *done += 1;
        }
        self.write(W::flush);
        Ok(())
    }

    fn write(&mut self, write: impl FnOnce(&mut W) -> io::Result<()>) -> bool {
        if self.closed.is_none() {
            self.closed = write(&mut self.out).err();
        }
        self.closed.is_none()
    }

    fn leave_out(&mut self, what: &str) {
        self.left_out += 1;
        (self.on_note)(format!("left out: {what}"));
    }

    /// The stream's shards, the oldest first.
    async fn shards(&self) -> anyhow::Result<Vec<String>> {
        let mut shards = self.deployment.shards().await?;
        shards.sort();
        Ok(shards)
    }
}

/// A shard's manifest from its end.
struct Backwards {
    shard: String,
    /// The last one is next.
    rows: Vec<ManifestRow>,
}

impl Backwards {
    async fn new(deployment: &impl Deployment, shard: &str) -> anyhow::Result<Self> {
        let mut end = Self { shard: shard.to_owned(), rows: Vec::new() };
        end.read(deployment, None).await?;
        Ok(end)
    }

    /// Where the next row begins.
    fn first(&self) -> Option<ShardPosition> {
        self.rows.last().map(|row| row.first.clone())
    }

    async fn next(&mut self, deployment: &impl Deployment) -> anyhow::Result<Option<ManifestRow>> {
        let next = self.rows.pop();
        if let Some(next) = next.as_ref().filter(|_| self.rows.is_empty()) {
            self.read(deployment, Some(&next.first)).await?;
        }
        Ok(next)
    }

    async fn read(
        &mut self,
        deployment: &impl Deployment,
        end: Option<&ShardPosition>,
    ) -> anyhow::Result<()> {
        self.rows = deployment.manifest(&self.shard, ManifestPart::Before(end)).await?;
        self.rows.reverse();
        Ok(())
    }
}

/// The lines of an object in the order of the shard: an object has them grouped by tenant. With a tenant, all must be its.
fn in_order(members: &[bytes::Bytes], tenant: Option<&TenantId>) -> anyhow::Result<Vec<Vec<u8>>> {
    let (mut lines, mut is_foreign) = (Vec::new(), false);
    for member in members {
        each_line(member, |line: Identity, bytes| {
            is_foreign |= tenant.is_some_and(|tenant| *tenant != line.tenant);
            lines.push((ShardPosition::from(&line.origin()), bytes.to_vec()));
        })?;
    }
    if let Some(tenant) = tenant.filter(|_| is_foreign) {
        bail!("its range of `{tenant}` holds something else");
    }
    lines.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(lines.into_iter().map(|(_, line)| line).collect())
}
