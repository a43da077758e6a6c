//! The slot counter by the AWS SDK: one row, which holds the start of the next free slot.
//!
//! Two conditional updates instead of reading and writing: while calls wait for slots, the first always succeeds, so
//! functions that take slots at the same time never refuse each other.

use std::collections::HashMap;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::Builder;
use aws_sdk_dynamodb::error::DisplayErrorContext;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure};

use super::{CounterFailure, Micros, PARTITION_KEY, Slot, SlotCounter};

/// The attribute that holds it; spelt out in expressions. (`free` alone is a reserved word of DynamoDB.)
const NEXT_SLOT: &str = "next_slot";
/// The one row.
const ROW: &str = "dispatch";

/// Time limit for one attempt at a call. A call that had its effect and is repeated loses a slot.
const ATTEMPT: Duration = Duration::from_secs(2);

/// Another function took a slot between two updates. The chance falls with each attempt.
const ATTEMPTS: u32 = 5;

#[derive(Clone, Debug)]
pub struct DynamoSlots {
    client: Client,
    table: String,
}

/// An update's outcome: the counter after it, or before it if the condition does not hold.
enum Updated {
    To(Micros),
    Refused(Option<Micros>),
}

impl DynamoSlots {
    pub fn new(sdk: &SdkConfig, table: String) -> Self {
        let timeouts = TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT).build();
        Self { client: Client::from_conf(Builder::from(sdk).timeout_config(timeouts).build()), table }
    }

    async fn update(
        &self,
        update: &str,
        condition: &str,
        values: &[(&str, i64)],
    ) -> Result<Updated, CounterFailure> {
        let values =
            values.iter().map(|(name, value)| ((*name).to_owned(), AttributeValue::N(value.to_string())));
        let call = self.client.update_item().table_name(&self.table);
        let updated = call
            .key(PARTITION_KEY, AttributeValue::S(ROW.to_owned()))
            .update_expression(update)
            .condition_expression(condition)
            .set_expression_attribute_values(Some(values.collect()))
            .return_values(ReturnValue::UpdatedNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        let free = |row: Option<&HashMap<String, AttributeValue>>| {
            Some(Micros(row?.get(NEXT_SLOT)?.as_n().ok()?.parse().ok()?))
        };
        match updated {
            Ok(output) => free(output.attributes.as_ref())
                .map(Updated::To)
                .ok_or_else(|| CounterFailure("DynamoDB answers without the counter".to_owned())),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(failed)) => {
                    Ok(Updated::Refused(free(failed.item.as_ref())))
                }
                _ => Err(CounterFailure(DisplayErrorContext(error).to_string())),
            },
        }
    }
}

impl SlotCounter for DynamoSlots {
    async fn take(&self, now: Micros, latest: Micros, interval: Duration) -> Result<Slot, CounterFailure> {
        let step = i64::try_from(interval.as_micros()).unwrap_or(i64::MAX);
        for _ in 0..ATTEMPTS {
            // Slots are taken: the next one.
            let values = [(":step", step), (":now", now.0), (":latest", latest.0)];
            match self
                .update("SET next_slot = next_slot + :step", "next_slot BETWEEN :now AND :latest", &values)
                .await?
            {
                Updated::To(Micros(free)) => return Ok(Slot::At(Micros(free - step))),
                Updated::Refused(Some(free)) if free > latest => return Ok(Slot::NotBefore(free)),
                Updated::Refused(_) => {}
            }
            // None is taken: now.
            let values = [(":next", (now + interval).0), (":now", now.0)];
            let condition = "attribute_not_exists(next_slot) OR next_slot < :now";
            if let Updated::To(_) = self.update("SET next_slot = :next", condition, &values).await? {
                return Ok(Slot::At(now));
            }
        }
        Err(CounterFailure(format!("other functions took the slot {ATTEMPTS} times")))
    }

    async fn pause(&self, until: Micros) -> Result<(), CounterFailure> {
        let condition = "attribute_not_exists(next_slot) OR next_slot < :until";
        self.update("SET next_slot = :until", condition, &[(":until", until.0)]).await.map(drop)
    }
}

#[cfg(test)]
#[cfg(feature = "aws-test")]
mod tests {
    use serde_json::{Value, json};
    use shared::replay::{StaticReplayClient, replay};

    use super::*;

    const INTERVAL: Duration = Duration::from_millis(55);

    fn slots(answers: &[(u16, &'static str)]) -> (DynamoSlots, StaticReplayClient) {
        let (sdk, requests) = replay(answers);
        (DynamoSlots::new(&sdk, "rate".to_owned()), requests)
    }

    /// Update, condition and values of the last request.
    fn asked(requests: &StaticReplayClient) -> [Value; 3] {
        let request = requests.actual_requests().last().unwrap();
        let body: Value = serde_json::from_slice(request.body().bytes().unwrap()).unwrap();
        assert_eq!((&body["TableName"], &body["Key"]), (&json!("rate"), &json!({"pk": {"S": "dispatch"}})));
        ["UpdateExpression", "ConditionExpression", "ExpressionAttributeValues"]
            .map(|name| body[name].clone())
    }

    const REFUSED: &str = r#"{"__type":"com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException","message":"no","Item":{"pk":{"S":"dispatch"},"next_slot":{"N":"500"}}}"#;
    const NO_ROW: &str =
        r#"{"__type":"com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException","message":"no"}"#;

    #[tokio::test]
    async fn while_slots_are_taken_the_next_one_takes_one_update() {
        let (slots, requests) = slots(&[(200, r#"{"Attributes":{"next_slot":{"N":"1055000"}}}"#)]);
        let slot = slots.take(Micros(900_000), Micros(1_900_000), INTERVAL).await.unwrap();
        assert_eq!(slot, Slot::At(Micros(1_000_000)));
        let values = json!({":now": {"N": "900000"}, ":step": {"N": "55000"}, ":latest": {"N": "1900000"}});
        let update = json!("SET next_slot = next_slot + :step");
        assert_eq!(asked(&requests), [update, json!("next_slot BETWEEN :now AND :latest"), values]);
    }

    #[tokio::test]
    async fn without_a_row_or_after_a_break_the_slot_is_now() {
        for first in [NO_ROW, REFUSED] {
            let (slots, requests) =
                slots(&[(400, first), (200, r#"{"Attributes":{"next_slot":{"N":"955000"}}}"#)]);
            let slot = slots.take(Micros(900_000), Micros(1_900_000), INTERVAL).await.unwrap();
            assert_eq!(slot, Slot::At(Micros(900_000)));
            let condition = json!("attribute_not_exists(next_slot) OR next_slot < :now");
            let values = json!({":next": {"N": "955000"}, ":now": {"N": "900000"}});
            assert_eq!(asked(&requests), [json!("SET next_slot = :next"), condition, values]);
        }
    }

    #[tokio::test]
    async fn a_slot_that_is_too_late_is_not_taken() {
        let (slots, _) = slots(&[(400, REFUSED)]);
        assert_eq!(
            slots.take(Micros(100), Micros(499), INTERVAL).await.unwrap(),
            Slot::NotBefore(Micros(500))
        );
    }

    #[tokio::test]
    async fn a_pause_never_moves_the_counter_back() {
        let (slots, requests) = slots(&[(400, REFUSED)]);
        slots.pause(Micros(400)).await.unwrap();
        let condition = json!("attribute_not_exists(next_slot) OR next_slot < :until");
        assert_eq!(
            asked(&requests),
            [json!("SET next_slot = :until"), condition, json!({":until": {"N": "400"}})]
        );
    }
}
