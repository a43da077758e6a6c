//! Items by the AWS SDK. An update costs the write units of the whole item, so a delivered event has one.

use std::collections::HashMap;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::Builder;
use aws_sdk_dynamodb::error::{DisplayErrorContext, SdkError};
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure};
use shared::format::item::{DELIVERED, DISPATCH_ATTEMPTS, DISPATCH_REASON, DISPATCH_STATUS, FAILED};
use shared::format::key;
use shared::id::{EventId, TenantId};
use shared::sdk::{self, Preflight};

use super::{DispatchItems, ItemFailure, Noted};
use crate::standing::{Standing, Status};

/// Time limit for one attempt at a call.
const ATTEMPT: Duration = Duration::from_secs(2);

/// An item exists, and its event is not delivered.
const OPEN: &str =
    "attribute_exists(pk) AND (attribute_not_exists(dispatch_status) OR dispatch_status <> :delivered)";

#[derive(Clone, Debug)]
pub struct DynamoDispatchItems {
    client: Client,
    table: String,
}

impl DynamoDispatchItems {
    pub fn new(sdk: &SdkConfig, table: String) -> Self {
        let timeouts = TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT).build();
        Self { client: Client::from_conf(Builder::from(sdk).timeout_config(timeouts).build()), table }
    }

    /// Opens a connection, for the counter of slots too.
    pub async fn open(&self) {
        let call = self.client.update_item().table_name(&self.table).customize();
        sdk::open("DynamoDB", call.interceptor(Preflight).send()).await;
    }

    fn update(&self, tenant: &TenantId, id: &EventId, update: &str) -> UpdateItemFluentBuilder {
        let [pk, sk] = keys(tenant, id);
        let call = self.client.update_item().table_name(&self.table).key(pk.0, pk.1).key(sk.0, sk.1);
        call.update_expression(update)
            .condition_expression(OPEN)
            .expression_attribute_values(":delivered", AttributeValue::S(DELIVERED.to_owned()))
            .return_values(ReturnValue::UpdatedNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
    }
}

impl DispatchItems for DynamoDispatchItems {
    async fn read(&self, tenant: &TenantId, id: &EventId) -> Result<Option<Standing>, ItemFailure> {
        let [pk, sk] = keys(tenant, id);
        let get = self.client.get_item().table_name(&self.table).key(pk.0, pk.1).key(sk.0, sk.1);
        let get = get.consistent_read(true).projection_expression("pk, dispatch_status, dispatch_attempts");
        let found = get.send().await.map_err(|error| ItemFailure(DisplayErrorContext(error).to_string()))?;
        Ok(found.item.as_ref().map(standing))
    }

    async fn delivered(&self, tenant: &TenantId, id: &EventId) -> Result<Noted, ItemFailure> {
        let update = "SET dispatch_status = :delivered ADD dispatch_attempts :one REMOVE dispatch_reason";
        let update = self.update(tenant, id, update);
        noted(update.expression_attribute_values(":one", one()).send().await)
    }

    async fn attempt_failed(
        &self,
        tenant: &TenantId,
        id: &EventId,
        reason: &str,
    ) -> Result<Noted, ItemFailure> {
        let update = "SET dispatch_reason = :reason ADD dispatch_attempts :one REMOVE dispatch_status";
        let update = self.update(tenant, id, update).expression_attribute_values(":one", one());
        noted(
            update.expression_attribute_values(":reason", AttributeValue::S(reason.to_owned())).send().await,
        )
    }

    async fn failed(
        &self,
        tenant: &TenantId,
        id: &EventId,
        reason: &str,
        attempts: u32,
    ) -> Result<Noted, ItemFailure> {
        let update =
            "SET dispatch_status = :failed, dispatch_reason = :reason, dispatch_attempts = :attempts";
        let update = self.update(tenant, id, update);
        let update = update.expression_attribute_values(":failed", AttributeValue::S(FAILED.to_owned()));
        let update = update.expression_attribute_values(":attempts", AttributeValue::N(attempts.to_string()));
        noted(
            update.expression_attribute_values(":reason", AttributeValue::S(reason.to_owned())).send().await,
        )
    }
}

fn keys(tenant: &TenantId, id: &EventId) -> [(&'static str, AttributeValue); 2] {
    [
        (key::PARTITION_ATTRIBUTE, AttributeValue::S(key::item_partition(tenant))),
        (key::SORT_ATTRIBUTE, AttributeValue::S(key::item_sort(id))),
    ]
}

fn one() -> AttributeValue {
    AttributeValue::N("1".to_owned())
}

fn standing(item: &HashMap<String, AttributeValue>) -> Standing {
    let status = item.get(DISPATCH_STATUS).and_then(|status| status.as_s().ok());
    Standing { status: status.and_then(|status| Status::parse(status)), attempts: attempts(item) }
}

fn attempts(item: &HashMap<String, AttributeValue>) -> u32 {
    item.get(DISPATCH_ATTEMPTS).and_then(|number| number.as_n().ok()?.parse().ok()).unwrap_or(0)
}

/// The SDK's own second attempt at a call that took effect may find the event delivered: that is what it noted.
fn noted(
    updated: Result<aws_sdk_dynamodb::operation::update_item::UpdateItemOutput, SdkError<UpdateItemError>>,
) -> Result<Noted, ItemFailure> {
    let error = match updated {
        Ok(output) => return Ok(Noted::Attempts(output.attributes.as_ref().map_or(0, attempts))),
        Err(error) => error,
    };
    match error.as_service_error() {
        Some(UpdateItemError::ConditionalCheckFailedException(failed)) => match &failed.item {
            Some(item) if !item.is_empty() => Ok(Noted::Delivered),
            _ => Ok(Noted::Gone),
        },
        _ => Err(ItemFailure(DisplayErrorContext(error).to_string())),
    }
}

/// The names of the attributes are spelt out in expressions.
const _: () = {
    assert!(DISPATCH_STATUS.len() == "dispatch_status".len());
    assert!(DISPATCH_ATTEMPTS.len() == "dispatch_attempts".len());
    assert!(DISPATCH_REASON.len() == "dispatch_reason".len());
};

#[cfg(test)]
#[cfg(feature = "aws-test")]
mod tests {
    use serde_json::{Value, json};
    use shared::replay::{StaticReplayClient, replay};

    use super::*;

    const DELIVERED_ITEM: &str = r#"{"__type":"com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException","message":"The conditional request failed","Item":{"pk":{"S":"tenants/acme"},"dispatch_status":{"S":"delivered"}}}"#;
    const NO_ITEM: &str = r#"{"__type":"com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException","message":"The conditional request failed"}"#;

    fn items(answers: &[(u16, &'static str)]) -> (DynamoDispatchItems, StaticReplayClient) {
        let (sdk, requests) = replay(answers);
        (DynamoDispatchItems::new(&sdk, "items".to_owned()), requests)
    }

    fn names() -> (TenantId, EventId) {
        (TenantId::parse("acme").unwrap(), EventId::parse("a/b").unwrap())
    }

    fn body(requests: &StaticReplayClient) -> Value {
        let request = requests.actual_requests().last().unwrap();
        serde_json::from_slice(request.body().bytes().unwrap()).unwrap()
    }

    /// Update and values of the last request. Its condition is that the event is not delivered.
    fn asked(requests: &StaticReplayClient) -> [Value; 2] {
        let body = body(requests);
        assert_eq!(body["ConditionExpression"], OPEN);
        ["UpdateExpression", "ExpressionAttributeValues"].map(|name| body[name].clone())
    }

    #[tokio::test]
    async fn a_read_is_consistent_and_takes_the_two_attributes_only() {
        let answers = [
            (
                200,
                r#"{"Item":{"pk":{"S":"tenants/acme"},"dispatch_status":{"S":"failed"},"dispatch_attempts":{"N":"3"}}}"#,
            ),
            (200, r#"{"Item":{"pk":{"S":"tenants/acme"}}}"#),
            (200, "{}"),
        ];
        let (items, requests) = items(&answers);
        let (tenant, id) = names();
        let failed = Standing { status: Some(Status::Failed), attempts: 3 };
        for expected in [Some(failed), Some(Standing::default()), None] {
            assert_eq!(items.read(&tenant, &id).await.unwrap(), expected);
        }
        assert_eq!(
            body(&requests),
            json!({"TableName": "items", "Key": {"pk": {"S": "tenants/acme"}, "sk": {"S": "processed_logs/a%2Fb"}}, "ConsistentRead": true, "ProjectionExpression": "pk, dispatch_status, dispatch_attempts"})
        );
    }

    #[tokio::test]
    async fn a_note_is_written_unless_the_event_is_delivered_or_gone() {
        let answers = [
            (200, r#"{"Attributes":{"dispatch_status":{"S":"delivered"},"dispatch_attempts":{"N":"2"}}}"#),
            (400, DELIVERED_ITEM),
            (400, NO_ITEM),
        ];
        let (items, requests) = items(&answers);
        let (tenant, id) = names();
        assert_eq!(items.delivered(&tenant, &id).await.unwrap(), Noted::Attempts(2));
        assert_eq!(
            asked(&requests),
            [
                json!("SET dispatch_status = :delivered ADD dispatch_attempts :one REMOVE dispatch_reason"),
                json!({":one": {"N": "1"}, ":delivered": {"S": "delivered"}})
            ]
        );
        assert_eq!(items.attempt_failed(&tenant, &id, "503: busy").await.unwrap(), Noted::Delivered);
        assert_eq!(
            asked(&requests),
            [
                json!("SET dispatch_reason = :reason ADD dispatch_attempts :one REMOVE dispatch_status"),
                json!({":one": {"N": "1"}, ":delivered": {"S": "delivered"}, ":reason": {"S": "503: busy"}})
            ]
        );
        assert_eq!(items.failed(&tenant, &id, "400: no", 2).await.unwrap(), Noted::Gone);
        assert_eq!(
            asked(&requests),
            [
                json!(
                    "SET dispatch_status = :failed, dispatch_reason = :reason, dispatch_attempts = :attempts"
                ),
                json!({":attempts": {"N": "2"}, ":delivered": {"S": "delivered"}, ":failed": {"S": "failed"}, ":reason": {"S": "400: no"}})
            ]
        );
    }

    #[tokio::test]
    async fn a_table_that_is_missing_is_a_failure() {
        let (items, _) = items(&[(
            400,
            r#"{"__type":"com.amazonaws.dynamodb.v20120810#ResourceNotFoundException","message":"no table"}"#,
        )]);
        let (tenant, id) = names();
        assert!(items.delivered(&tenant, &id).await.unwrap_err().to_string().contains("no table"));
    }
}
