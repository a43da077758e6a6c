//! A message as Lambda sends it, without the members that are not used.

use serde::{Deserialize, Deserializer, de};
use shared::time::Timestamp;

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
