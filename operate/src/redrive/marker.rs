//! Markers: which lines of an object are redriven, so that they are not listed again. They are only notes: an event that
//! is redriven twice is stored once.

use std::collections::{HashMap, HashSet};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use shared::digest::sha256;
use shared::format::key;
use shared::objects::ObjectStore;
use shared::origin::Origin;

use crate::archive::each_page;
use crate::deployment::Deployment;

const VERSION: u32 = 1;

/// The names are on disk: never rename them.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Marker {
    v: u32,
    /// The redriven lines of the object.
    origins: Vec<Origin>,
}

impl Marker {
    /// The object that a marker is about, by the marker's key.
    pub(crate) fn source(key: &str) -> Option<&str> {
        Some(key.strip_prefix(key::REDRIVEN)?.rsplit_once('/')?.0)
    }

    /// The redriven lines in a marker.
    pub(crate) fn read(marker: &[u8]) -> serde_json::Result<Vec<Origin>> {
        serde_json::from_slice::<Self>(marker).map(|marker| marker.origins)
    }
}

/// The keys of markers, by the object that they are about.
#[derive(Debug, Default)]
pub(crate) struct Markers(HashMap<String, Vec<String>>);

impl Markers {
    pub(crate) async fn list(deployment: &impl Deployment) -> anyhow::Result<Self> {
        let mut markers: HashMap<_, Vec<_>> = HashMap::new();
        each_page(deployment, key::REDRIVEN, None, |page| {
            for marker in page {
                if let Some(source) = Marker::source(&marker.key) {
                    markers.entry(source.to_owned()).or_default().push(marker.key);
                }
            }
        })
        .await?;
        Ok(Self(markers))
    }

    /// The redriven lines of `source`.
    pub(crate) async fn of(
        &self,
        source: &str,
        deployment: &impl Deployment,
    ) -> anyhow::Result<HashSet<Origin>> {
        let mut done = HashSet::new();
        for key in self.0.get(source).into_iter().flatten() {
            let Some(marker) = deployment.objects().get(key).await? else { continue };
            done.extend(Marker::read(&marker).with_context(|| format!("the marker `{key}`"))?);
        }
        Ok(done)
    }
}

/// Notes that these lines of `source` are redriven.
pub(crate) async fn write(
    source: &str,
    origins: Vec<Origin>,
    objects: &impl ObjectStore,
) -> anyhow::Result<()> {
    let marker = serde_json::to_vec(&Marker { v: VERSION, origins })?;
    let key = key::redriven_marker(source, &sha256(&marker));
    Ok(objects.put(&key, marker.into()).await?)
}
