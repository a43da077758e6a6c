//! Objects that the manifest has and the bucket does not: the bucket's lifecycle deletes objects, and nothing deletes rows
//! of the manifest.

use shared::format::manifest_row::ManifestRow;
use shared::time::Timestamp;

use crate::deployment::Deployment;

/// Objects that were not found. Those older than every existing object have expired. The others are lost.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Absent {
    /// The first key in the bucket.
    first: Option<String>,
    has_expired: bool,
    lost: Vec<String>,
}

impl Absent {
    pub async fn of(deployment: &impl Deployment) -> anyhow::Result<Self> {
        let first = deployment.list("events/", None).await?.into_iter().next().map(|object| object.key);
        Ok(Self { first, ..Self::default() })
    }

    /// For rows of objects that were just written: one that does not exist is lost.
    pub fn none_has_expired() -> Self {
        Self { first: Some(String::new()), ..Self::default() }
    }

    /// Whether the row is older than every existing object.
    pub fn has_expired(&self, row: &ManifestRow) -> bool {
        self.first.as_ref().is_none_or(|first| row.key < *first)
    }

    /// Where reading the manifest begins, for events received at `from` or later that may still exist.
    pub fn since(&self, from: Timestamp) -> Timestamp {
        self.first.as_deref().and_then(hour).map_or(from, |hour| hour.max(from))
    }

    pub fn add(&mut self, row: &ManifestRow, why: &str) {
        if self.has_expired(row) {
            self.has_expired = true;
        } else {
            self.lost.push(format!("{}: {why}", row.key));
        }
    }

    /// For people, one line each.
    pub fn describe(&self) -> Vec<String> {
        let expired = self.has_expired.then(|| match &self.first {
            Some(first) => format!("objects older than {first} do not exist any more"),
            None => "the bucket has no archive objects any more".to_owned(),
        });
        expired.into_iter().chain(self.lost.iter().map(|lost| format!("left out: {lost}"))).collect()
    }

    /// How many objects are lost.
    pub fn lost(&self) -> usize {
        self.lost.len()
    }
}

/// Why an object of the manifest cannot be read.
pub fn gone(row: &ManifestRow) -> String {
    format!("the manifest has it, with {} lines, and it does not exist", row.lines)
}

/// The hour in an archive object's key.
fn hour(key: &str) -> Option<Timestamp> {
    let (day, rest) = key.strip_prefix("events/dt=")?.split_once("/hr=")?;
    let hour = rest.split('/').next()?;
    serde_json::from_value(format!("{day}T{hour}:00:00Z").into()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_begins_with_the_hour_of_its_first_key() {
        let at = Timestamp::from_unix_ms;
        let key = shared::format::key::archive_object("s", "2", 0, at(1_704_937_370_234));
        let absent = Absent { first: Some(key), ..Absent::default() };
        assert_eq!(absent.since(at(0)).to_string(), "2024-01-11T01:00:00.000Z");
        assert_eq!(absent.since(at(1_704_937_370_234)), at(1_704_937_370_234));
        assert_eq!(Absent::default().since(at(7)), at(7));
    }
}
