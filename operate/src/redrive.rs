//! `tidegate redrive`: brings back to the stream what failed, from quarantine, the failure destination and the
//! dead-letter queue; and from the stream itself what the event source mapping could not keep. Not to be confused with
//! the redriver of spilled messages, which is a part of the pipeline.
//!
//! | file | holds |
//! |---|---|
//! | `candidate.rs` | a line of what failed, what is asked for, what is to become of it. Pure |
//! | `source.rs` | from objects and messages to lines. Pure |
//! | `stream.rs` | what lies on the stream and in no place behind it |
//! | `walk.rs` | along a shard, to lines that no archive object covers |
//! | `cover.rs` | what the objects of a shard cover |
//! | `archived.rs` | whether a line's place on the stream is done with |
//! | `bring.rs` | the way to the stream |
//! | `marker.rs` | what was brought back already |
//! | `report.rs` | the table |
//!
//! Dying anywhere loses nothing and doubles nothing: what failed stays where it lies, and an event that is brought back
//! twice names the same former places both times, so that one of the two takes its item over and the other finds that
//! done. A dead letter is deleted once its events are on the stream; they keep their admission.

mod archived;
mod bring;
mod candidate;
mod cover;
mod marker;
mod report;
mod source;
mod stream;
mod walk;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use consumer_fn::settle;
use ingest_fn::{OutgoingLine, fit};
use shared::config::Config;
use shared::digest::sha256;
use shared::format::key;
use shared::objects::ObjectStore;
use shared::origin::{Origin, ShardPosition};
use tokio::time::Instant;

use crate::deployment::{Deployment, Messages, QueueName, QueuedMessage};
use crate::failed_batch::{FAILED, QUARANTINE};
use crate::pace::Pace;
use crate::progress::Progress;
use archived::Archive;
pub(crate) use bring::{BYTES, Bringer, Bundle};
use candidate::{Candidate, Fate, Standing, fate};
pub use candidate::{FailureSource, Selection};
use marker::Markers;
pub use report::Report;

/// How long closing a shard may take, and putting something into quarantine.
const SETTLE: Duration = Duration::from_secs(30);
/// Under which name dead letters are kept once they are brought back.
const DEAD_LETTERS: &str = "dead-letters";

/// Redrives what `selection` asks for, at most `rate` events a second; without `apply` it only finds out what it would
/// do. The report tells what was done also where an error ended it.
pub async fn redrive(
    deployment: &impl Deployment,
    config: &Config,
    selection: Selection,
    apply: bool,
    rate: u32,
    progress: Progress<'_>,
) -> (Report, anyhow::Result<()>) {
    let mut redrive = Redrive {
        archive: Archive::new(deployment),
        deployment,
        bringer: Bringer::new(deployment.stream(), deployment.objects(), Pace::new(Some(rate))),
        config,
        selection,
        apply,
        brought: HashSet::new(),
        report: Report::new(apply),
        progress,
    };
    let mut ended = redrive.everything().await;
    let report = redrive.report;
    if let (Ok(()), Some(why)) = (&ended, report.refusal()) {
        ended = Err(anyhow::anyhow!("the stream did not take everything: {why}; run it again"));
    }
    (report, ended)
}

struct Redrive<'a, D: Deployment> {
    deployment: &'a D,
    archive: Archive<'a, D>,
    bringer: Bringer<'a, Arc<D::Stream>, D::Objects>,
    config: &'a Config,
    selection: Selection,
    apply: bool,
    /// What this run has brought back: a line may lie in quarantine and at the failure destination.
    brought: HashSet<Origin>,
    report: Report,
    progress: Progress<'a>,
}

impl<D: Deployment> Redrive<'_, D> {
    async fn everything(&mut self) -> anyhow::Result<()> {
        let markers = Markers::list(self.deployment).await?;
        for (source, prefix) in
            [(FailureSource::Quarantine, QUARANTINE), (FailureSource::FailureDestination, FAILED)]
        {
            let mut after: Option<String> = None;
            while self.selection.reads(source) {
                let page = self.deployment.list(prefix, after.as_deref()).await?;
                let Some(last) = page.last() else { break };
                after = Some(last.key.clone());
                for object in page {
                    // It was tried for long enough: the stream is away.
                    if self.report.refusal().is_some() {
                        return Ok(());
                    }
                    let done = markers.of(&object.key, self.deployment).await?;
                    self.object(source, &object.key, &done).await?;
                }
            }
        }
        if self.selection.reads(FailureSource::DeadLetters) {
            let Messages { seen, hidden } = self.deployment.messages(QueueName::Dead).await?;
            self.report.hidden(hidden);
            for message in seen {
                if self.report.refusal().is_none() {
                    self.dead_letter(&message).await?;
                }
            }
        }
        if self.selection.reads(FailureSource::Stream) {
            self.stream(&markers).await?;
        }
        Ok(())
    }

    /// One object of what failed.
    async fn object(
        &mut self,
        source: FailureSource,
        key: &str,
        done: &HashSet<Origin>,
    ) -> anyhow::Result<()> {
        let Some(object) = self.deployment.objects().get(key).await? else { return Ok(()) };
        let read = match source {
            FailureSource::Quarantine => source::quarantine(&object, self.config).map(|lines| (lines, None)),
            _ => source::failed(&object, self.config)
                .map(|(lines, shard, before)| (lines, Some((shard, before)))),
        };
        let (mut candidates, fence) = match read {
            Ok(read) => read,
            Err(why) => {
                self.report.name_unreadable(key, &why);
                return Ok(());
            }
        };
        let is_done = |origin: &Origin| done.contains(origin) || self.brought.contains(origin);
        candidates.retain(|candidate| {
            self.selection.picks(candidate) && !candidate.origin.as_ref().is_some_and(is_done)
        });
        let due = self.sort_out(candidates, fence, key).await?;
        self.bring_back(due, key).await
    }

    /// Those of the candidates that something is to be done about now; the others are counted. Before that, their shard
    /// is closed up to the `fence`, if there is one.
    async fn sort_out(
        &mut self,
        candidates: Vec<Candidate>,
        fence: Option<(String, ShardPosition)>,
        source: &str,
    ) -> anyhow::Result<Vec<Candidate>> {
        if let Some((shard, before)) = fence
            && self.apply
            && candidates.iter().any(|candidate| candidate.event.is_ok())
        {
            // From here on what the manifest covers is archived, and what it does not cover never will be from there.
            settle(
                &shard,
                before,
                self.deployment.objects(),
                self.deployment.ledger(),
                Instant::now() + SETTLE,
            )
            .await?;
        }
        let (mut due, mut noted) = (Vec::new(), Vec::new());
        for candidate in candidates {
            let standing = self.standing(&candidate).await?;
            match fate(&candidate, standing, &self.selection) {
                Fate::Due | Fate::ToQuarantine if self.apply => due.push(candidate),
                fate => {
                    self.report.count(&candidate, fate, source);
                    noted.extend(candidate.origin.filter(|_| fate == Fate::Archived));
                }
            }
        }
        if self.apply && !noted.is_empty() {
            marker::write(source, noted, self.deployment.objects()).await?;
        }
        Ok(due)
    }

    async fn standing(&mut self, candidate: &Candidate) -> anyhow::Result<Standing> {
        match (&candidate.origin, candidate.source) {
            (_, _) if candidate.event.is_err() => Ok(Standing::Free),
            (Some(origin), FailureSource::Quarantine) => self.archive.of_quarantined(origin).await,
            (Some(origin), _) => self.archive.of_failed(origin).await,
            (None, _) => Ok(Standing::Free),
        }
    }

    /// Puts the lines of an object on the stream, and notes that; a part after the other.
    async fn bring_back(&mut self, due: Vec<Candidate>, source: &str) -> anyhow::Result<()> {
        let mut waiting: Vec<_> = due.into_iter().filter_map(bundle).collect();
        while !waiting.is_empty() && self.report.refusal().is_none() {
            let sizes = waiting.iter().map(|(_, bundle)| bundle.line.line.len());
            let rest = waiting.split_off(self.bringer.together(sizes));
            let (candidates, bundles): (Vec<_>, Vec<_>) =
                std::mem::replace(&mut waiting, rest).into_iter().unzip();
            let answers = self.bringer.bring(bundles).await?;
            let mut origins = Vec::new();
            for (candidate, answer) in candidates.into_iter().zip(answers) {
                let fate = if answer.is_ok() { Fate::Redriven } else { Fate::Refused };
                self.report.count(&candidate, fate, source);
                match answer {
                    Ok(()) => origins.extend(candidate.origin),
                    Err(why) => self.report.refused(why),
                }
            }
            self.brought.extend(origins.iter().cloned());
            if !origins.is_empty() {
                marker::write(source, origins, self.deployment.objects()).await?;
            }
        }
        Ok(())
    }

    /// One dead letter. It goes as a whole or not at all.
    async fn dead_letter(&mut self, message: &QueuedMessage) -> anyhow::Result<()> {
        let digest = sha256(message.body.as_bytes());
        // Named as it is kept: queues that hand out receipts have no short name for it.
        let source = format!("dead letter {}", &digest[..16]);
        let candidates = match source::dead_letter(&message.body, message.sent) {
            Ok(candidates) => candidates,
            Err(why) => {
                self.report.name_unreadable(&source, &why);
                return Ok(());
            }
        };
        if !candidates.iter().any(|candidate| self.selection.picks(candidate)) {
            return Ok(());
        }
        let unreadable = candidates.iter().any(|candidate| candidate.event.is_err());
        if unreadable || !self.apply {
            let fate = if unreadable { Fate::Unreadable } else { Fate::Due };
            self.report.count_all(&candidates, fate, &source);
            return Ok(());
        }
        let (candidates, bundles): (Vec<_>, Vec<_>) = candidates.into_iter().filter_map(bundle).unzip();
        let answers = self.bringer.bring(bundles).await?;
        let refusal = answers.into_iter().find_map(Result::err);
        let fate = if refusal.is_none() { Fate::Redriven } else { Fate::Refused };
        self.report.count_all(&candidates, fate, &source);
        if let Some(why) = refusal {
            self.report.refused(why);
            return Ok(());
        }
        let kept = key::redriven_marker(DEAD_LETTERS, &digest);
        self.deployment.objects().put(&kept, message.body.clone().into()).await?;
        self.deployment.delete_message(QueueName::Dead, message).await
    }
}

/// A line of what failed as it goes back. `None` where it cannot be read.
fn bundle(candidate: Candidate) -> Option<(Candidate, Bundle)> {
    let (partition_key, event) = candidate.clone().into_redriven()?;
    let (line, parts) = fit(event);
    Some((candidate, Bundle { line: OutgoingLine { partition_key, line }, parts }))
}
