//! `tidegate replay`: what is archived, once more: as NDJSON on stdout, or to another deployment, which stores it as its
//! own. Shard after shard along the manifest, each in its order; nothing is changed where it reads.
//!
//! | file | holds |
//! |---|---|
//! | `line.rs` | an archive line as an event for another deployment |
//! | `place.rs` | how far it is, in a file |

mod line;
mod place;

use std::io::{self, ErrorKind, Write};

use anyhow::{Context, bail};
use bytes::Bytes;
use consumer_fn::ObjectStore;
use ingest_fn::{EventStream, OutgoingLine};
use local::adapters::Adapters;
use shared::config::Config;
use shared::format::archive_line::Owner;
use shared::format::manifest_row::ManifestRow;
use shared::gzip;
use shared::id::TenantId;
use shared::partition::partition_key;

use crate::archive::{self, Absent, Span, gone, ranges_of};
use crate::arguments::ReplayOptions;
use crate::deployment::{Deployment, Opened};
use crate::pace::Pace;
use crate::redrive::{BYTES, Bringer, Bundle};
use place::{Place, Places, Task};

/// Events a second to another deployment, unless something else is said: its door is to have room.
const RATE: u32 = 500;

/// Replays.
pub(crate) async fn run(options: ReplayOptions, adapters: &impl Adapters) -> anyhow::Result<()> {
    match options.deployment.open().await? {
        Opened::Embedded(deployment) => replay_from(&*deployment, &options, adapters).await,
        #[cfg(feature = "aws")]
        Opened::Aws(deployment) => replay_from(&*deployment, &options, adapters).await,
    }
}

async fn replay_from(
    deployment: &impl Deployment,
    options: &ReplayOptions,
    adapters: &impl Adapters,
) -> anyhow::Result<()> {
    match options.target() {
        None => print(deployment, options).await,
        Some(target) => match target.open().await? {
            Opened::Embedded(target) => {
                let (stream, objects) = (target.stream().clone(), target.objects().clone());
                let (stream, objects) = (adapters.stream(stream), adapters.objects(objects));
                bring(deployment, &*target, stream, &objects, options).await
            }
            #[cfg(feature = "aws")]
            Opened::Aws(target) => {
                bring(deployment, &*target, target.stream().clone(), target.objects(), options).await
            }
        },
    }
}

async fn print(deployment: &impl Deployment, options: &ReplayOptions) -> anyhow::Result<()> {
    let places = places(deployment, "stdout", options)?;
    let sink = Print { out: io::stdout(), pace: Pace::new(options.rate) };
    finish(replay(deployment, options.tenant.as_ref(), span(options), places, sink).await?)
}

/// To `target`, by its `stream` and its `objects`.
async fn bring(
    deployment: &impl Deployment,
    target: &impl Deployment,
    stream: impl EventStream,
    objects: &impl ObjectStore,
    options: &ReplayOptions,
) -> anyhow::Result<()> {
    if target.identity() == deployment.identity() {
        bail!("`{}` is the deployment that is replayed: its events are there already", target.name());
    }
    let places = places(deployment, target.identity(), options)?;
    let sink = Bring {
        bringer: Bringer::new(stream, objects, Pace::new(Some(options.rate.unwrap_or(RATE)))),
        source: deployment.objects(),
        config: crate::config(options.config.as_deref())?,
    };
    finish(replay(deployment, options.tenant.as_ref(), span(options), places, sink).await?)
}

fn span(options: &ReplayOptions) -> Span {
    Span::new(options.from, options.to)
}

/// How far the same replay came before.
fn places(deployment: &impl Deployment, to: &str, options: &ReplayOptions) -> anyhow::Result<Places> {
    let span = span(options);
    let task = Task {
        of: deployment.identity().to_owned(),
        to: to.to_owned(),
        tenant: options.tenant.clone(),
        from: span.from,
        before: span.to,
    };
    Places::open(options.resume.clone(), &task)
}

/// What a replay came to.
#[derive(Debug, Default)]
struct Replayed {
    events: u64,
    objects: u64,
    /// Lines that could not be brought, and why.
    left_out: Vec<String>,
    /// Objects that the manifest tells of and that are not there.
    absent: Absent,
    /// Whoever reads has had enough.
    is_closed: bool,
}

fn finish(replayed: Replayed) -> anyhow::Result<()> {
    let Replayed { events, objects, left_out, absent, is_closed } = replayed;
    if is_closed {
        return Ok(());
    }
    eprintln!("Replayed {events} events of {objects} objects.");
    for absent in absent.told() {
        eprintln!("{absent}");
    }
    for left_out in &left_out {
        eprintln!("left out: {left_out}");
    }
    match (left_out.len(), absent.lost()) {
        (0, 0) => Ok(()),
        (events, 0) => bail!("{events} events were left out"),
        (events, objects) => bail!("{events} events and {objects} objects were left out"),
    }
}

/// What became of lines.
struct Taken {
    left_out: Vec<String>,
    is_closed: bool,
}

/// Where archived lines go.
trait Sink {
    /// How many lines it takes at a time.
    fn portion(&self) -> usize;
    /// Takes lines, durably: they are not given again. An error means that some may have been taken.
    async fn take(&mut self, lines: &[Vec<u8>]) -> anyhow::Result<Taken>;
}

/// To stdout, as they are.
struct Print<W> {
    out: W,
    pace: Pace,
}

impl<W: Write> Sink for Print<W> {
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
struct Bring<'a, S, O, F> {
    bringer: Bringer<'a, S, O>,
    /// The objects of the replayed deployment.
    source: &'a F,
    config: Config,
}

impl<S: EventStream, O: ObjectStore, F: ObjectStore> Sink for Bring<'_, S, O, F> {
    fn portion(&self) -> usize {
        self.bringer.portion()
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
                self.bring(std::mem::take(&mut bundles)).await?;
                bytes = 0;
            }
        }
        self.bring(bundles).await?;
        Ok(Taken { left_out, is_closed: false })
    }
}

impl<S: EventStream, O: ObjectStore, F> Bring<'_, S, O, F> {
    async fn bring(&mut self, bundles: Vec<Bundle>) -> anyhow::Result<()> {
        let answers = self.bringer.bring(bundles).await?;
        match answers.into_iter().find_map(Result::err) {
            Some(why) => {
                bail!("the stream did not take everything: {why}; run it again with the same --resume")
            }
            None => Ok(()),
        }
    }
}

async fn replay(
    deployment: &impl Deployment,
    tenant: Option<&TenantId>,
    span: Span,
    mut places: Places,
    mut sink: impl Sink,
) -> anyhow::Result<Replayed> {
    let absent = Absent::of(deployment).await?;
    let since = absent.since(span.from);
    let mut replayed = Replayed { absent, ..Replayed::default() };
    for (shard, near) in archive::shards(deployment, since, drop).await? {
        // The object at which it was, and what lies behind it; or the first that may hold something of the span.
        let begun = match places.of(&shard).map(Place::first) {
            Some(first) => Some(first),
            None => archive::first_row(deployment, &shard, since, near).await?,
        };
        let mut page = match &begun {
            Some(first) => deployment.manifest_at(&shard, first).await?.into_iter().collect(),
            None => deployment.manifest(&shard, None).await?,
        };
        while let Some(last) = page.last().map(|row: &ManifestRow| row.first.clone()) {
            for row in page.iter().filter(|row| span.overlaps(row.received_at)) {
                object(deployment, tenant, span, &shard, row, &mut places, &mut sink, &mut replayed).await?;
                if replayed.is_closed {
                    return Ok(replayed);
                }
            }
            page = deployment.manifest(&shard, Some(&last)).await?;
        }
    }
    Ok(replayed)
}

/// Replays what is asked for of one object, portion after portion.
#[expect(clippy::too_many_arguments, reason = "it is the body of a loop")]
async fn object(
    deployment: &impl Deployment,
    tenant: Option<&TenantId>,
    span: Span,
    shard: &str,
    row: &ManifestRow,
    places: &mut Places,
    sink: &mut impl Sink,
    replayed: &mut Replayed,
) -> anyhow::Result<()> {
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
    let mut done = places.of(shard).filter(|place| place.first() == row.first).map_or(0, |place| place.lines);
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
        places.reach(shard, Place::new(&row.first, done))?;
    }
    Ok(())
}

/// The bytes of an object that hold what is asked for; or why they cannot be had.
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

/// The lines in gzip members that are asked for.
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
