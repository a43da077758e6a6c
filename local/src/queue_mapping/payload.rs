//! Renders the event that Lambda makes of a batch of messages:
//! <https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html>.

use bytes::Bytes;
use md5::{Digest, Md5};
use serde_json::{Value, json};

use crate::embedded::Received;

pub(super) fn render(queue: &str, batch: &[Received]) -> Bytes {
    let records: Vec<_> = batch.iter().map(|message| record(queue, message)).collect();
    json!({"Records": records}).to_string().into()
}

fn record(queue: &str, message: &Received) -> Value {
    let sent = message.sent_ms.to_string();
    json!({
        "messageId": message.id,
        "receiptHandle": message.receipt(),
        "body": message.body,
        "attributes": {
            "ApproximateReceiveCount": message.receives.to_string(),
            "SentTimestamp": sent,
            "SenderId": "000000000000",
            "ApproximateFirstReceiveTimestamp": sent,
        },
        "messageAttributes": {},
        "md5OfBody": format!("{:032x}", u128::from_be_bytes(Md5::digest(&message.body).into())),
        "eventSource": "aws:sqs",
        "eventSourceARN": format!("arn:aws:sqs:local:000000000000:{queue}"),
        "awsRegion": "local",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_event_has_the_documented_shape() {
        let message =
            Received { id: "7".into(), body: "Test".into(), receives: 2, sent_ms: 1_545_082_649_183 };
        // The order of members depends on how serde_json is built.
        let rendered: Value = serde_json::from_slice(&render("spill", &[message])).unwrap();
        let expected = json!({"Records": [{
            "messageId": "7",
            "receiptHandle": "7-2",
            "body": "Test",
            "attributes": {
                "ApproximateReceiveCount": "2",
                "SentTimestamp": "1545082649183",
                "SenderId": "000000000000",
                "ApproximateFirstReceiveTimestamp": "1545082649183",
            },
            "messageAttributes": {},
            "md5OfBody": "0cbc6611f5540bd0809a388dc95a615b",
            "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:local:000000000000:spill",
            "awsRegion": "local",
        }]});
        assert_eq!(rendered, expected);
    }
}
