//! Reads what an account has left in a region, for `doctor` before a first deployment. Who deploys runs it: there is no role of ours yet.

use anyhow::Context;
use aws_config::SdkConfig;
use operate::doctor::account::Account;

use crate::error::described;
use crate::stack;

/// What `cdk bootstrap` makes.
const BOOTSTRAP: &str = "CDKToolkit";

pub async fn read(sdk: &SdkConfig) -> anyhow::Result<Account> {
    let settings = aws_sdk_lambda::Client::new(sdk).get_account_settings().send().await;
    let settings = settings.map_err(described).context("the account's settings of Lambda cannot be read")?;
    let unreserved = settings.account_limit.and_then(|limit| limit.unreserved_concurrent_executions);
    let limits = aws_sdk_kinesis::Client::new(sdk).describe_limits().send().await;
    let limits = limits.map_err(described).context("the account's limits of Kinesis cannot be read")?;
    let left = |limit: i32, used: i32| u64::try_from(limit - used).unwrap_or(0);
    Ok(Account {
        unreserved: unreserved.and_then(|count| u64::try_from(count).ok()).unwrap_or(0),
        shards: left(limits.shard_limit, limits.open_shard_count),
        on_demand_streams: left(limits.on_demand_stream_count_limit, limits.on_demand_stream_count),
        is_bootstrapped: stack::described(sdk, BOOTSTRAP).await?.is_some(),
    })
}

#[cfg(test)]
mod tests {
    use shared::replay::replay;

    use super::*;

    const SETTINGS: &str = r#"{"AccountLimit":{"ConcurrentExecutions":1000,"UnreservedConcurrentExecutions":900,"TotalCodeSize":1,"CodeSizeUnzipped":1,"CodeSizeZipped":1},"AccountUsage":{"FunctionCount":3,"TotalCodeSize":1}}"#;
    const LIMITS: &str =
        r#"{"ShardLimit":500,"OpenShardCount":498,"OnDemandStreamCount":50,"OnDemandStreamCountLimit":50}"#;
    const BOOTSTRAPPED: &str = "<DescribeStacksResult><Stacks><member><StackName>CDKToolkit</StackName><StackStatus>CREATE_COMPLETE</StackStatus></member></Stacks></DescribeStacksResult>";
    const MISSING: &str = "<ErrorResponse><Error><Code>ValidationError</Code><Message>Stack with id CDKToolkit does not exist</Message></Error></ErrorResponse>";

    #[tokio::test]
    async fn what_is_left_is_read_from_three_services() {
        let (sdk, requests) = replay(&[(200, SETTINGS), (200, LIMITS), (200, BOOTSTRAPPED)]);
        let expected = Account { unreserved: 900, shards: 2, on_demand_streams: 0, is_bootstrapped: true };
        assert_eq!(read(&sdk).await.unwrap(), expected);
        let asked: Vec<_> = requests.actual_requests().map(|request| request.uri().to_owned()).collect();
        assert!(asked[0].ends_with("/2016-08-19/account-settings"), "{asked:?}");

        let (sdk, _) = replay(&[(200, SETTINGS), (200, LIMITS), (400, MISSING)]);
        assert!(!read(&sdk).await.unwrap().is_bootstrapped);
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_an_error_that_says_what() {
        let denied = r#"{"__type":"AccessDeniedException","Message":"no kinesis:DescribeLimits"}"#;
        let (sdk, _) = replay(&[(200, SETTINGS), (400, denied)]);
        let error = format!("{:#}", read(&sdk).await.unwrap_err());
        assert!(
            error.contains("limits of Kinesis cannot be read") && error.contains("no kinesis:DescribeLimits"),
            "{error}"
        );
    }
}
