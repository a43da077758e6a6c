//! An item that is to name another origin.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{DisplayErrorContext, ProvideErrorMetadata};
use aws_sdk_dynamodb::types::AttributeValue;
use shared::format::key;

use super::CONDITION_FAILED;
use crate::items::{TakeOver, TakenOver};

/// Sets the three attributes of the origin, if they are what they were. An item that is gone fails the condition as well.
/// The SDK's own second attempt at a call that took effect fails it, too, so the caller reads the item again.
pub(super) async fn take_over(client: &Client, table: &str, item: &TakeOver) -> TakenOver {
    let TakeOver { tenant, id, from, to } = item;
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let number = |number: u32| AttributeValue::N(number.to_string());
    let updated = client
        .update_item()
        .table_name(table)
        .key("pk", text(&key::item_partition(tenant)))
        .key("sk", text(&key::item_sort(id)))
        .update_expression("SET #shard = :to_shard, #number = :to_number, #position = :to_position")
        .condition_expression("#shard = :shard AND #number = :number AND #position = :position")
        // Two of them are reserved words of DynamoDB.
        .expression_attribute_names("#shard", "shard")
        .expression_attribute_names("#number", "sequence_number")
        .expression_attribute_names("#position", "position")
        .expression_attribute_values(":shard", text(&from.shard))
        .expression_attribute_values(":number", text(&from.sequence_number))
        .expression_attribute_values(":position", number(from.position))
        .expression_attribute_values(":to_shard", text(&to.shard))
        .expression_attribute_values(":to_number", text(&to.sequence_number))
        .expression_attribute_values(":to_position", number(to.position))
        .send()
        .await;
    match updated {
        Ok(_) => TakenOver::Done,
        Err(error) if error.code() == Some(CONDITION_FAILED) => TakenOver::Changed,
        Err(error) => TakenOver::Failed(DisplayErrorContext(&error).to_string()),
    }
}
