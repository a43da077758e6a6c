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
use std::time::Duration;

use anyhow::bail;
use consumer_fn::{Ledger, ObjectStore, Origin, ShardPosition, settle};
use ingest_fn::{EventStream, OutgoingLine};
use local::adapters::Adapters;
use shared::config::Config;
use shared::digest::sha256;
use shared::format::claim_check::ClaimCheck;
use shared::format::key;
use tokio::time::Instant;

use crate::arguments::RedriveOptions;
use crate::deployment::{Deployment, Messages, Opened, QueueName, QueuedMessage};
use crate::kept::{FAILED, QUARANTINE};
use crate::pace::Pace;
use archived::Archive;
pub use candidate::Place;
use candidate::{Candidate, Fate, Selection, Standing, fate};
use marker::Markers;
use report::Report;

pub(crate) use bring::{BYTES, Bringer, Bundle};

/// How long closing a shard may take, and putting something into quarantine.
const SETTLE: Duration = Duration::from_secs(30);
/// Under which name dead letters are kept once they are brought back.
const DEAD_LETTERS: &str = "dead-letters";

/// Prints what is to be redriven, or does it.
pub(crate) async fn run(options: RedriveOptions, adapters: &impl Adapters) -> anyhow::Result<()> {
    match options.deployment.open().await? {
        Opened::Embedded(deployment) => {
            let objects = adapters.objects(deployment.objects().clone());
            let ledger = adapters.ledger(deployment.ledger().clone());
            let stream = adapters.stream(deployment.stream().clone());
            redrive(&*deployment, &objects, &ledger, stream, options).await
        }
        #[cfg(feature = "aws")]
        Opened::Aws(deployment) => {
            let stream = deployment.stream().clone();
            redrive(&*deployment, deployment.objects(), deployment.ledger(), stream, options).await
        }
    }
}

/// What is written goes through `objects`, `ledger` and `stream`, which are the deployment's own.
async fn redrive(
    deployment: &impl Deployment,
    objects: &impl ObjectStore,
    ledger: &impl Ledger,
    stream: impl EventStream,
    options: RedriveOptions,
) -> anyhow::Result<()> {
    let config = crate::config(options.config.as_deref())?;
    let pace = Pace::new(Some(options.rate));
    let bringer = Bringer::new(stream, objects, pace);
    let selection = Selection {
        places: options.place,
        reasons: options.reason,
        tenant: options.tenant,
        from: options.from,
        to: options.to,
    };
    let mut redrive = Redrive {
        archive: Archive::new(deployment),
        deployment,
        objects,
        ledger,
        bringer,
        config: &config,
        selection,
        apply: options.apply,
        brought: HashSet::new(),
        report: Report::new(options.apply),
    };
    let ended = redrive.everything().await;
    print!("{}", redrive.report);
    ended?;
    match redrive.report.refusal() {
        Some(why) => bail!("the stream did not take everything: {why}; run it again"),
        None => Ok(()),
    }
}

struct Redrive<'a, D, S, O, L> {
    deployment: &'a D,
    archive: Archive<'a, D>,
    /// The deployment's own; what is written goes through these.
    objects: &'a O,
    ledger: &'a L,
    bringer: Bringer<'a, S, O>,
    config: &'a Config,
    selection: Selection,
    apply: bool,
    /// What this run has brought back: a line may lie in quarantine and at the failure destination.
    brought: HashSet<Origin>,
    report: Report,
}

impl<D: Deployment, S: EventStream, O: ObjectStore, L: Ledger> Redrive<'_, D, S, O, L> {
    async fn everything(&mut self) -> anyhow::Result<()> {
        let markers = Markers::list(self.deployment).await?;
        for (place, prefix) in [(Place::Quarantine, QUARANTINE), (Place::OnFailure, FAILED)] {
            let mut after: Option<String> = None;
            while self.selection.looks_at(place) {
                let page = self.deployment.list(prefix, after.as_deref()).await?;
                let Some(last) = page.last() else { break };
                after = Some(last.key.clone());
                for object in page {
                    // It was tried for long enough: the stream is away.
                    if self.report.refusal().is_some() {
                        return Ok(());
                    }
                    let done = markers.of(&object.key, self.deployment).await?;
                    self.object(place, &object.key, &done).await?;
                }
            }
        }
        if self.selection.looks_at(Place::DeadLetters) {
            let Messages { seen, hidden } = self.deployment.messages(QueueName::Dead).await?;
            if hidden > 0 {
                eprintln!("about {hidden} dead letters were not looked at: run it again");
            }
            for message in seen {
                if self.report.refusal().is_none() {
                    self.dead_letter(&message).await?;
                }
            }
        }
        if self.selection.looks_at(Place::Stream) {
            self.stream(&markers).await?;
        }
        Ok(())
    }

    /// One object of what failed.
    async fn object(&mut self, place: Place, key: &str, done: &HashSet<Origin>) -> anyhow::Result<()> {
        let Some(object) = self.deployment.objects().get(key).await? else { return Ok(()) };
        let read = match place {
            Place::Quarantine => source::quarantine(&object, self.config).map(|lines| (lines, None)),
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
            settle(&shard, before, self.objects, self.ledger, Instant::now() + SETTLE).await?;
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
            marker::write(source, noted, self.objects).await?;
        }
        Ok(due)
    }

    async fn standing(&mut self, candidate: &Candidate) -> anyhow::Result<Standing> {
        match (&candidate.origin, candidate.place) {
            (_, _) if candidate.event.is_err() => Ok(Standing::Free),
            (Some(origin), Place::Quarantine) => self.archive.of_quarantined(origin).await,
            (Some(origin), _) => self.archive.of_failed(origin).await,
            (None, _) => Ok(Standing::Free),
        }
    }

    /// Puts the lines of an object on the stream, and notes that; a part after the other.
    async fn bring_back(&mut self, due: Vec<Candidate>, source: &str) -> anyhow::Result<()> {
        let due = self.renew_claims(due, source).await?;
        let mut waiting: Vec<_> = due.into_iter().filter_map(|line| bundle(line, self.config)).collect();
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
                marker::write(source, origins, self.objects).await?;
            }
        }
        Ok(())
    }

    /// Stores the claim checks of these lines anew, since S3 counts an object's lifetime from when it was last written.
    /// A line whose claim check is gone is left.
    async fn renew_claims(&mut self, due: Vec<Candidate>, source: &str) -> anyhow::Result<Vec<Candidate>> {
        let mut renewed = Vec::with_capacity(due.len());
        for candidate in due {
            let claim_check = candidate.event.as_ref().ok().and_then(|event| event.claim_check.as_ref());
            let is_gone = match claim_check {
                Some(claim_check) => !self.renew(claim_check).await?,
                None => false,
            };
            if is_gone {
                self.report.count(&candidate, Fate::ClaimGone, source);
            } else {
                renewed.push(candidate);
            }
        }
        Ok(renewed)
    }

    /// Whether all parts still existed.
    async fn renew(&self, claim_check: &ClaimCheck) -> anyhow::Result<bool> {
        for key in claim_check.part_keys() {
            let Some(part) = self.deployment.objects().get(&key).await? else { return Ok(false) };
            self.objects.put(&key, part).await?;
        }
        Ok(true)
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
        let count = candidates.len();
        let candidates = self.renew_claims(candidates, &source).await?;
        if candidates.len() < count {
            return Ok(());
        }
        let (candidates, bundles): (Vec<_>, Vec<_>) =
            candidates.into_iter().filter_map(|line| bundle(line, self.config)).unzip();
        let answers = self.bringer.bring(bundles).await?;
        let refusal = answers.into_iter().find_map(Result::err);
        let fate = if refusal.is_none() { Fate::Redriven } else { Fate::Refused };
        self.report.count_all(&candidates, fate, &source);
        if let Some(why) = refusal {
            self.report.refused(why);
            return Ok(());
        }
        let kept = key::redriven_marker(DEAD_LETTERS, &digest);
        self.objects.put(&kept, message.body.clone().into()).await?;
        self.deployment.delete_message(QueueName::Dead, message).await
    }
}

/// A line of what failed as it goes back. `None` where it cannot be read.
fn bundle(candidate: Candidate, config: &Config) -> Option<(Candidate, Bundle)> {
    let (partition_key, event) = candidate.clone().into_redriven()?;
    let (line, parts) = OutgoingLine::new(event, partition_key, config.publish.record_bytes);
    Some((candidate, Bundle { line, parts }))
}
