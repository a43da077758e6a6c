//! The environment variables that the deployment sets for the function, and the permissions of its role.

use shared::environment::{self, Unset, named};
use shared::format::key;
use shared::permission::{On, Permission};

/// The variables that name resources.
pub const ENVIRONMENT: &[&str] = &[
    environment::ITEMS_TABLE,
    environment::RATE_TABLE,
    environment::BUCKET,
    environment::DISPATCH_QUEUE,
    environment::DISPATCH_DEAD_LETTERS,
];

/// The permissions of the function's role. Lambda reads the queue under this role.
pub const PERMISSIONS: &[Permission] = &[
    Permission::new("dynamodb:GetItem", On::Items),
    Permission::new("dynamodb:UpdateItem", On::Items),
    Permission::new("dynamodb:UpdateItem", On::Rate),
    Permission::new("s3:GetObject", On::Objects(key::CLAIMS)),
    Permission::new("s3:GetObject", On::Objects("texts/")),
    // Without it S3 answers 403 instead of 404 for an object that does not exist.
    Permission::new("s3:ListBucket", On::Bucket),
    Permission::new("sqs:ReceiveMessage", On::DispatchQueue),
    Permission::new("sqs:ChangeMessageVisibility", On::DispatchQueue),
    Permission::new("sqs:GetQueueUrl", On::DispatchQueue),
    Permission::new("sqs:DeleteMessage", On::DispatchQueue),
    Permission::new("sqs:GetQueueAttributes", On::DispatchQueue),
    Permission::new("sqs:SendMessage", On::DispatchDeadLetters),
    Permission::new("logs:CreateLogStream", On::Logs),
    Permission::new("logs:PutLogEvents", On::Logs),
    Permission::new("xray:PutTelemetryRecords", On::Everything),
    Permission::new("xray:PutTraceSegments", On::Everything),
];

/// What the role is allowed only where there is a secret.
pub const SECRET_PERMISSIONS: &[Permission] =
    &[Permission::new("secretsmanager:GetSecretValue", On::TargetSecret)];

/// The names of the function's resources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    pub items_table: String,
    /// The table with the slot counter.
    pub rate_table: String,
    pub bucket: String,
    /// The URL.
    pub queue: String,
    /// The URL.
    pub dead_letters: String,
}

impl Environment {
    /// Reads the variables by `variable`, such as `|name| std::env::var(name).ok()`.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Unset> {
        let named = |name| named(name, ENVIRONMENT, &variable);
        let &[items, rate, bucket, queue, dead] = ENVIRONMENT else {
            unreachable!("five, as the constant says")
        };
        Ok(Self {
            items_table: named(items)?,
            rate_table: named(rate)?,
            bucket: named(bucket)?,
            queue: named(queue)?,
            dead_letters: named(dead)?,
        })
    }
}
