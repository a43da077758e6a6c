//! Replay: archived events again, as NDJSON on stdout or on the stream of another deployment, which stores them as its
//! own. It reads shard after shard along the manifest, in each shard's order, and changes nothing where it reads.
//!
//! | file | holds |
//! |---|---|
//! | `line.rs` | an archive line as an event for another deployment |
//! | `resume.rs` | how far the replay is, in a file |

mod line;
mod resume;

use std::io::{ErrorKind, Write};
use std::path::PathBuf;

use anyhow::{Context, bail};
use bytes::Bytes;
use ingest_fn::{EventStream, OutgoingLine};
use shared::config::Config;
use shared::format::archive_line::Owner;
use shared::format::manifest_row::ManifestRow;
use shared::gzip;
use shared::id::TenantId;
use shared::objects::ObjectStore;
use shared::partition::partition_key;

use crate::archive::{self, Absent, Span, gone, ranges_of};
use crate::deployment::Deployment;
use crate::pace::Pace;
use crate::publish::{BYTES, Bundle, RatedPublisher};
use resume::{Cursors, ReplayCursor, ReplayTask};

/// Default rate to another deployment, in events a second. It leaves room for its ingest.
const RATE: u32 = 500;

#[derive(Clone, Debug, Default)]
pub struct ReplayRequest {
    /// Only this tenant's events.
    pub tenant: Option<TenantId>,
    /// Only events received in it.
    pub span: Span,
    /// Events a second at most.
    pub rate: Option<u32>,
    /// The file that remembers how far the replay is.
    pub resume: Option<PathBuf>,
}

impl ReplayRequest {
    fn cursors(&self, deployment: &impl Deployment, to: &str) -> anyhow::Result<Cursors> {
        let task = ReplayTask {
            of: deployment.identity().to_owned(),
            to: to.to_owned(),
            tenant: self.tenant.clone(),
            from: self.span.from,
            before: self.span.to,
        };
        Cursors::open(self.resume.clone(), &task)
    }
}

/// Writes archive lines to `out`, which is standard output.
pub async fn to_stdout(
    deployment: &impl Deployment,
    request: &ReplayRequest,
    out: impl Write,
) -> anyhow::Result<Replayed> {
    let cursors = request.cursors(deployment, "stdout")?;
    replay(deployment, request, cursors, ToStdout { out, pace: Pace::new(request.rate) }).await
}

/// Puts archived events on the stream of `target`. `config` says which tenants are spread there.
pub async fn to_deployment(
    deployment: &impl Deployment,
    target: &impl Deployment,
    config: &Config,
    request: &ReplayRequest,
) -> anyhow::Result<Replayed> {
    if target.identity() == deployment.identity() {
        bail!("`{}` is the deployment that is replayed: it has these events already", target.name());
    }
    let cursors = request.cursors(deployment, target.identity())?;
    let pace = Pace::new(Some(request.rate.unwrap_or(RATE)));
    let sink = ToStream {
        publisher: RatedPublisher::new(target.stream(), target.objects(), pace),
        source: deployment.objects(),
        config,
    };
    replay(deployment, request, cursors, sink).await
}

/// The result of a replay.
#[derive(Debug, Default)]
pub struct Replayed {
    pub events: u64,
    pub objects: u64,
    /// Lines that could not be replayed, and why.
    pub left_out: Vec<String>,
    /// Objects that the manifest has and that do not exist.
    pub absent: Absent,
    /// The reader has closed the pipe.
    pub is_closed: bool,
}

struct Taken {
    left_out: Vec<String>,
    is_closed: bool,
}

trait ReplaySink {
    /// Most lines of one call.
    fn portion(&self) -> usize;
    /// Takes lines, durably: they are not sent again. After an error, some may have been taken.
    async fn take(&mut self, lines: &[Vec<u8>]) -> anyhow::Result<Taken>;
}

/// To stdout, unchanged.
struct ToStdout<W> {
    out: W,
    pace: Pace,
}

impl<W: Write> ReplaySink for ToStdout<W> {
    fn portion(&self) -> usize {
        self.pace.portion()
    }

    async fn take(&mut self, lines: &[Vec<u8>]) -> anyhow::Result<Taken> {
        self.pace.wait(lines.len()).await;
        let portion = [lines.join(&b'\n'), vec![b'\n']].concat();
        let is_closed = match self.out.write_all(&portion).and_then(|()| self.out.flush()) {
            Ok(()) => false,
            Err(error) if error.kind() == ErrorKind::BrokenPipe => true,
            Err(error) => return Err(error).context("stdout"),
        };
        Ok(Taken { left_out: Vec::new(), is_closed })
    }
}

/// To another deployment's stream.
struct ToStream<'a, S, O, F> {
    publisher: RatedPublisher<'a, S, O>,
    /// The objects of the replayed deployment.
    source: &'a F,
    config: &'a Config,
}

impl<S: EventStream, O: ObjectStore, F: ObjectStore> ReplaySink for ToStream<'_, S, O, F> {
    fn portion(&self) -> usize {
        self.publisher.portion()
    }

    async fn take(&mut self, lines: &[Vec<u8>]) -> anyhow::Result<Taken> {
        let (mut bundles, mut bytes, mut left_out) = (Vec::new(), 0, Vec::new());
        for line in lines {
            match line::event(line, self.source).await {
                Ok(event) => {
                    let partition_key =
                        partition_key(&event.facts.tenant, &event.facts.id, &self.config.tenants.spread);
                    let (line, parts) =
                        OutgoingLine::new(event, partition_key, self.config.publish.record_bytes);
                    bytes += line.line.len() + parts.iter().map(|(_, part)| part.len()).sum::<usize>();
                    bundles.push(Bundle { line, parts });
                }
                Err(why) => left_out.push(format!("{why:#}: {}", String::from_utf8_lossy(line))),
            }
            if bytes > BYTES {
                self.publish(std::mem::take(&mut bundles)).await?;
                bytes = 0;
            }
        }
        self.publish(bundles).await?;
        Ok(Taken { left_out, is_closed: false })
    }
}

impl<S: EventStream, O: ObjectStore, F> ToStream<'_, S, O, F> {
    async fn publish(&mut self, bundles: Vec<Bundle>) -> anyhow::Result<()> {
        let answers = self.publisher.publish(bundles).await?;
        match answers.into_iter().find_map(Result::err) {
            Some(why) => {
                bail!("the stream did not accept everything: {why}; run it again with the same --resume")
            }
            None => Ok(()),
        }
    }
}

async fn replay(
    deployment: &impl Deployment,
    request: &ReplayRequest,
    mut cursors: Cursors,
    mut sink: impl ReplaySink,
) -> anyhow::Result<Replayed> {
    let span = request.span;
    let absent = Absent::of(deployment).await?;
    let since = absent.since(span.from);
    let mut replayed = Replayed { absent, ..Replayed::default() };
    for (shard, near) in archive::shards(deployment, since, drop).await? {
        // From the object at which it stopped, or from the first that may hold events of the span.
        let begun = match cursors.of(&shard).map(ReplayCursor::first) {
            Some(first) => Some(first),
            None => archive::first_row(deployment, &shard, since, near).await?,
        };
        let mut page = match &begun {
            Some(first) => deployment.manifest_at(&shard, first).await?.into_iter().collect(),
            None => deployment.manifest(&shard, None).await?,
        };
        while let Some(last) = page.last().map(|row: &ManifestRow| row.first.clone()) {
            for row in page.iter().filter(|row| span.overlaps(row.received_at)) {
                object(deployment, request, &shard, row, &mut cursors, &mut sink, &mut replayed).await?;
                if replayed.is_closed {
                    return Ok(replayed);
                }
            }
            page = deployment.manifest(&shard, Some(&last)).await?;
        }
    }
    Ok(replayed)
}

/// Replays the requested lines of one object, portion after portion.
async fn object(
    deployment: &impl Deployment,
    request: &ReplayRequest,
    shard: &str,
    row: &ManifestRow,
    cursors: &mut Cursors,
    sink: &mut impl ReplaySink,
    replayed: &mut Replayed,
) -> anyhow::Result<()> {
    let (tenant, span) = (request.tenant.as_ref(), request.span);
    let mut lines = Vec::new();
    let members = match members(deployment, tenant, row).await? {
        Ok(members) => members,
        Err(why) => {
            replayed.absent.add(row, &why);
            return Ok(());
        }
    };
    for bytes in members {
        chosen(&bytes, tenant, span, &mut lines)
            .with_context(|| format!("the archive object `{}`", row.key))?;
    }
    let mut done =
        cursors.of(shard).filter(|cursor| cursor.first() == row.first).map_or(0, |cursor| cursor.lines);
    replayed.objects += u64::from(done < lines.len());
    while done < lines.len() {
        let portion = &lines[done..lines.len().min(done + sink.portion())];
        let taken = sink.take(portion).await?;
        replayed.is_closed = taken.is_closed;
        if taken.is_closed {
            return Ok(());
        }
        done += portion.len();
        replayed.events += (portion.len() - taken.left_out.len()) as u64;
        replayed.left_out.extend(taken.left_out);
        cursors.reach(shard, ReplayCursor::new(&row.first, done))?;
    }
    Ok(())
}

/// The gzip members with the requested lines, or why they cannot be read.
async fn members(
    deployment: &impl Deployment,
    tenant: Option<&TenantId>,
    row: &ManifestRow,
) -> anyhow::Result<Result<Vec<Bytes>, String>> {
    let Some(tenant) = tenant else {
        let object = deployment.objects().get(&row.key).await?;
        return Ok(object.map(|object| vec![object]).ok_or_else(|| gone(row)));
    };
    let ranges = match ranges_of(deployment, row).await? {
        Ok((ranges, _)) => ranges,
        Err(why) => return Ok(Err(why)),
    };
    let mut members = Vec::new();
    for range in ranges.into_iter().filter(|range| range.tenant == *tenant) {
        let Some(member) = deployment.get_range(&row.key, range.offset, range.length).await? else {
            return Ok(Err(gone(row)));
        };
        members.push(member);
    }
    Ok(Ok(members))
}

/// The requested lines of gzip members.
fn chosen(
    bytes: &[u8],
    tenant: Option<&TenantId>,
    span: Span,
    lines: &mut Vec<Vec<u8>>,
) -> anyhow::Result<()> {
    let (mut bad, mut offset) = (None, 0);
    while offset < bytes.len() {
        offset +=
            gzip::first_member_lines(&bytes[offset..], |line| match serde_json::from_slice::<Owner>(line) {
                Ok(head) => {
                    let is_chosen =
                        tenant.is_none_or(|tenant| *tenant == head.tenant) && span.has(head.received_at);
                    lines.extend(is_chosen.then(|| line.to_vec()));
                }
                Err(error) => bad = Some(error),
            })?;
    }
    bad.map_or(Ok(()), |error| Err(error).context("a line of it cannot be read"))
}
