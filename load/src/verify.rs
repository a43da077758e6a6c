//! Whether what was sent is stored: each accepted event once, in the archive and as an item, with its content; nothing that was
//! refused. It reads what is stored and writes nothing.
//!
//! It looks only for events of this run. `tidegate audit` judges all that a deployment has, and knows also what is in quarantine;
//! it does not know what was sent. This does.
//!
//! | file | holds |
//! |---|---|
//! | `wait.rs` | waits until the deployment has nothing left to do |
//! | `judge.rs` | compares an event with its archive line and its item. Pure |
//! | `findings.rs` | what is wrong, and the result as text |

mod findings;
mod judge;
pub(crate) mod wait;

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use anyhow::Context;
use consumer_fn::Transform;
use consumer_fn::items::Existing;
use operate::OnProgress;
use operate::archive::{self, Absent};
use operate::deployment::Deployment;
use shared::archive::{NotRead, each_line, whole};
use shared::config::Config;
use shared::format::archive_line::{ArchiveLine, Identity};
use shared::format::manifest_row::ManifestRow;
use shared::id::{EventId, TenantId};
use shared::origin::Origin;
use shared::time::Timestamp;

use crate::answer::{Outcome, Outcomes};
use crate::traffic::{Event, Traffic};

pub use findings::{Finding, FindingKind, Verified};

/// Items that are read in one call.
const NAMES: usize = 1_000;

/// What to check, and of which deployment.
pub struct Sent<'a, D> {
    pub deployment: &'a D,
    /// With which it runs.
    pub config: &'a Config,
    pub traffic: &'a Traffic,
    pub outcomes: &'a Outcomes,
    /// Before the first request.
    pub since: Timestamp,
    /// How long it waits while nothing more is stored.
    pub wait: Duration,
}

/// Waits until what was accepted is stored, then compares.
pub async fn verify(sent: Sent<'_, impl Deployment>, progress: OnProgress<'_>) -> anyhow::Result<Verified> {
    let mut check = Check::new(&sent, progress)?;
    let mut wait = wait::Wait::new(sent.deployment, sent.since, sent.wait);
    loop {
        let is_sure = wait.until_idle(progress).await?;
        check.archive().await?;
        if is_sure || check.has_all_lines() || wait.is_over() {
            break;
        }
    }
    check.items().await
}

/// What was seen of each event, by its number: the events of all requests, one after the other. 13 bytes an event.
struct Check<'a, D> {
    sent: &'a Sent<'a, D>,
    transform: Transform,
    progress: OnProgress<'a>,
    /// The number of each request's first event.
    first: Vec<u32>,
    /// How many archive lines each event has, up to 255.
    lines: Vec<u8>,
    /// A hash of the origin that its archive line has.
    origins: Vec<u64>,
    /// Objects that were read. They do not change.
    read: BTreeSet<String>,
    judged: u64,
    verified: Verified,
}

impl<'a, D: Deployment> Check<'a, D> {
    fn new(sent: &'a Sent<'a, D>, progress: OnProgress<'a>) -> anyhow::Result<Self> {
        let mut first = Vec::with_capacity(sent.outcomes.len() + 1);
        let mut events = 0_usize;
        for (number, _) in sent.outcomes.iter() {
            first.push(u32::try_from(events).context("so many events cannot be checked")?);
            events += sent.traffic.events(number).len();
        }
        Ok(Self {
            sent,
            transform: Transform::new(&sent.config.transform)?,
            progress,
            first,
            lines: vec![0; events],
            origins: vec![0; events],
            read: BTreeSet::new(),
            judged: 0,
            verified: Verified::default(),
        })
    }

    /// Reads the objects with events of this run that were not read yet.
    async fn archive(&mut self) -> anyhow::Result<()> {
        let Sent { deployment, since, .. } = *self.sent;
        for shard in archive::shards(deployment, since, drop).await?.into_keys() {
            for row in archive::manifest(deployment, &shard, since).await? {
                self.object(&row).await?;
            }
        }
        Ok(())
    }

    async fn object(&mut self, row: &ManifestRow) -> anyhow::Result<()> {
        if !self.read.insert(row.key.clone()) {
            return Ok(());
        }
        let deployment = self.sent.deployment;
        let mut absent = Absent::none_has_expired();
        let found = archive::members(deployment, row, None, &mut absent).await?;
        // A lost object's events are missing.
        let Some((members, _)) = found else { return Ok(()) };
        let mut lines = Vec::new();
        for member in members {
            each_line(&member, |line: Identity, bytes| {
                if line.id.as_str().starts_with(self.sent.traffic.run()) {
                    lines.push(bytes.to_vec());
                }
            })
            .with_context(|| format!("`{}`", row.key))?;
        }
        for line in lines {
            match whole(&line, deployment.objects()).await {
                Ok(line) => self.line(&line, &row.key),
                Err(failure @ NotRead::Store(_)) => return Err(failure.into()),
                Err(NotRead::Unreadable(why)) => {
                    let line = shared::archive::line(&line)?;
                    self.line(&line, &row.key);
                    self.verified.find(FindingKind::Changed, &line.facts.tenant, &line.facts.id, why);
                }
            }
        }
        (self.progress)("objects read", self.read.len() as u64, None);
        Ok(())
    }

    /// Compares an archive line with what was sent.
    fn line(&mut self, line: &ArchiveLine<'_>, object: &str) {
        let (tenant, id) = (&line.facts.tenant, &line.facts.id);
        let Some((number, index)) = self.sent.traffic.place(id.as_str()) else { return };
        let event = self.sent.traffic.event(number, index);
        let Some((place, event)) = self.place(number, index).zip(event) else {
            // An earlier load with the same name may have sent more.
            if line.facts.received_at >= self.sent.since {
                self.verified.find(FindingKind::Foreign, tenant, id, "this load did not send it".to_owned());
            }
            return;
        };
        self.lines[place] = self.lines[place].saturating_add(1);
        self.origins[place] = hash(&line.origin);
        let differs = judge::line(&event, line, &self.transform);
        if !differs.is_empty() {
            let what = format!("its line in `{object}` has other {}", differs.join(", "));
            self.verified.find(FindingKind::Changed, tenant, id, what);
        }
    }

    /// The event's number.
    fn place(&self, number: u64, index: usize) -> Option<usize> {
        let first = *self.first.get(usize::try_from(number).ok()?)? as usize;
        Some(first + index).filter(|place| *place < self.lines.len())
    }

    fn has_all_lines(&self) -> bool {
        self.sent.outcomes.iter().all(|(number, outcome)| {
            let is_there = |index| self.place(number, index).is_some_and(|place| self.lines[place] > 0);
            outcome != Outcome::Accepted || (0..self.sent.traffic.events(number).len()).all(is_there)
        })
    }

    /// Reads the items of all events, and judges each event.
    async fn items(mut self) -> anyhow::Result<Verified> {
        let mut waiting = Vec::new();
        for (number, outcome) in self.sent.outcomes.iter() {
            for (index, event) in self.sent.traffic.events(number).into_iter().enumerate() {
                let place = self.place(number, index).context("each event has a place")?;
                waiting.push((place, outcome, event));
            }
            if waiting.len() >= NAMES {
                self.judge(std::mem::take(&mut waiting)).await?;
            }
        }
        self.judge(waiting).await?;
        Ok(self.verified)
    }

    async fn judge(&mut self, events: Vec<(usize, Outcome, Event)>) -> anyhow::Result<()> {
        let names: Vec<(TenantId, EventId)> =
            events.iter().map(|(_, _, event)| (event.tenant.clone(), event.id.clone())).collect();
        let items = self.sent.deployment.items(&names).await?;
        for ((place, _, _), item) in events.iter().zip(&items) {
            if let (0, Some(item)) = (self.lines[*place], item) {
                self.earlier(item).await?;
            }
        }
        self.judged += events.len() as u64;
        for ((place, outcome, event), item) in events.into_iter().zip(items) {
            let origin = self.origins[place];
            let seen = judge::Seen {
                lines: self.lines[place],
                item: item.map(|item| judge::SeenItem {
                    is_of_its_line: hash(&item.origin) == origin,
                    content_hash: item.content_hash,
                }),
            };
            self.verified.count(outcome, &seen);
            if let Some((kind, what)) = judge::event(&event, outcome, &seen) {
                self.verified.find(kind, &event.tenant, &event.id, what);
            }
        }
        (self.progress)("events judged", self.judged, Some(self.lines.len() as u64));
        Ok(())
    }

    /// Reads the object of an event that was stored before this load: by an earlier one with the same seed and run.
    async fn earlier(&mut self, item: &Existing) -> anyhow::Result<()> {
        if let Some(row) = archive::covering(self.sent.deployment, &item.origin).await? {
            self.object(&row).await?;
        }
        Ok(())
    }
}

fn hash(origin: &Origin) -> u64 {
    let mut hasher = DefaultHasher::new();
    origin.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;
