//! The environment variables that the deployment sets for the function, and the permissions of its role.

use shared::environment::{self, Unset, named};
use shared::format::key;
use shared::permission::{On, Permission};

/// The variables that name resources.
pub const ENVIRONMENT: [&str; 3] = [environment::ITEMS_TABLE, environment::LEDGER_TABLE, environment::BUCKET];

/// What the role is allowed only where dispatch is on.
pub const DISPATCH_PERMISSIONS: &[Permission] = &[
    Permission::new("sqs:SendMessage", On::DispatchQueue),
    // Events that are too large for a message.
    Permission::new("s3:PutObject", On::Objects(key::CLAIMS)),
];

/// The permissions of the function's role. Lambda reads the stream and writes failed batches under this role.
pub const PERMISSIONS: &[Permission] = &[
    Permission::new("kinesis:DescribeStream", On::Stream),
    Permission::new("kinesis:DescribeStreamSummary", On::Stream),
    Permission::new("kinesis:GetRecords", On::Stream),
    Permission::new("kinesis:GetShardIterator", On::Stream),
    Permission::new("kinesis:ListShards", On::Stream),
    Permission::new("dynamodb:PartiQLInsert", On::Items),
    Permission::new("dynamodb:BatchGetItem", On::Items),
    Permission::new("dynamodb:UpdateItem", On::Items),
    Permission::new("dynamodb:GetItem", On::Ledger),
    Permission::new("dynamodb:Query", On::Ledger),
    Permission::new("dynamodb:PutItem", On::Ledger),
    Permission::new("s3:PutObject", On::Objects("events/")),
    Permission::new("s3:PutObject", On::Objects("errors/")),
    Permission::new("s3:PutObject", On::Objects("texts/")),
    Permission::new("s3:PutObject", On::Objects("manifests/")),
    Permission::new("s3:PutObject", On::Objects("aws/lambda/")),
    Permission::new("s3:GetObject", On::Objects("events/")),
    Permission::new("s3:GetObject", On::Objects(key::CLAIMS)),
    Permission::new("s3:GetObject", On::Objects("manifests/")),
    // Without it S3 answers 403 instead of 404 for an object that does not exist.
    Permission::new("s3:ListBucket", On::Bucket),
    Permission::new("logs:CreateLogStream", On::Logs),
    Permission::new("logs:PutLogEvents", On::Logs),
    Permission::new("xray:PutTelemetryRecords", On::Everything),
    Permission::new("xray:PutTraceSegments", On::Everything),
];

/// The names of the function's resources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// The DynamoDB table of items.
    pub items_table: String,
    /// The DynamoDB table of ledger and manifest.
    pub ledger_table: String,
    /// The S3 bucket of archive, quarantine and large texts.
    pub bucket: String,
}

impl Environment {
    /// Reads the variables by `variable`, such as `|name| std::env::var(name).ok()`.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Unset> {
        let named = |name| named(name, &ENVIRONMENT, &variable);
        let [items_table, ledger_table, bucket] = ENVIRONMENT;
        Ok(Self {
            items_table: named(items_table)?,
            ledger_table: named(ledger_table)?,
            bucket: named(bucket)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_that_is_missing_or_empty_is_named() {
        let all = Environment::read(|name| Some(name.to_lowercase())).unwrap();
        assert_eq!(all.items_table, "tidegate_items_table");
        let error =
            Environment::read(|name| Some(if name.ends_with("TABLE") { "items" } else { "" }.to_owned()));
        insta::assert_snapshot!(error.unwrap_err(), @"the environment variable `TIDEGATE_BUCKET` is not set (needed: TIDEGATE_ITEMS_TABLE, TIDEGATE_LEDGER_TABLE, TIDEGATE_BUCKET)");
    }
}
