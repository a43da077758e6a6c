//! An item that is to name another origin.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{DisplayErrorContext, ProvideErrorMetadata};
use aws_sdk_dynamodb::types::AttributeValue;
use shared::format::item::{ORIGIN, short};
use shared::format::key;

use super::CONDITION_FAILED;
use crate::items::{TakeOver, TakenOver};

/// Sets the origin, if it is what it was. An item that is gone fails the condition as well. The SDK's own second attempt at a
/// call that took effect fails it, too, so the caller reads the item again.
pub(super) async fn take_over(client: &Client, table: &str, item: &TakeOver) -> TakenOver {
    let TakeOver { tenant, id, from, to } = item;
    let updated = client
        .update_item()
        .table_name(table)
        .key(key::PARTITION_ATTRIBUTE, AttributeValue::S(key::item_partition(tenant)))
        .key(key::SORT_ATTRIBUTE, AttributeValue::S(key::item_sort(id)))
        .update_expression("SET #origin = :to")
        .condition_expression("#origin = :from")
        .expression_attribute_names("#origin", ORIGIN)
        .expression_attribute_values(":from", AttributeValue::S(short::origin(from)))
        .expression_attribute_values(":to", AttributeValue::S(short::origin(to)))
        .send()
        .await;
    match updated {
        Ok(_) => TakenOver::Done,
        Err(error) if error.code() == Some(CONDITION_FAILED) => TakenOver::Changed,
        Err(error) => TakenOver::Failed(DisplayErrorContext(&error).to_string()),
    }
}
