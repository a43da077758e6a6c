//! More than a year later. All that does not live as long as the archive is gone: the stream's records, dead letters, claim checks,
//! quarantine, failed batches, and the items. An id that is sent again then is a new event: it has one archive line more, and an item.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use shared::format::key;
use shared::origin::Origin;
use shared::time::Timestamp;

use crate::client::{self, ClientLog, Event, Name, Sender};
use crate::data::Data;
use crate::host::Site;
use crate::judge;
use crate::run::{audited, drained};
use crate::world::{State, World};

/// Longer than any item lives, by any configuration, or anything else but the archive.
const LATER: Duration = Duration::from_hours(24 * 400);
/// How many events are sent again.
const AGAIN: usize = 3;
pub(crate) const EXPIRED: &str = "items expired";
pub(crate) const SENT_AGAIN: &str = "events sent again after their items expired";

/// Nothing fails any more, and all is done.
pub(crate) async fn expiry(site: &Site, world: &World, log: &RefCell<ClientLog>) {
    if !world.scenario().expires {
        return;
    }
    world.pass(LATER);
    let now = world.now();
    let expired = world.random_state(|state: &mut State| {
        let expired = state.data.expire(now);
        *state.coverage.entry(EXPIRED).or_default() += expired.len() as u64;
        expired
    });
    let before = judge::origins(world);
    let mut again = BTreeSet::new();
    let chosen = chosen(&log.borrow(), &expired, &before);
    for event in chosen {
        let (name, sender) = (event.name.clone(), Sender::usual(world, &event));
        if client::send(site, world, log, &[event], false, &sender).await {
            world.count(SENT_AGAIN);
            again.insert(name);
        }
    }
    drained(world).await;
    let after = judge::origins(world);
    for (name, lines) in &after {
        let new = lines.len() - before.get(name).map_or(0, Vec::len);
        let item = judge::item_origin(world, name);
        let is_right = if again.contains(name) {
            new == 1 && item.is_some_and(|item| lines.contains(&item) && !before[name].contains(&item))
        } else {
            // An expired item is not there, and no other was touched.
            new == 0 && (item.is_none() || !expired.contains(name))
        };
        if !is_right {
            world.violation(format_args!(
                "{name:?} has {new} new lines after its item expired; sent again: {}",
                again.contains(name)
            ));
        }
    }
    audited(site, world).await;
}

/// Events that were stored and have expired.
fn chosen(log: &ClientLog, expired: &BTreeSet<Name>, archived: &BTreeMap<Name, Vec<Origin>>) -> Vec<Event> {
    let stored =
        log.events.iter().filter(|(name, _)| expired.contains(*name) && archived.contains_key(*name));
    let event = |(name, contents): (&Name, &Vec<client::Sent>)| Event {
        name: name.clone(),
        text: contents[0].text.clone(),
        n: contents[0].n,
    };
    stored.map(event).take(AGAIN).collect()
}

impl Data {
    /// Deletes what is older than it may become at `now`, and returns the names of the items. The spill queue is empty.
    fn expire(&mut self, now: Timestamp) -> BTreeSet<Name> {
        let is_of_archive =
            |name: &str| ["events/", key::TEXTS, "manifests/"].iter().any(|prefix| name.starts_with(prefix));
        self.objects.retain(|name, _| is_of_archive(name));
        self.shards.iter_mut().for_each(|shard| shard.records.clear());
        self.spill.dead.clear();
        self.dispatch.dead.clear();
        let expired: Vec<_> = self
            .items
            .iter()
            .filter(|(_, item)| item.is_expired(now))
            .map(|(name, _)| name.clone())
            .collect();
        expired
            .into_iter()
            .map(|name| {
                self.remove_item(&name);
                (name.0.to_string(), name.1.to_string())
            })
            .collect()
    }
}
