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
use ingest_fn::{EventStream, OutgoingLine};
use shared::config::Config;
use shared::format::archive_line::Owner;
use shared::format::manifest_row::ManifestRow;
use shared::id::TenantId;
use shared::objects::ObjectStore;
use shared::partition::partition_key;

use crate::archive::{self, Absent, Span, each_line, members};
use crate::deployment::{Deployment, ManifestPart};
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
        Cursors::open(self.resume.clone(), task)
    }
}

/// Writes archive lines to `out`, which is standard output, unchanged.
pub async fn to_stdout(
    deployment: &impl Deployment,
    request: &ReplayRequest,
    mut out: impl Write,
) -> anyhow::Result<Replayed> {
    let cursors = request.cursors(deployment, "stdout")?;
    let mut pace = Pace::new(request.rate);
    replay(deployment, request, cursors, pace.portion(), async |lines| {
        pace.wait(lines.len()).await;
        let portion = [lines.join(&b'\n'), vec![b'\n']].concat();
        match out.write_all(&portion).and_then(|()| out.flush()) {
            Ok(()) => Ok(Some(Vec::new())),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(None),
            Err(error) => Err(error).context("stdout"),
        }
    })
    .await
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
    let portion = pace.portion();
    let mut publisher = RatedPublisher::new(target.stream(), target.objects(), pace);
    replay(deployment, request, cursors, portion, async |lines| {
        let (mut bundles, mut bytes, mut left_out) = (Vec::new(), 0, Vec::new());
        for line in lines {
            match line::event(line, deployment.objects()).await {
                Ok(event) => {
                    let key = partition_key(&event.facts.tenant, &event.facts.id, &config.tenants.spread);
                    let (line, parts) = OutgoingLine::new(event, key, config.publish.record_bytes);
                    bytes += line.line.len() + parts.iter().map(|(_, part)| part.len()).sum::<usize>();
                    bundles.push((line, parts));
                }
                Err(why) => left_out.push(format!("{why:#}: {}", String::from_utf8_lossy(line))),
            }
            if bytes > BYTES {
                publish(&mut publisher, std::mem::take(&mut bundles)).await?;
                bytes = 0;
            }
        }
        publish(&mut publisher, bundles).await?;
        Ok(Some(left_out))
    })
    .await
}

async fn publish<S: EventStream, O: ObjectStore>(
    publisher: &mut RatedPublisher<'_, S, O>,
    bundles: Vec<Bundle>,
) -> anyhow::Result<()> {
    match publisher.publish(bundles).await?.into_iter().find_map(Result::err) {
        Some(why) => {
            bail!("the stream did not accept everything: {why}; run it again with the same --resume")
        }
        None => Ok(()),
    }
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

/// `take` gets at most `portion` lines. It takes them durably: they are not sent again. It returns the lines that it left
/// out and why, or `None` if the reader has closed the pipe. After an error, some lines may have been taken.
async fn replay(
    deployment: &impl Deployment,
    request: &ReplayRequest,
    mut cursors: Cursors,
    portion: usize,
    mut take: impl AsyncFnMut(&[Vec<u8>]) -> anyhow::Result<Option<Vec<String>>>,
) -> anyhow::Result<Replayed> {
    let absent = Absent::of(deployment).await?;
    let since = absent.since(request.span.from);
    let mut replayed = Replayed { absent, ..Replayed::default() };
    for (shard, near) in archive::shards(deployment, since, drop).await? {
        // From the object at which it stopped, or from the first that may hold events of the span.
        let begun = match cursors.of(&shard).map(|cursor| cursor.first.clone()) {
            Some(first) => Some(first),
            None => archive::first_row(deployment, &shard, since, near).await?,
        };
        let part = begun.as_ref().map_or(ManifestPart::After(None), ManifestPart::At);
        let mut page = deployment.manifest(&shard, part).await?;
        while let Some(last) = page.last().map(|row: &ManifestRow| row.first.clone()) {
            for row in page.into_iter().filter(|row| request.span.overlaps(row.received_at)) {
                let lines = requested(deployment, request, &row, &mut replayed.absent).await?;
                let cursor = cursors.of(&shard).filter(|cursor| cursor.first == row.first);
                let mut done = cursor.map_or(0, |cursor| cursor.lines);
                replayed.objects += u64::from(done < lines.len());
                for lines in lines.get(done..).unwrap_or_default().chunks(portion) {
                    let Some(left_out) = take(lines).await? else {
                        return Ok(Replayed { is_closed: true, ..replayed });
                    };
                    done += lines.len();
                    replayed.events += (lines.len() - left_out.len()) as u64;
                    replayed.left_out.extend(left_out);
                    cursors.reach(&shard, ReplayCursor { first: row.first.clone(), lines: done })?;
                }
            }
            page = deployment.manifest(&shard, ManifestPart::After(Some(&last))).await?;
        }
    }
    Ok(replayed)
}

/// The requested lines of an object. If it does not exist, `absent` has it.
async fn requested(
    deployment: &impl Deployment,
    request: &ReplayRequest,
    row: &ManifestRow,
    absent: &mut Absent,
) -> anyhow::Result<Vec<Vec<u8>>> {
    let tenant = request.tenant.as_ref();
    let mut lines = Vec::new();
    for bytes in members(deployment, row, tenant, absent).await?.unwrap_or_default().0 {
        each_line(&bytes, |owner: Owner, line| {
            let is_requested =
                tenant.is_none_or(|tenant| *tenant == owner.tenant) && request.span.has(owner.received_at);
            lines.extend(is_requested.then(|| line.to_vec()));
        })
        .with_context(|| format!("the archive object `{}`", row.key))?;
    }
    Ok(lines)
}
