//! Before a first deployment: whether the account has room for what a template makes. `CloudFormation` finds that out only in the middle of a
//! deployment, and then takes everything back.

use anyhow::{Context, ensure};
use serde_json::Value;

use super::report::DoctorReport;

/// Lambda leaves so many to functions that reserve nothing.
/// <https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html>
const LEFT_TO_OTHERS: u64 = 100;

/// What a template takes of an account's quotas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Concurrent invocations that its functions reserve.
    pub reserved: u64,
    /// Of provisioned streams.
    pub shards: u64,
    pub on_demand_streams: u64,
}

/// What an account has in a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// Concurrent invocations that no function reserves.
    pub unreserved: u64,
    /// Shards that can still be made.
    pub shards: u64,
    pub on_demand_streams: u64,
    /// Whether `cdk bootstrap` was run.
    pub is_bootstrapped: bool,
}

impl Needs {
    /// Reads a template of `CloudFormation` in JSON.
    pub fn of_template(json: &str) -> anyhow::Result<Self> {
        let template: Value = serde_json::from_str(json).context("it is not JSON")?;
        let resources = template["Resources"].as_object().context("it has no resources")?;
        let mut needs = Self::default();
        let mut functions = 0;
        for resource in resources.values() {
            let properties = &resource["Properties"];
            match resource["Type"].as_str() {
                Some("AWS::Lambda::Function") => {
                    functions += 1;
                    needs.reserved += properties["ReservedConcurrentExecutions"].as_u64().unwrap_or(0);
                }
                Some("AWS::Kinesis::Stream")
                    if properties["StreamModeDetails"]["StreamMode"] == "ON_DEMAND" =>
                {
                    needs.on_demand_streams += 1;
                }
                Some("AWS::Kinesis::Stream") => {
                    needs.shards += properties["ShardCount"].as_u64().unwrap_or(1);
                }
                _ => {}
            }
        }
        ensure!(
            functions > 0,
            "it makes no function: name a stage's template, such as cdk.out/Tidegate-prod.template.json"
        );
        Ok(needs)
    }
}

/// `template` names it in the report.
pub fn examine_account(template: &str, needs: Needs, account: Account) -> DoctorReport {
    let mut report = DoctorReport::new(template);
    let mut about = report.about("account");
    about.holds(
        "bootstrap",
        "missing",
        account.is_bootstrapped,
        "there: the stack CDKToolkit in this region",
        "npx cdk bootstrap -c assets=placeholder",
    );
    let reserved = needs.reserved;
    let least = if reserved > 0 { reserved + LEFT_TO_OTHERS } else { 0 };
    about.at_least(
        "unreserved concurrency",
        account.unreserved,
        least,
        &format!(": {reserved} that ingest reserves, and {LEFT_TO_OTHERS} that Lambda leaves to others"),
        "ask for more under Service Quotas, AWS Lambda, Concurrent executions; or take a smaller reservedConcurrency",
    );
    about.at_least(
        "shards that can still be made",
        account.shards,
        needs.shards,
        "",
        "ask for more under Service Quotas, Amazon Kinesis Data Streams, Shards per Region; or take fewer: the setting stream",
    );
    about.at_least(
        "on-demand streams that can still be made",
        account.on_demand_streams,
        needs.on_demand_streams,
        "",
        "ask AWS's support for more; or take a number of shards: the setting stream",
    );
    report
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ROOM: Account =
        Account { unreserved: 1_000, shards: 200, on_demand_streams: 50, is_bootstrapped: true };

    fn template(reserved: &Value, stream: &Value) -> String {
        json!({"Resources": {
            "Ingest": {"Type": "AWS::Lambda::Function", "Properties": reserved},
            "Consumer": {"Type": "AWS::Lambda::Function", "Properties": {"MemorySize": 1769}},
            "Stream": {"Type": "AWS::Kinesis::Stream", "Properties": stream},
        }})
        .to_string()
    }

    #[test]
    fn what_a_template_takes_is_read_from_it() {
        let prod = template(&json!({"ReservedConcurrentExecutions": 100}), &json!({"ShardCount": 2}));
        let expected = Needs { reserved: 100, shards: 2, on_demand_streams: 0 };
        assert_eq!(Needs::of_template(&prod).unwrap(), expected);
        let on_demand = template(&json!({}), &json!({"StreamModeDetails": {"StreamMode": "ON_DEMAND"}}));
        let expected = Needs { reserved: 0, shards: 0, on_demand_streams: 1 };
        assert_eq!(Needs::of_template(&on_demand).unwrap(), expected);
        for (text, why) in [
            ("{}", "it has no resources"),
            ("<", "it is not JSON"),
            (r#"{"Resources":{}}"#, "it makes no function"),
        ] {
            assert!(Needs::of_template(text).unwrap_err().to_string().starts_with(why));
        }
    }

    #[test]
    fn an_account_with_room_has_no_finding_and_one_without_has_each() {
        let needs = Needs { reserved: 100, shards: 2, on_demand_streams: 1 };
        let findings = |account| examine_account("T", needs, account).findings().len();
        assert_eq!(findings(ROOM), 0);
        assert_eq!(findings(Account { unreserved: 200, ..ROOM }), 0);
        assert_eq!(findings(Account { unreserved: 199, ..ROOM }), 1);
        let none = Account { unreserved: 10, shards: 1, on_demand_streams: 0, is_bootstrapped: false };
        insta::assert_snapshot!(examine_account("Tidegate-prod.template.json", needs, none), @"
account: bootstrap is missing, should be there: the stack CDKToolkit in this region
    npx cdk bootstrap -c assets=placeholder
account: unreserved concurrency is 10, should be at least 200: 100 that ingest reserves, and 100 that Lambda leaves to others
    ask for more under Service Quotas, AWS Lambda, Concurrent executions; or take a smaller reservedConcurrency
account: shards that can still be made is 1, should be at least 2
    ask for more under Service Quotas, Amazon Kinesis Data Streams, Shards per Region; or take fewer: the setting stream
account: on-demand streams that can still be made is 0, should be at least 1
    ask AWS's support for more; or take a number of shards: the setting stream
Tidegate-prod.template.json: 4 settings checked, 4 findings.
");
    }

    #[test]
    fn without_a_reservation_a_new_account_will_do() {
        let needs = Needs { shards: 1, ..Needs::default() };
        assert!(examine_account("T", needs, Account { unreserved: 10, ..ROOM }).findings().is_empty());
    }
}
