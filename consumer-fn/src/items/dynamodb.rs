//! Items by the AWS SDK: 25 PartiQL `INSERT`s a call, several calls at a time.
//!
//! An `INSERT` is a conditional put: it fails with `DuplicateItem` where the key exists. In batches it takes a
//! twenty-fifth of the calls that `PutItem` takes, at the same price. AWS gives the item that was in the way along with the
//! error; what does not (emulators) is read after.
//!
//! Taking an item over is a conditional `UpdateItem` of its own (`take_over.rs`): redriven events are few.

use std::collections::HashMap;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::Builder;
use aws_sdk_dynamodb::error::{BuildError, DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::batch_execute_statement::BatchExecuteStatementError;
use aws_sdk_dynamodb::types::{
    AttributeValue, BatchStatementError, BatchStatementErrorCodeEnum as Code, BatchStatementRequest,
    BatchStatementResponse, ReturnValuesOnConditionCheckFailure,
};
use futures::{StreamExt, stream};
use shared::limits;

use self::existing::Reader;
use self::validation::is_of_the_item;
use super::{Attribute, Insert, Item, ItemStore, TakeOver, TakenOver};

mod existing;
mod take_over;
#[cfg(test)]
#[cfg(feature = "aws-test")]
mod tests;
mod validation;

/// Calls at the same time. With 25 items each and about 15 ms a call that is more than a shard can bring.
const CONCURRENCY: usize = 16;
/// The longest that one attempt at a call may take.
const ATTEMPT: Duration = Duration::from_secs(5);

type Attributes = HashMap<String, AttributeValue>;

/// A table.
#[derive(Clone, Debug)]
pub struct DynamoItems {
    client: Client,
    table: String,
}

/// What a statement came to, before anything was read after.
enum Outcome {
    Settled(Insert),
    /// There is an item, but DynamoDB did not say which.
    Unread,
}

impl DynamoItems {
    /// The table of that name.
    pub fn new(sdk: &SdkConfig, table: String) -> Self {
        let timeouts = TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT).build();
        Self { client: Client::from_conf(Builder::from(sdk).timeout_config(timeouts).build()), table }
    }

    /// Inserts at most 25 items.
    async fn insert_call(&self, items: &[Item]) -> Vec<Insert> {
        let outcomes = match self.execute(items).await {
            Ok(outcomes) => outcomes,
            Err(CallFailure::Invalid(_)) if items.len() > 1 => return self.insert_singly(items).await,
            Err(CallFailure::Invalid(why)) => return vec![Insert::Refused(why)],
            Err(CallFailure::Transient(why)) => return vec![Insert::Failed(why); items.len()],
        };
        let unread = items.iter().zip(&outcomes).filter(|(_, outcome)| matches!(outcome, Outcome::Unread));
        let unread: Vec<&Item> = unread.map(|(item, _)| item).collect();
        let mut read = Reader { client: &self.client, table: &self.table }.read(&unread).await.into_iter();
        let settle = |outcome| match outcome {
            Outcome::Settled(insert) => insert,
            Outcome::Unread => {
                read.next().unwrap_or_else(|| Insert::Failed("the item was not read".to_owned()))
            }
        };
        outcomes.into_iter().map(settle).collect()
    }

    /// A call that is refused as a whole does not say which item is at fault.
    async fn insert_singly(&self, items: &[Item]) -> Vec<Insert> {
        let mut inserts = Vec::new();
        for item in items {
            inserts.extend(Box::pin(self.insert_call(std::slice::from_ref(item))).await);
        }
        inserts
    }

    async fn execute(&self, items: &[Item]) -> Result<Vec<Outcome>, CallFailure> {
        let statements = items.iter().map(|item| self.statement(item)).collect::<Result<_, _>>();
        let statements = statements.map_err(|error| CallFailure::Invalid(error.to_string()))?;
        let call = self.client.batch_execute_statement().set_statements(Some(statements));
        let output = call.send().await.map_err(CallFailure::from)?;
        let mut responses = output.responses.unwrap_or_default().into_iter();
        let outcome = |_| {
            responses.next().map_or_else(
                || Outcome::Settled(Insert::Failed("DynamoDB gave fewer answers than statements".to_owned())),
                outcome,
            )
        };
        Ok(items.iter().map(outcome).collect())
    }

    fn statement(&self, item: &Item) -> Result<BatchStatementRequest, BuildError> {
        let (names, values): (Vec<_>, Vec<_>) = item.attributes().into_iter().unzip();
        let members: Vec<_> = names.iter().map(|name| format!("'{name}': ?")).collect();
        BatchStatementRequest::builder()
            .statement(format!("INSERT INTO \"{}\" VALUE {{{}}}", self.table, members.join(", ")))
            .set_parameters(Some(values.into_iter().map(value).collect()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .build()
    }
}

impl ItemStore for DynamoItems {
    async fn insert(&self, items: &[Item]) -> Vec<Insert> {
        let calls: Vec<_> =
            items.chunks(limits::BATCH_STATEMENTS).map(|call| self.insert_call(call)).collect();
        let inserts: Vec<_> = stream::iter(calls).buffered(CONCURRENCY).collect().await;
        inserts.concat()
    }

    async fn take_over(&self, items: &[TakeOver]) -> Vec<TakenOver> {
        let calls: Vec<_> =
            items.iter().map(|item| take_over::take_over(&self.client, &self.table, item)).collect();
        stream::iter(calls).buffered(CONCURRENCY).collect().await
    }
}

pub(crate) fn value(attribute: Attribute) -> AttributeValue {
    match attribute {
        Attribute::Text(text) => AttributeValue::S(text),
        Attribute::Number(number) => AttributeValue::N(number.to_string()),
        Attribute::Flag(flag) => AttributeValue::Bool(flag),
    }
}

/// Why a call as a whole did nothing, or its outcome is unknown.
enum CallFailure {
    /// With one of its items it can never succeed.
    Invalid(String),
    Transient(String),
}

impl From<SdkError<BatchExecuteStatementError>> for CallFailure {
    fn from(error: SdkError<BatchExecuteStatementError>) -> Self {
        let why = DisplayErrorContext(&error).to_string();
        let meta = error.as_service_error().map(ProvideErrorMetadata::meta);
        let is_invalid = meta.is_some_and(|meta| {
            meta.code() == Some("ValidationException") && is_of_the_item(meta.message().unwrap_or_default())
        });
        if is_invalid { Self::Invalid(why) } else { Self::Transient(why) }
    }
}

fn outcome(response: BatchStatementResponse) -> Outcome {
    let Some(error) = response.error else { return Outcome::Settled(Insert::Inserted) };
    let why = format!(
        "{}: {}",
        error.code().map_or("no code", Code::as_str),
        error.message().unwrap_or("no message")
    );
    match error {
        BatchStatementError {
            code: Some(Code::DuplicateItem | Code::ConditionalCheckFailed), item, ..
        } => match item.as_ref().and_then(existing::existing) {
            Some(existing) => Outcome::Settled(Insert::Exists(existing)),
            None => Outcome::Unread,
        },
        BatchStatementError { code: Some(Code::ItemCollectionSizeLimitExceeded), .. } => {
            Outcome::Settled(Insert::Refused(why))
        }
        BatchStatementError { code: Some(Code::ValidationError), .. } if is_of_the_item(&why) => {
            Outcome::Settled(Insert::Refused(why))
        }
        _ => Outcome::Settled(Insert::Failed(why)),
    }
}
