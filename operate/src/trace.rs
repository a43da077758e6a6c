//! Where an event is, and where its way ends: request, record, batch, item, archive object, member, line, dispatch. It reads
//! what is stored and writes nothing.
//!
//! Where tenant and id are known, the event is read by keys: item, manifest row, one member of its object. All else is a search
//! (`search.rs`), from a time on.
//!
//! | file | holds |
//! |---|---|
//! | `search.rs` | looks through quarantine, failures, queues, stream and archive |
//! | `stored.rs` | what is stored of an event, by its name and its origin |
//! | `way.rs` | the stations of an event |
//! | `end.rs` | where its way ends, and what that means. Pure |
//! | `report.rs` | the result as text |

mod end;
mod report;
mod search;
mod stored;
mod way;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use shared::config::Config;
use shared::id::{EventId, TenantId};
use shared::time::Timestamp;

use crate::OnProgress;
use crate::archive::earlier;
use crate::deployment::Deployment;
use crate::erase::Erasures;
use search::Sighting;
pub use way::TracedEvent;

/// How far back a search goes, unless it is told.
pub const LOOK_BACK: Duration = Duration::from_hours(1);

/// What is looked for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The id of an event, its admission id, the key of its request, or the trace id of its request.
    pub id: String,
    /// Of the event. Without it, the configuration's default tenant is asked first.
    pub tenant: Option<TenantId>,
    /// Search from this time on, even if there is an item.
    pub from: Option<Timestamp>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Traced {
    pub deployment: String,
    pub id: String,
    /// What was searched, if anything was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub searched_from: Option<Timestamp>,
    pub events: Vec<TracedEvent>,
}

pub async fn trace(
    deployment: &impl Deployment,
    config: &Config,
    wanted: &Wanted,
    progress: OnProgress<'_>,
) -> anyhow::Result<Traced> {
    let now = deployment.clock().now();
    let mut found: BTreeMap<(TenantId, EventId), Vec<Sighting>> = BTreeMap::new();
    let tenant = wanted.tenant.clone().or_else(|| config.tenants.default.clone());
    if let (Some(tenant), Ok(id)) = (tenant, EventId::parse(wanted.id.clone())) {
        let name = (tenant, id);
        if deployment.attributes(&name.0, &name.1).await?.is_some() {
            found.insert(name, Vec::new());
        }
    }
    let searched_from = match wanted.from {
        Some(from) => Some(from),
        None => found.is_empty().then(|| earlier(now, LOOK_BACK)),
    };
    if let Some(from) = searched_from {
        for (name, sighting) in search::search(deployment, config, wanted, from, progress).await? {
            found.entry(name).or_default().push(sighting);
        }
    }
    let erased = Erasures::read(deployment).await?;
    let mut events = Vec::new();
    for ((tenant, id), sightings) in found {
        let mut event = TracedEvent::new(tenant, id, sightings);
        stored::read(deployment, config, &mut event).await?;
        event.is_erased = event.is_in(&erased);
        event.judge(now);
        events.push(event);
    }
    Ok(Traced { deployment: deployment.name().to_owned(), id: wanted.id.clone(), searched_from, events })
}
