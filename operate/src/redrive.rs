//! Redrive: puts failed events on the stream again. It reads quarantine, the failure destination and the dead-letter
//! queue, and the stream itself for events that the event source mapping dropped. Events that could not be dispatched go to
//! the dispatch queue again.
//!
//! | file | holds |
//! |---|---|
//! | `candidate.rs` | a failed line, the operator's selection, and what to do with the line. Pure |
//! | `source.rs` | from objects and messages to lines. Pure |
//! | `dispatch.rs` | dead letters of dispatch, which go to its queue again |
//! | `stream.rs` | lines that are only on the stream |
//! | `walk.rs` | reads a shard for lines that no archive object covers |
//! | `cover.rs` | what the objects of a shard cover |
//! | `archived.rs` | whether a line's origin is archived |
//! | `rename.rs` | a new id for an event whose id another event has |
//! | `marker.rs` | which lines are redriven already |
//! | `report.rs` | the table |
//!
//! A redrive may die at any point and run again. Failed events stay where they are. An event that is put on the stream
//! twice names the same earlier origins both times, so one of the two takes over its item and the other is a duplicate. A
//! dead letter is deleted after its events are on the stream; they keep their admission id.

mod archived;
mod candidate;
mod cover;
mod dispatch;
mod marker;
mod rename;
mod report;
mod source;
mod stream;
mod walk;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use shared::config::{Config, WorkTooLong};
use shared::digest::sha256;
use shared::format::claim_check::ClaimCheck;
use shared::format::event_line::Event;
use shared::format::facts::Facts;
use shared::format::key;
use shared::format::outgoing_line::OutgoingLine;
use shared::objects::ObjectStore;
use shared::origin::{Origin, ShardPosition};
use tokio::time::Instant;

use crate::OnProgress;
use crate::deployment::{Deployment, Messages, QueueName, QueuedMessage};
use crate::erase::Erasures;
use crate::pace::Pace;
use crate::publish::{Bundle, RatedPublisher};
use archived::ArchiveLookup;
use candidate::{Candidate, RedriveFate, Standing, WORK_TOO_LONG, fate};
pub use candidate::{FailureSource, ID_REUSED, Selection};
pub(crate) use marker::Marker;
use marker::Markers;
pub(crate) use rename::new_id;
use rename::renamed;
pub use report::RedriveReport;

/// Time limit for fencing a shard, and for writing to quarantine.
const FENCE: Duration = Duration::from_secs(30);
/// The marker name of dead letters that were redriven.
pub(crate) const DEAD_LETTERS: &str = "dead-letters";

/// Redrives the selected events, at most `rate` a second. Without `apply` it only finds out what it would do. There is a
/// report even if an error ended it.
pub async fn redrive(
    deployment: &impl Deployment,
    config: &Config,
    selection: Selection,
    apply: bool,
    rate: u32,
    progress: OnProgress<'_>,
) -> (RedriveReport, anyhow::Result<()>) {
    let mut redrive = Redrive {
        archive: ArchiveLookup::new(deployment),
        deployment,
        publisher: RatedPublisher::new(deployment.stream(), deployment.objects(), Pace::new(Some(rate))),
        config,
        selection,
        apply,
        redriven: HashSet::new(),
        erased: Erasures::default(),
        report: RedriveReport { applied: apply, ..RedriveReport::default() },
        progress,
    };
    let mut ended = redrive.everything().await;
    let report = redrive.report;
    if let (Ok(()), Some(why)) = (&ended, &report.refusal) {
        ended = Err(anyhow::anyhow!("the stream did not accept everything: {why}; run it again"));
    }
    (report, ended)
}

struct Redrive<'a, D: Deployment> {
    deployment: &'a D,
    archive: ArchiveLookup<'a, D>,
    publisher: RatedPublisher<'a, Arc<D::Stream>, D::Objects>,
    config: &'a Config,
    selection: Selection,
    apply: bool,
    /// Redriven in this run. A line may be in quarantine and at the failure destination.
    redriven: HashSet<Origin>,
    /// What is not brought back.
    erased: Erasures,
    report: RedriveReport,
    progress: OnProgress<'a>,
}

impl<D: Deployment> Redrive<'_, D> {
    async fn everything(&mut self) -> anyhow::Result<()> {
        let markers = Markers::list(self.deployment).await?;
        self.erased = Erasures::read(self.deployment).await?;
        for (source, prefix) in [
            (FailureSource::Quarantine, key::QUARANTINE),
            (FailureSource::FailureDestination, key::FAILURE_DESTINATION),
        ] {
            let mut after: Option<String> = None;
            while self.selection.reads(source) {
                let page = self.deployment.list(prefix, after.as_deref()).await?;
                let Some(last) = page.last() else { break };
                after = Some(last.key.clone());
                for object in page {
                    // After a refusal the retries have ended too: the stream is unavailable.
                    if self.report.refusal.is_some() {
                        return Ok(());
                    }
                    let done = markers.of(&object.key, self.deployment).await?;
                    self.object(source, &object.key, &done).await?;
                }
            }
        }
        if self.selection.reads(FailureSource::DeadLetters) {
            let Messages { seen, hidden } = self.deployment.messages(QueueName::SpillDead).await?;
            self.report.hidden = hidden;
            for message in seen {
                if self.report.refusal.is_none() {
                    self.dead_letter(&message).await?;
                }
            }
        }
        if self.selection.reads(FailureSource::Dispatch) {
            self.dispatch().await?;
        }
        if self.selection.reads(FailureSource::Stream) {
            self.stream(&markers).await?;
        }
        Ok(())
    }

    /// One object with failed lines.
    async fn object(
        &mut self,
        source: FailureSource,
        key: &str,
        done: &HashSet<Origin>,
    ) -> anyhow::Result<()> {
        let Some(object) = self.deployment.objects().get(key).await? else { return Ok(()) };
        let read = match source {
            FailureSource::Quarantine => source::quarantine(&object, self.config),
            _ => source::failed(&object, self.config),
        };
        let Some((mut candidates, fence)) = self.report.readable(read, key) else { return Ok(()) };
        let is_done = |origin: &Origin| done.contains(origin) || self.redriven.contains(origin);
        candidates.retain(|candidate| {
            self.selection.picks(candidate) && !candidate.origin.as_ref().is_some_and(is_done)
        });
        let candidates = self.without_erased(candidates, key);
        let due = self.sort_out(candidates, fence, key).await?;
        self.put_back(due, key).await
    }

    /// An event that was erased stays where it is, until `tidegate erase` removes it.
    fn without_erased(&mut self, candidates: Vec<Candidate>, source: &str) -> Vec<Candidate> {
        let (erased, others): (Vec<_>, Vec<_>) =
            candidates.into_iter().partition(|candidate| is_erased(&self.erased, candidate));
        self.report.count_all(&erased, RedriveFate::Erased, source);
        others
    }

    /// Returns the candidates that need something done now, and counts the others. First it fences their shard up to
    /// `fence`, if there is one.
    async fn sort_out(
        &mut self,
        candidates: Vec<Candidate>,
        fence: Option<(String, ShardPosition)>,
        source: &str,
    ) -> anyhow::Result<Vec<Candidate>> {
        if let Some((shard, end)) = fence
            && self.apply
            && candidates.iter().any(|candidate| candidate.event.is_ok())
        {
            // After this, a line of the range is archived if the manifest covers it, and otherwise never will be.
            consumer_fn::fence(
                &shard,
                end,
                self.deployment.objects(),
                self.deployment.ledger(),
                Instant::now() + FENCE,
            )
            .await?;
        }
        let (mut due, mut noted) = (Vec::new(), Vec::new());
        for candidate in candidates {
            let standing = self.standing(&candidate).await?;
            match fate(&candidate, standing, &self.selection) {
                RedriveFate::ToStream | RedriveFate::ToQuarantine if self.apply => due.push(candidate),
                fate => {
                    self.report.count(&candidate, fate, source);
                    noted.extend(candidate.origin.filter(|_| fate == RedriveFate::Archived));
                }
            }
        }
        if self.apply && !noted.is_empty() {
            marker::write(source, noted, self.deployment.objects()).await?;
        }
        Ok(due)
    }

    async fn standing(&mut self, candidate: &Candidate) -> anyhow::Result<Standing> {
        let standing = match &candidate.origin {
            Some(_) if candidate.event.is_err() => Standing::Free,
            Some(origin) if candidate.source == FailureSource::Quarantine => {
                self.archive.of_quarantined(origin).await?
            }
            Some(origin) => self.archive.of_failed(origin).await?,
            None => Standing::Free,
        };
        if standing != Standing::Free || candidate.reason != WORK_TOO_LONG {
            return Ok(standing);
        }
        let Some(too_long) = self.work_too_long(candidate).await? else { return Ok(Standing::Free) };
        self.report.work_too_long.extend([too_long]);
        Ok(Standing::FailsAgain)
    }

    /// Why the consumer would still refuse the text, by this configuration.
    async fn work_too_long(&self, candidate: &Candidate) -> anyhow::Result<Option<WorkTooLong>> {
        let (Some(work), Ok(event)) = (self.config.simulated_work(), &candidate.event) else {
            return Ok(None);
        };
        let Some(claim_check) = candidate.claim_check(self.config.limits.claim_check_bytes) else {
            return Ok(work.of(&event.text).err());
        };
        let mut parts = Vec::new();
        for key in claim_check.part_keys() {
            // A part that is gone has a fate of its own.
            let Some(part) = self.deployment.objects().get(&key).await? else { return Ok(None) };
            parts.push(part);
        }
        let line = claim_check.line(&parts).ok();
        let stored = line.and_then(|line| serde_json::from_slice::<Event>(&line).ok());
        Ok(stored.and_then(|stored| work.of(&stored.text).err()))
    }

    /// Puts the lines of an object on the stream, part by part, and writes a marker for each part.
    async fn put_back(&mut self, due: Vec<Candidate>, source: &str) -> anyhow::Result<()> {
        let due = self.renew_claims(due, source).await?;
        let mut waiting: Vec<_> = due.into_iter().filter_map(|line| bundle(line, self.config)).collect();
        while !waiting.is_empty() && self.report.refusal.is_none() {
            let sizes = waiting.iter().map(|(_, (line, _))| line.line.len());
            let fitting = self.publisher.fitting(sizes);
            let (candidates, bundles): (Vec<_>, Vec<_>) = waiting.drain(..fitting).unzip();
            let answers = self.publisher.publish(bundles).await?;
            let mut origins = Vec::new();
            for (candidate, answer) in candidates.into_iter().zip(answers) {
                let fate = if answer.is_ok() { RedriveFate::ToStream } else { RedriveFate::Refused };
                self.report.count(&candidate, fate, source);
                match answer {
                    Ok(()) => origins.extend(candidate.origin),
                    Err(why) => self.report.refusal = Some(why),
                }
            }
            self.redriven.extend(origins.iter().cloned());
            if !origins.is_empty() {
                marker::write(source, origins, self.deployment.objects()).await?;
            }
        }
        Ok(())
    }

    /// Stores the claim checks of these lines anew, since S3 counts an object's lifetime from when it was last written.
    /// Events that get a new id have it after this. A line whose claim check is gone is left.
    async fn renew_claims(&mut self, due: Vec<Candidate>, source: &str) -> anyhow::Result<Vec<Candidate>> {
        let mut renewed = Vec::with_capacity(due.len());
        for mut candidate in due {
            if self.renew(&mut candidate).await? {
                renewed.push(candidate);
            } else {
                self.report.count(&candidate, RedriveFate::ClaimGone, source);
            }
        }
        Ok(renewed)
    }

    /// Whether all parts of its claim check still existed, if it has one.
    async fn renew(&self, candidate: &mut Candidate) -> anyhow::Result<bool> {
        let claim_check = candidate.claim_check(self.config.limits.claim_check_bytes);
        if let (true, Ok(event)) = (self.selection.renames(candidate), &candidate.event) {
            let new = renamed((**event).clone(), claim_check, self.deployment.objects()).await?;
            let is_renamed = new.is_some();
            if let Some(new) = new {
                candidate.event = Ok(Box::new(new));
            }
            return Ok(is_renamed);
        }
        for key in claim_check.into_iter().flat_map(ClaimCheck::part_keys) {
            let Some(part) = self.deployment.objects().get(&key).await? else { return Ok(false) };
            self.deployment.objects().put(&key, part).await?;
        }
        Ok(true)
    }

    /// One dead letter: all of its events or none.
    async fn dead_letter(&mut self, message: &QueuedMessage) -> anyhow::Result<()> {
        let digest = sha256(message.body.as_bytes());
        // Named like its marker, since a receipt handle is too long to show.
        let source = format!("dead letter {}", &digest[..16]);
        let read = source::dead_letter(&message.body, message.sent);
        let Some(candidates) = self.report.readable(read, &source) else { return Ok(()) };
        if !candidates.iter().any(|candidate| self.selection.picks(candidate)) {
            return Ok(());
        }
        let unreadable = candidates.iter().any(|candidate| candidate.event.is_err());
        let erased = candidates.iter().any(|candidate| is_erased(&self.erased, candidate));
        if unreadable || erased || !self.apply {
            let fate = match (erased, unreadable) {
                (true, _) => RedriveFate::Erased,
                (_, true) => RedriveFate::Unreadable,
                _ => RedriveFate::ToStream,
            };
            self.report.count_all(&candidates, fate, &source);
            return Ok(());
        }
        let count = candidates.len();
        let candidates = self.renew_claims(candidates, &source).await?;
        if candidates.len() < count {
            return Ok(());
        }
        let (candidates, bundles): (Vec<_>, Vec<_>) =
            candidates.into_iter().filter_map(|line| bundle(line, self.config)).unzip();
        let answers = self.publisher.publish(bundles).await?;
        let refusal = answers.into_iter().find_map(Result::err);
        let fate = if refusal.is_none() { RedriveFate::ToStream } else { RedriveFate::Refused };
        self.report.count_all(&candidates, fate, &source);
        if let Some(why) = refusal {
            self.report.refusal = Some(why);
            return Ok(());
        }
        let marker = key::redriven_marker(DEAD_LETTERS, &digest);
        self.deployment.objects().put(&marker, message.body.clone().into()).await?;
        self.deployment.delete_message(QueueName::SpillDead, message).await
    }
}

fn is_erased(erased: &Erasures, candidate: &Candidate) -> bool {
    let Ok(event) = &candidate.event else { return false };
    let Facts { tenant, id, received_at, .. } = &event.facts;
    match &candidate.origin {
        Some(origin) => erased.has(tenant, id, origin),
        None => erased.has_queued(tenant, id, *received_at),
    }
}

/// The line to put on the stream. `None` if it cannot be read.
fn bundle(candidate: Candidate, config: &Config) -> Option<(Candidate, Bundle)> {
    let (partition_key, event) = candidate.clone().into_redriven()?;
    Some((candidate, OutgoingLine::new(event, partition_key, config.publish.record_bytes)))
}
