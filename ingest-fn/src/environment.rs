//! The environment variables that the deployment sets for the functions, and the permissions of their roles.

use shared::config::Config;
use shared::environment::{self, Unset, named};
use shared::format::key;
use shared::permission::{On, Permission};

/// The variables that name the ingest function's resources.
pub const ENVIRONMENT: &[&str] = &[environment::STREAM, environment::BUCKET, environment::SPILL_QUEUE];

/// The variable that names the secret with the credentials. The deployment sets it where the configuration asks for
/// credentials (`Auth::needs_credentials`).
pub const CREDENTIALS_ENVIRONMENT: &[&str] = &[environment::CREDENTIALS_SECRET];

/// The variables that name what it reads, where events can be read back.
pub const READS_ENVIRONMENT: &[&str] = &[environment::ITEMS_TABLE, environment::LEDGER_TABLE];

/// The variable for the address that a server listens on, and its default.
pub const LISTEN: (&str, &str) = (environment::LISTEN, "0.0.0.0:8080");

/// The variables that name the drain's resources.
pub const DRAIN_ENVIRONMENT: &[&str] = &[environment::STREAM];

/// The permissions of the ingest function's role.
pub const PERMISSIONS: &[Permission] = &[
    Permission::new("kinesis:PutRecords", On::Stream),
    Permission::new("s3:PutObject", On::Objects(key::CLAIMS)),
    Permission::new("sqs:SendMessage", On::SpillQueue),
    Permission::new("logs:CreateLogStream", On::Logs),
    Permission::new("logs:PutLogEvents", On::Logs),
    Permission::new("xray:PutTelemetryRecords", On::Everything),
    Permission::new("xray:PutTraceSegments", On::Everything),
];

/// What the ingest function's role needs besides, where the configuration asks for credentials.
pub const CREDENTIALS_PERMISSIONS: &[Permission] =
    &[Permission::new("secretsmanager:GetSecretValue", On::Credentials)];

/// What the role may do besides, where events can be read back: it reads all tenants' events.
pub const READS_PERMISSIONS: &[Permission] = &[
    Permission::new("dynamodb:GetItem", On::Items),
    Permission::new("dynamodb:BatchGetItem", On::Items),
    Permission::new("dynamodb:Query", On::ItemsByTime),
    Permission::new("dynamodb:Query", On::Ledger),
    Permission::new("s3:GetObject", On::Objects("events/")),
    Permission::new("s3:GetObject", On::Objects("manifests/")),
    Permission::new("s3:GetObject", On::Objects("texts/")),
    // Without it S3 answers 403 instead of 404 for an object that has expired.
    Permission::new("s3:ListBucket", On::Bucket),
];

/// The permissions of the drain's role. Lambda reads the queue under this role.
pub const DRAIN_PERMISSIONS: &[Permission] = &[
    Permission::new("kinesis:PutRecords", On::Stream),
    Permission::new("sqs:ReceiveMessage", On::SpillQueue),
    Permission::new("sqs:ChangeMessageVisibility", On::SpillQueue),
    Permission::new("sqs:GetQueueUrl", On::SpillQueue),
    Permission::new("sqs:DeleteMessage", On::SpillQueue),
    Permission::new("sqs:GetQueueAttributes", On::SpillQueue),
    Permission::new("logs:CreateLogStream", On::Logs),
    Permission::new("logs:PutLogEvents", On::Logs),
];

/// The variables that the ingest function reads with this configuration.
pub fn variables(config: &Config) -> Vec<&'static str> {
    let credentials = config.auth.needs_credentials().map_or(&[][..], |_| CREDENTIALS_ENVIRONMENT);
    [ENVIRONMENT, credentials].concat()
}

/// The permissions that its role needs with this configuration.
pub fn permissions(config: &Config) -> Vec<Permission> {
    let credentials = config.auth.needs_credentials().map_or(&[][..], |_| CREDENTIALS_PERMISSIONS);
    [PERMISSIONS, credentials].concat()
}

/// The names of the ingest function's resources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// The Kinesis stream that events go to.
    pub stream: String,
    /// The S3 bucket that claim checks go to.
    pub bucket: String,
    /// The URL of the SQS queue for events that Kinesis does not take.
    pub spill_queue: String,
}

/// The names of what ingest reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadsEnvironment {
    /// The DynamoDB table of items.
    pub items_table: String,
    /// The DynamoDB table of ledger and manifest.
    pub ledger_table: String,
}

impl ReadsEnvironment {
    /// Reads the variables by `variable`.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Unset> {
        let named = |name| named(name, READS_ENVIRONMENT, &variable);
        let &[items, ledger] = READS_ENVIRONMENT else { unreachable!("two, as the constant says") };
        Ok(Self { items_table: named(items)?, ledger_table: named(ledger)? })
    }
}

impl Environment {
    /// Reads the variables by `variable`, such as `|name| std::env::var(name).ok()`.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Unset> {
        let named = |name| named(name, ENVIRONMENT, &variable);
        let &[stream, bucket, queue] = ENVIRONMENT else { unreachable!("three, as the constant says") };
        Ok(Self { stream: named(stream)?, bucket: named(bucket)?, spill_queue: named(queue)? })
    }
}

/// The secret with the credentials: its ARN or its name.
pub fn credentials_secret(variable: impl Fn(&str) -> Option<String>) -> Result<String, Unset> {
    let &[secret] = CREDENTIALS_ENVIRONMENT else { unreachable!("one, as the constant says") };
    named(secret, CREDENTIALS_ENVIRONMENT, variable)
}

/// The Kinesis stream that the drain writes to.
pub fn drain_stream(variable: impl Fn(&str) -> Option<String>) -> Result<String, Unset> {
    let &[stream] = DRAIN_ENVIRONMENT else { unreachable!("one, as the constant says") };
    named(stream, DRAIN_ENVIRONMENT, variable)
}

/// The address that a server listens on.
pub fn listen(variable: impl Fn(&str) -> Option<String>) -> String {
    let (name, otherwise) = LISTEN;
    variable(name).filter(|value| !value.is_empty()).unwrap_or_else(|| otherwise.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Environment, Unset> {
        Environment::read(among(variables))
    }

    fn among(variables: &[(&str, &str)]) -> impl Fn(&str) -> Option<String> {
        |name| variables.iter().find(|(other, _)| *other == name).map(|(_, value)| (*value).to_owned())
    }

    #[test]
    fn variables_name_the_resources() {
        let variables = [
            ("TIDEGATE_STREAM", "events"),
            ("TIDEGATE_BUCKET", "data"),
            ("TIDEGATE_SPILL_QUEUE", "https://q"),
        ];
        let (stream, bucket, spill_queue) = ("events".to_owned(), "data".to_owned(), "https://q".to_owned());
        assert_eq!(read(&variables).unwrap(), Environment { stream, bucket, spill_queue });
        assert_eq!(drain_stream(among(&variables[..1])).unwrap(), "events");
    }

    #[test]
    fn a_server_listens_on_every_address_by_default() {
        assert_eq!(listen(among(&[])), "0.0.0.0:8080");
        assert_eq!(listen(among(&[("TIDEGATE_LISTEN", "127.0.0.1:9")])), "127.0.0.1:9");
    }

    #[test]
    fn a_variable_that_is_missing_or_empty_is_named() {
        let error = read(&[("TIDEGATE_STREAM", "events"), ("TIDEGATE_BUCKET", "")]).unwrap_err();
        insta::assert_snapshot!(error, @"the environment variable `TIDEGATE_BUCKET` is not set (needed: TIDEGATE_STREAM, TIDEGATE_BUCKET, TIDEGATE_SPILL_QUEUE)");
        let error = ReadsEnvironment::read(among(&[("TIDEGATE_ITEMS_TABLE", "items")])).unwrap_err();
        insta::assert_snapshot!(error, @"the environment variable `TIDEGATE_LEDGER_TABLE` is not set (needed: TIDEGATE_ITEMS_TABLE, TIDEGATE_LEDGER_TABLE)");
        let error = drain_stream(among(&[])).unwrap_err();
        insta::assert_snapshot!(error, @"the environment variable `TIDEGATE_STREAM` is not set (needed: TIDEGATE_STREAM)");
    }
}
