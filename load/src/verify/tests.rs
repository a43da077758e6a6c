//! What a check finds, in the stores of a data folder that the consumer itself has filled.

use std::sync::Arc;

use consumer_fn::{Batch, Consumer, Deadline};
use ingest_fn::publish::{EventStream, StreamRecord};
use local::adapters::Plain;
use local::data::DataFolder;
use local::embedded::{EmbeddedCheckpoints, EmbeddedItems, EmbeddedLedger, EmbeddedStream};
use local::event_source_mapping::ports::Checkpoints;
use operate::deployment::Start;
use rusqlite::Connection;
use shared::format::event_line::Event as EventLine;
use shared::format::facts::Facts;
use shared::format::record;
use shared::id::{AdmissionId, Ids};
use shared::tier::Tier;
use shared::time::Clock;

use super::*;

/// Requests of the load.
const REQUESTS: u64 = 60;

struct Site {
    folder: tempfile::TempDir,
    data: DataFolder,
    config: Arc<Config>,
    traffic: Traffic,
    since: Timestamp,
}

impl Site {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = DataFolder::open(folder.path()).unwrap();
        EmbeddedStream::open(data.database().unwrap(), 1, Clock::system()).await.unwrap();
        let config = Arc::new(Config::default());
        let traffic = Traffic::new("run", 1, 5, Vec::new(), &config).unwrap();
        Self { folder, data, config, traffic, since: Clock::system().now() }
    }

    /// Those that must be stored, of all requests.
    fn accepted(&self) -> Vec<Event> {
        let stored = |number| is_stored(&self.traffic, number).then(|| self.traffic.events(number));
        (0..REQUESTS).filter_map(stored).flatten().collect()
    }

    /// Does what ingest and consumer do. Each event is another admission than any before.
    async fn store(&self, events: &[Event]) {
        let clock = Clock::system();
        let database = || self.data.database().unwrap();
        let stream = EmbeddedStream::open(database(), 1, clock.clone()).await.unwrap();
        let lines: Vec<_> = events.iter().map(|event| line_of(event, clock.now()).line()).collect();
        let data = record::pack(&lines).into();
        stream.put(&[StreamRecord { partition_key: "any".to_owned(), data }]).await.unwrap();

        let deployment = local::deployment::open(self.folder.path(), &Plain).await.unwrap();
        let shard = deployment.shards().await.unwrap().remove(0);
        let after = deployment.checkpoint(&shard).await.unwrap().map_or(Start::Oldest, Start::After);
        let (items, ledger) = (EmbeddedItems(database()), EmbeddedLedger(database()));
        let consumer =
            Consumer::new(self.config.clone(), items, self.data.objects().unwrap(), ledger, clock).unwrap();
        for record in deployment.records(&shard, after).await.unwrap().records {
            let number = record.sequence_number;
            let batch = Batch::of_record(&shard, &number, None, record.arrival, record.data.to_vec());
            let deadline = Deadline::after(Duration::from_mins(1), &self.config);
            let answer = consumer.handle(batch, deadline).await;
            assert!(answer.batch_item_failures.is_empty(), "{answer:?}");
            EmbeddedCheckpoints(database()).save(&shard, &number).await.unwrap();
        }
    }

    /// The check of a load. All its answers were the right ones.
    async fn verified(&self) -> Verified {
        let mut outcomes = Outcomes::default();
        for number in 0..REQUESTS {
            let outcome = if is_stored(&self.traffic, number) { Outcome::Accepted } else { Outcome::Refused };
            outcomes.note(self.traffic.request(number).of, outcome);
        }
        let deployment = &local::deployment::open(self.folder.path(), &Plain).await.unwrap();
        let (config, traffic, since) = (&*self.config, &self.traffic, self.since);
        let wait = Duration::from_millis(1);
        let sent = Sent { deployment, config, traffic, outcomes: &outcomes, since, wait };
        verify(sent, &|_, _, _| ()).await.unwrap()
    }

    fn forget_item(&self, event: &Event) {
        let database = Connection::open(self.data.database_file()).unwrap();
        let sort = format!("processed_logs/{}", event.id);
        assert_eq!(database.execute("DELETE FROM items WHERE sk = ?1", [sort]).unwrap(), 1);
    }
}

fn is_stored(traffic: &Traffic, number: u64) -> bool {
    !matches!(traffic.request(number).expected, crate::traffic::Expected::Refused(..))
}

/// As ingest makes it.
fn line_of(event: &Event, received_at: Timestamp) -> EventLine {
    let mut line = EventLine::of_facts(Facts {
        id: event.id.clone(),
        admission_id: AdmissionId(Ids::system().next()),
        tenant: event.tenant.clone(),
        tier: event.tier.clone().unwrap_or_else(|| Tier::parse("pro").unwrap()),
        source: event.source,
        received_at,
        event_time: event.event_time(),
        trace: None,
    });
    line.is_flattened = event.text.is_none();
    line.text = event.text.clone().unwrap_or_else(|| "made of the members".to_owned());
    line.fields = event.fields();
    line
}

/// The findings as `kind id`.
fn found(verified: &Verified) -> Vec<String> {
    verified.told.iter().map(|finding| format!("{:?} {}", finding.kind, finding.id)).collect()
}

#[tokio::test]
async fn what_is_stored_as_it_was_sent_has_no_finding_and_duplicates_are_none() {
    let site = Site::new().await;
    let events = site.accepted();
    assert!(events.len() > 50, "{}", events.len());
    site.store(&events).await;
    site.store(&events[..10]).await;
    let verified = site.verified().await;
    assert!(verified.is_right(), "{verified}");
    assert_eq!(verified.accepted, events.len() as u64);
    assert!(verified.refused > 0);

    // A later load with the same seed and name finds what the first one stored.
    let later = Site { since: Clock::system().now().plus(Duration::from_hours(2)), ..site };
    assert_eq!(later.verified().await, verified);
}

#[tokio::test]
async fn a_missing_event_a_doubled_one_a_changed_one_and_a_refused_one_are_found() {
    let site = Site::new().await;
    let mut events = site.accepted();
    let missing = events.remove(0);
    // Something on its way changes a text; and members.
    let texts = events.iter_mut().filter(|event| event.text.is_some());
    let changed: Vec<_> = texts
        .take(1)
        .map(|event| {
            event.text.as_mut().unwrap().push('!');
            event.id.clone()
        })
        .collect();
    site.store(&events).await;
    let [doubled, without_item] = [&events[20], &events[30]];
    // The consumer does not know it any more, so it stores it once more.
    site.forget_item(doubled);
    site.store(std::slice::from_ref(doubled)).await;
    site.forget_item(without_item);
    let refused = (0..REQUESTS).find(|number| !is_stored(&site.traffic, *number)).unwrap();
    let refused = site.traffic.event(refused, 0).unwrap();
    site.store(std::slice::from_ref(&refused)).await;

    let verified = site.verified().await;
    let found = found(&verified);
    for (kind, id) in [
        ("Missing", &missing.id),
        ("Changed", &changed[0]),
        ("Doubled", &doubled.id),
        ("Missing", &without_item.id),
        ("Foreign", &refused.id),
    ] {
        assert!(found.contains(&format!("{kind} {id}")), "{kind} {id} is not in {found:?}");
    }
    // A changed event is found in its line, and by its item's hash.
    assert_eq!(found.len(), 6, "{verified}");
}

#[tokio::test]
async fn an_event_without_an_answer_may_be_stored_or_not() {
    let site = Site::new().await;
    let mut outcomes = Outcomes::default();
    let number = (0..REQUESTS).find(|number| is_stored(&site.traffic, *number)).unwrap();
    outcomes.note(number, Outcome::Unknown);
    let deployment = &local::deployment::open(site.folder.path(), &Plain).await.unwrap();
    let (config, traffic, since) = (&*site.config, &site.traffic, site.since);
    let verified = async || {
        let wait = Duration::from_millis(1);
        let sent = Sent { deployment, config, traffic, outcomes: &outcomes, since, wait };
        verify(sent, &|_, _, _| ()).await.unwrap()
    };
    let before = verified().await;
    site.store(&site.traffic.events(number)).await;
    let after = verified().await;
    assert!(before.is_right() && after.is_right(), "{before}\n{after}");
    assert_eq!([before.unknown_stored, after.unknown_stored], [0, after.unknown]);
}
