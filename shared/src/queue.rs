//! A queue: how messages are divided into calls, and the batch in which Lambda delivers them.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::limits;

#[cfg(feature = "sqs")]
pub mod sqs;

/// A batch of messages as Lambda sends it. `M` has the members of a message that its function uses.
#[derive(Debug, Deserialize)]
pub struct QueueBatch<M> {
    #[serde(rename = "Records")]
    pub messages: Vec<M>,
}

/// The messages that stay in the queue. An empty list means none.
#[derive(Debug, PartialEq, Eq, Serialize)]
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
        let staying = |item_identifier| Staying { item_identifier };
        Self { batch_item_failures: ids.into_iter().map(staying).collect() }
    }
}

/// Calls that send messages of these sizes, in their order: each call a range of them, within the limits of SQS.
pub fn calls(sizes: &[usize]) -> Vec<Range<usize>> {
    let mut calls: Vec<Range<usize>> = Vec::new();
    let mut bytes = 0;
    for (index, size) in sizes.iter().enumerate() {
        match calls.last_mut() {
            Some(call) if call.len() < limits::BATCH_MESSAGES && bytes + size <= limits::MESSAGE_BYTES => {
                call.end += 1;
                bytes += size;
            }
            _ => {
                calls.push(index..index + 1);
                bytes = *size;
            }
        }
    }
    calls
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_has_ten_messages_and_a_mebibyte_at_most() {
        assert_eq!(calls(&[100; 25]), [0..10, 10..20, 20..25]);
        assert_eq!(calls(&[limits::MESSAGE_BYTES, 1, limits::MESSAGE_BYTES - 1, 1]), [0..1, 1..3, 3..4]);
        assert!(calls(&[]).is_empty());
    }
}
