//! A batch of messages as Lambda sends it, without the members that are not used, and the answer to it.

use serde::{Deserialize, Deserializer, Serialize, de};
use shared::time::Timestamp;

#[derive(Debug, Deserialize)]
pub struct QueueBatch {
    #[serde(rename = "Records")]
    pub messages: Vec<QueuedMessage>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueuedMessage {
    pub message_id: String,
    /// Names this receive of the message.
    pub receipt_handle: String,
    pub body: String,
    pub attributes: Attributes,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Attributes {
    /// When it was sent to the queue.
    #[serde(deserialize_with = "unix_ms")]
    pub sent_timestamp: Timestamp,
}

fn unix_ms<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map(Timestamp::from_unix_ms).map_err(de::Error::custom)
}

/// The messages that stay in the queue. An empty list means none.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueResponse {
    batch_item_failures: Vec<Staying>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Staying {
    item_identifier: String,
}

impl FromIterator<String> for QueueResponse {
    /// The ids of the messages that stay.
    fn from_iter<I: IntoIterator<Item = String>>(ids: I) -> Self {
        let failure = |item_identifier| Staying { item_identifier };
        Self { batch_item_failures: ids.into_iter().map(failure).collect() }
    }
}
