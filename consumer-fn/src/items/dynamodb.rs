//! Items by the AWS SDK: 25 PartiQL `INSERT`s a call, several calls at a time.
//!
//! An `INSERT` is a conditional put: it fails with `DuplicateItem` where the key exists. In batches it takes a
//! twenty-fifth of the calls that `PutItem` takes, at the same price. AWS returns the existing item with the
//! error. Emulators may not; then it is read afterwards.
//!
//! Taking an item over is a conditional `UpdateItem` of its own (`take_over.rs`): redriven events are few.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::Builder;
use aws_sdk_dynamodb::error::{BuildError, DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::batch_execute_statement::BatchExecuteStatementError;
use aws_sdk_dynamodb::types::{
    AttributeValue, BatchStatementErrorCodeEnum as Code, BatchStatementRequest, BatchStatementResponse,
    ReturnValuesOnConditionCheckFailure,
};
use futures::{StreamExt, stream};
use shared::limits;
use shared::sdk::{self, Preflight};

use self::read::{Attributes, batch_get, existing, item_key, text};
use self::validation::is_of_the_item;
use super::{Attribute, DYNAMODB_CALLS, Insert, Item, ItemStore, TakeOver, TakenOver};

pub mod read;
mod take_over;
#[cfg(test)]
#[cfg(feature = "aws-test")]
mod tests;
mod validation;

/// Items that are taken over at the same time.
const TAKE_OVERS: usize = 16;
/// The longest that one attempt at a call may take.
const ATTEMPT: Duration = Duration::from_secs(5);

/// The error code of a write whose condition does not hold.
pub(crate) const CONDITION_FAILED: &str = "ConditionalCheckFailedException";

#[derive(Clone, Debug)]
pub struct DynamoItems {
    client: Client,
    table: String,
}

impl DynamoItems {
    pub fn new(sdk: &SdkConfig, table: String) -> Self {
        Self { client: client(sdk, ATTEMPT), table }
    }

    /// Opens a connection, for the ledger too.
    pub async fn open(&self) {
        sdk::open("DynamoDB", self.client.batch_get_item().customize().interceptor(Preflight).send()).await;
    }

    async fn insert_call(&self, items: &[Arc<Item>]) -> Vec<Insert> {
        let outcomes = match self.execute(items).await {
            Ok(outcomes) => outcomes,
            Err(Insert::Refused(_)) if items.len() > 1 => return self.insert_singly(items).await,
            Err(of_all) => return vec![of_all; items.len()],
        };
        let unread = items.iter().zip(&outcomes).filter(|(_, outcome)| outcome.is_none());
        let unread: Vec<&Item> = unread.map(|(item, _)| &**item).collect();
        let mut read = self.read(&unread).await.into_iter();
        let unanswered = || Insert::Failed("the item was not read".to_owned());
        let insert = |outcome: Option<Insert>| outcome.or_else(|| read.next()).unwrap_or_else(unanswered);
        outcomes.into_iter().map(insert).collect()
    }

    /// Reads items that exist. What could not be read is a failure: the insert is tried again, and says again that the item
    /// exists. So is an item that was deleted in between (its time to live ended): the next attempt inserts it.
    async fn read(&self, items: &[&Item]) -> Vec<Insert> {
        let key = |item: &&Item| item_key(&item.facts.tenant, &item.facts.id);
        let read = batch_get(&self.client, &self.table, items.iter().map(key)).await;
        let (found, why) = match read {
            Ok(found) => (found, "the item existed and is gone".to_owned()),
            Err(why) => (Vec::new(), why),
        };
        let named = |item: &Attributes| {
            Some(((text(item, "pk")?.to_owned(), text(item, "sk")?.to_owned()), existing(item)?))
        };
        let mut found: HashMap<_, _> = found.iter().filter_map(named).collect();
        let insert = |item: &&Item| match found.remove(&key(item)) {
            Some(existing) => Insert::Exists(existing),
            None => Insert::Failed(why.clone()),
        };
        items.iter().map(insert).collect()
    }

    /// A call that is refused as a whole does not say which item is at fault.
    async fn insert_singly(&self, items: &[Arc<Item>]) -> Vec<Insert> {
        let mut inserts = Vec::new();
        for item in items {
            inserts.extend(Box::pin(self.insert_call(std::slice::from_ref(item))).await);
        }
        inserts
    }

    /// The outcome of each statement; `None` if an item exists and the answer does not contain it. An error is the outcome of
    /// all: `Refused` if with one of the items the call can never succeed.
    async fn execute(&self, items: &[Arc<Item>]) -> Result<Vec<Option<Insert>>, Insert> {
        let statements = items.iter().map(|item| self.statement(item)).collect::<Result<_, _>>();
        let statements = statements.map_err(|error| Insert::Refused(error.to_string()))?;
        let call = self.client.batch_execute_statement().set_statements(Some(statements));
        let output = call.send().await.map_err(|error| call_failure(&error))?;
        let mut responses = output.responses.unwrap_or_default().into_iter();
        let missing = || Some(Insert::Failed("DynamoDB gave fewer answers than statements".to_owned()));
        Ok(items.iter().map(|_| responses.next().map_or_else(missing, outcome)).collect())
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
    const CALL_ITEMS: usize = limits::BATCH_STATEMENTS;
    const CALLS: usize = DYNAMODB_CALLS;

    async fn insert(&self, items: &[Arc<Item>]) -> Vec<Insert> {
        self.insert_call(items).await
    }

    async fn take_over(&self, items: &[TakeOver]) -> Vec<TakenOver> {
        let calls: Vec<_> =
            items.iter().map(|item| take_over::take_over(&self.client, &self.table, item)).collect();
        stream::iter(calls).buffered(TAKE_OVERS).collect().await
    }
}

/// A client with a time limit for one attempt at a call.
pub(crate) fn client(sdk: &SdkConfig, attempt: Duration) -> Client {
    let timeouts = TimeoutConfig::builder().operation_attempt_timeout(attempt).build();
    Client::from_conf(Builder::from(sdk).timeout_config(timeouts).build())
}

/// An attribute, of an item or a manifest row, as the SDK writes it.
pub(crate) fn value(attribute: Attribute) -> AttributeValue {
    match attribute {
        Attribute::Text(text) => AttributeValue::S(text),
        Attribute::Number(number) => AttributeValue::N(number.to_string()),
        Attribute::Flag(flag) => AttributeValue::Bool(flag),
    }
}

fn call_failure(error: &SdkError<BatchExecuteStatementError>) -> Insert {
    let why = DisplayErrorContext(error).to_string();
    let is_invalid =
        error.code() == Some("ValidationException") && is_of_the_item(error.message().unwrap_or_default());
    if is_invalid { Insert::Refused(why) } else { Insert::Failed(why) }
}

fn outcome(response: BatchStatementResponse) -> Option<Insert> {
    let Some(error) = response.error else { return Some(Insert::Inserted) };
    let why = format!(
        "{}: {}",
        error.code().map_or("no code", Code::as_str),
        error.message().unwrap_or("no message")
    );
    match error.code {
        Some(Code::DuplicateItem | Code::ConditionalCheckFailed) => {
            error.item.as_ref().and_then(existing).map(Insert::Exists)
        }
        Some(Code::ItemCollectionSizeLimitExceeded) => Some(Insert::Refused(why)),
        Some(Code::ValidationError) if is_of_the_item(&why) => Some(Insert::Refused(why)),
        _ => Some(Insert::Failed(why)),
    }
}
