//! What a deployment has stored since the acceptance began: items, archive lines, objects.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use operate::archive::{self, Absent};
use operate::deployment::{Attributes, Deployment, ListedObject, QueueName};
use shared::archive::each_line;
use shared::format::archive_line::ArchiveLine;
use shared::format::dispatch_message::{DispatchFailure, DispatchMessage};
use shared::format::item::DISPATCH_STATUS;
use shared::id::{EventId, TenantId};
use shared::time::{Clock, Timestamp};
use tokio::time::{Instant, sleep};

/// Between two looks.
const POLL: Duration = Duration::from_millis(250);
/// How long after the last event it looks again for second copies: a delivered batch is archived within a window.
const SECOND_COPY: Duration = Duration::from_secs(4);

pub(crate) struct Stored<'a, D> {
    deployment: &'a D,
    clock: Clock,
    since: Timestamp,
    /// By key: objects do not change, so each is read once.
    read: BTreeMap<String, Vec<Archived>>,
}

/// An archived event.
#[derive(Clone, Debug)]
pub(crate) struct Archived {
    pub(crate) line: ArchiveLine<'static>,
    /// When its object was written. S3 tells it to the second.
    pub(crate) written: Timestamp,
    /// Its object's key.
    pub(crate) object: String,
}

impl Archived {
    pub(crate) fn id(&self) -> &str {
        self.line.facts.id.as_str()
    }

    /// From received by ingest to durable in the archive.
    pub(crate) fn freshness(&self) -> Duration {
        self.written.since(self.line.facts.received_at)
    }
}

impl<'a, D: Deployment> Stored<'a, D> {
    pub(crate) fn new(deployment: &'a D) -> Self {
        let clock = Clock::system();
        let since = clock.now();
        Self { deployment, clock, since, read: BTreeMap::new() }
    }

    /// When the acceptance began.
    pub(crate) fn began(&self) -> Timestamp {
        self.since
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The attributes of an item, once it exists.
    pub(crate) async fn item(&self, tenant: &str, id: &str, within: Duration) -> anyhow::Result<Attributes> {
        let (tenant, id) = (TenantId::parse(tenant)?, EventId::parse(id)?);
        let end = Instant::now() + within;
        loop {
            if let Some(item) = self.deployment.attributes(&tenant, &id).await? {
                return Ok(item);
            }
            ensure!(Instant::now() < end, "there is no item of {tenant} {id} after {} s", within.as_secs());
            sleep(POLL).await;
        }
    }

    pub(crate) async fn has_item(&self, tenant: &str, id: &str) -> anyhow::Result<bool> {
        let (tenant, id) = (TenantId::parse(tenant)?, EventId::parse(id)?);
        Ok(self.deployment.attributes(&tenant, &id).await?.is_some())
    }

    /// The same, once its `dispatch_status` is this one.
    pub(crate) async fn dispatched(
        &self,
        tenant: &str,
        id: &str,
        status: &str,
        within: Duration,
    ) -> anyhow::Result<Attributes> {
        let end = Instant::now() + within;
        loop {
            let item = self.item(tenant, id, within).await?;
            let found = item.get(DISPATCH_STATUS).cloned().unwrap_or_default();
            if found == status {
                return Ok(item);
            }
            ensure!(
                Instant::now() < end,
                "the dispatch_status of {tenant} {id} is {found} after {} s, not {status}",
                within.as_secs()
            );
            sleep(POLL).await;
        }
    }

    /// Why events were not delivered, by their ids: the dead letters of dispatch.
    pub(crate) async fn undelivered(&self) -> anyhow::Result<BTreeMap<String, DispatchFailure>> {
        let letters = self.deployment.messages(QueueName::DispatchDead).await?;
        let mut failures = BTreeMap::new();
        for letter in letters.seen {
            let message = DispatchMessage::read(&letter.body)?;
            let id = message.line()?.facts.id.to_string();
            failures.insert(id, message.failure.context("a dead letter has no reason")?);
        }
        Ok(failures)
    }

    /// The tenants' archived events with these ids, once all are there. Fails if one is there twice.
    pub(crate) async fn archived_once(
        &mut self,
        tenants: &[String],
        ids: &BTreeSet<String>,
        within: Duration,
    ) -> anyhow::Result<Vec<Archived>> {
        self.archived(tenants, ids, within, |id| ids.contains(id)).await
    }

    /// The same of tenants to which nothing else was sent: fails if they have anything else, too.
    pub(crate) async fn archived_alone(
        &mut self,
        tenants: &[String],
        ids: &BTreeSet<String>,
        within: Duration,
    ) -> anyhow::Result<Vec<Archived>> {
        self.archived(tenants, ids, within, |_| true).await
    }

    async fn archived(
        &mut self,
        tenants: &[String],
        ids: &BTreeSet<String>,
        within: Duration,
        counts: impl Fn(&str) -> bool,
    ) -> anyhow::Result<Vec<Archived>> {
        let tenants: Vec<_> =
            tenants.iter().map(|tenant| TenantId::parse(tenant)).collect::<Result<_, _>>()?;
        let look = async || {
            self.read_new(&tenants).await?;
            let is_ours =
                |archived: &&Archived| tenants.contains(&archived.line.facts.tenant) && counts(archived.id());
            Ok(self.read.values().flatten().filter(is_ours).cloned().collect())
        };
        each_once(look, Archived::id, ids, within, SECOND_COPY).await
    }

    /// Reads the tenants' lines of objects that were not read yet.
    async fn read_new(&mut self, tenants: &[TenantId]) -> anyhow::Result<()> {
        let mut listed = BTreeMap::new();
        let take = |page: Vec<ListedObject>| {
            listed.extend(page.into_iter().map(|object| (object.key, object.written)));
        };
        for shard in archive::shards(self.deployment, self.since, take).await?.into_keys() {
            for row in archive::manifest(self.deployment, &shard, self.since).await? {
                // The object was listed before its row was read: it may be too young for the list.
                let Some(written) = listed.get(&row.key).copied() else { continue };
                if self.read.contains_key(&row.key) || row.received_at[1] < self.since {
                    continue;
                }
                let mut lines = Vec::new();
                for tenant in tenants {
                    let found =
                        archive::members(self.deployment, &row, Some(tenant), &mut Absent::default()).await?;
                    let (members, _) = found.with_context(|| format!("`{}` cannot be read", row.key))?;
                    for member in members {
                        each_line(&member, |line: ArchiveLine<'static>, _| {
                            if line.facts.received_at >= self.since {
                                lines.push(Archived { line, written, object: row.key.clone() });
                            }
                        })?;
                    }
                }
                self.read.insert(row.key, lines);
            }
        }
        Ok(())
    }

    /// The objects under `prefix` that were written at `since` or later.
    pub(crate) async fn objects(&self, prefix: &str, since: Timestamp) -> anyhow::Result<Vec<ListedObject>> {
        let after = (prefix == "events/").then(|| archive::begin(since));
        let mut objects = Vec::new();
        archive::each_page(self.deployment, prefix, after, |page| objects.extend(page)).await?;
        objects.retain(|object| object.written >= since);
        Ok(objects)
    }

    pub(crate) async fn shards(&self) -> anyhow::Result<usize> {
        Ok(self.deployment.shards().await?.len())
    }
}

/// Looks until each of `ids` is found, and once more after `second_copy`: then each must be there once, and nothing else.
async fn each_once<T>(
    mut look: impl AsyncFnMut() -> anyhow::Result<Vec<T>>,
    id: impl Fn(&T) -> &str,
    ids: &BTreeSet<String>,
    within: Duration,
    second_copy: Duration,
) -> anyhow::Result<Vec<T>> {
    let end = Instant::now() + within;
    loop {
        let found = look().await?;
        let found: BTreeSet<_> = found.iter().map(&id).collect();
        let Some(missing) = ids.iter().find(|id| !found.contains(id.as_str())) else { break };
        if Instant::now() > end {
            let (count, within) = (found.len(), within.as_secs());
            bail!("{count} of {} events are in the archive after {within} s; missing: {missing}", ids.len());
        }
        sleep(POLL).await;
    }
    sleep(second_copy).await;
    let found = look().await?;
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    for event in &found {
        *times.entry(id(event)).or_default() += 1;
    }
    if let Some((id, count)) = times.into_iter().find(|(_, count)| *count != 1) {
        bail!("{id} is in the archive {count} times");
    }
    if let Some(event) = found.iter().find(|event| !ids.contains(id(event))) {
        bail!("{} is in the archive, and was not sent", id(event));
    }
    Ok(found)
}

/// An attribute that is a text.
pub(crate) fn text<'a>(item: &'a Attributes, name: &str) -> anyhow::Result<&'a str> {
    item.get(name).and_then(|value| value.as_str()).with_context(|| format!("the item has no `{name}`"))
}

/// An attribute that is a time.
pub(crate) fn time(item: &Attributes, name: &str) -> anyhow::Result<Timestamp> {
    let value = item.get(name).with_context(|| format!("the item has no `{name}`"))?;
    serde_json::from_value(value.clone()).with_context(|| format!("`{name}` is no time"))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An event that was received at the beginning of time, and was durable so long after.
    pub(crate) fn archived(tenant: &str, id: &str, object: &str, freshness: Duration) -> Archived {
        let line = format!(
            r#"{{"v":1,"id":"{id}","admission_id":"00000000-0000-7000-8000-000000000000","tenant":"{tenant}","tier":"free","source":"text_upload","received_at":"1970-01-01T00:00:00Z","processed_at":"1970-01-01T00:00:00Z","shard":"shardId-000000000000","sequence_number":"1","position":0,"text":"x","fields":{{}}}}"#
        );
        let line = serde_json::from_str::<ArchiveLine<'static>>(&line).unwrap();
        Archived { line, written: Timestamp::default().plus(freshness), object: object.to_owned() }
    }

    /// What is returned when the archive has these events at the first look, the second, and so on.
    async fn looked(looks: &[&[&str]]) -> Result<Vec<String>, String> {
        let mut looks = looks.iter().map(|look| look.iter().copied().map(str::to_owned).collect());
        let look = async || looks.next().context("no more looks");
        let ids = ["a", "b"].map(str::to_owned).into();
        let found = each_once(look, String::as_str, &ids, Duration::from_mins(1), Duration::ZERO).await;
        found.map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn a_second_copy_is_found_although_it_comes_after_the_last_event() {
        assert_eq!(looked(&[&[], &["a"], &["a", "b"], &["a", "b"]]).await.unwrap(), ["a", "b"]);
        let error = looked(&[&["a", "b"], &["a", "b", "a"]]).await.unwrap_err();
        assert_eq!(error, "a is in the archive 2 times");
        let error = looked(&[&["a", "b"], &["a", "b", "a-2"]]).await.unwrap_err();
        assert_eq!(error, "a-2 is in the archive, and was not sent");
    }

    #[tokio::test]
    async fn a_second_copy_does_not_count_for_an_event_that_is_missing() {
        let found = looked(&[&["a", "a"], &["a", "a", "b"], &["a", "a", "b"]]).await;
        assert_eq!(found.unwrap_err(), "a is in the archive 2 times");
    }
}
