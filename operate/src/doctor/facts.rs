//! A deployment, described: what the services say of it, in our words. Nothing here is judged.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use shared::mapping::Rules;
use uuid::Uuid;

/// A deployed stack.
#[derive(Clone, Debug)]
pub struct Deployment {
    /// The stack's name.
    pub stack: String,
    /// CloudFormation's word for how it is.
    pub status: String,
    /// From the stream to the consumer.
    pub mapping: StreamMapping,
    /// From the spill queue to the redriver; there may be none, or several.
    pub spill_mappings: Vec<SpillMapping>,
    /// `ingest-fn`, as the URL's alias has it.
    pub ingest: Function,
    /// `consumer-fn`.
    pub consumer: Function,
    /// `spill-redriver`.
    pub redriver: Function,
    /// What serves behind the URL.
    pub door: Door,
    /// The stream.
    pub stream: Stream,
    /// The items table.
    pub items: Table,
    /// The ledger table.
    pub ledger: Table,
    /// The bucket.
    pub bucket: Bucket,
    /// The spill queue.
    pub spill: Queue,
    /// The queue behind it.
    pub dead_letters: Queue,
    /// The alarms that the stack made, each as CloudWatch has it now.
    pub alarms: Vec<(String, Option<Alarm>)>,
    /// The topic that they go to.
    pub alarm_topic: Topic,
}

/// The mapping from the stream, as Lambda's API describes it.
#[derive(Clone, Debug)]
pub struct StreamMapping {
    pub id: Uuid,
    /// Lambda's word, such as `Enabled`.
    pub state: String,
    /// The ARN of what it reads.
    pub source: String,
    /// The ARN of the function it invokes.
    pub function: String,
    /// Where it begins on a shard that it has not read before.
    pub starting_position: String,
    /// How many batches of one shard are in flight at a time.
    pub parallelization_factor: u32,
    /// Zero if windows keep no state.
    pub tumbling_window: Duration,
    /// How many filters records have to pass.
    pub filters: usize,
    /// The ARN of the failure destination.
    pub failure_destination: Option<String>,
    pub rules: Rules,
}

impl StreamMapping {
    /// Lambda invokes the function, or is about to.
    pub fn is_on(&self) -> bool {
        !matches!(self.state.as_str(), "Disabled" | "Disabling")
    }
}

/// A mapping from a queue.
#[derive(Clone, Debug)]
pub struct SpillMapping {
    /// Its id.
    pub id: String,
    /// Lambda's word for what it does.
    pub state: String,
    /// The ARN of what it reads.
    pub source: String,
    /// Messages in one invocation.
    pub batch_size: usize,
    /// Whether the response names the messages that failed.
    pub report_batch_item_failures: bool,
}

/// A function.
#[derive(Clone, Debug)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// Its ARN, which tells region and account.
    pub arn: String,
    /// Such as `provided.al2023`.
    pub runtime: String,
    /// Such as `x86_64`.
    pub architecture: String,
    /// In MB.
    pub memory_mb: u64,
    /// When an invocation is ended.
    pub timeout: Duration,
    /// What it is told.
    pub variables: BTreeMap<String, String>,
    /// `JSON` or `Text`.
    pub log_format: String,
    /// The least level of its own log lines that is kept; none where Lambda does not filter.
    pub log_level: Option<String>,
    /// Where its log lines go.
    pub log_group: String,
    /// How many invocations are let in at a time; none where nothing is reserved.
    pub reserved_concurrency: Option<u32>,
    /// Its role.
    pub role: Role,
}

/// What a function may do.
#[derive(Clone, Debug)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// What its own policies say.
    pub statements: Vec<Statement>,
    /// Policies that are attached to it and may be to others.
    pub attached: Vec<String>,
}

/// One statement of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// It allows; else it denies.
    pub allows: bool,
    /// Actions, with wildcards.
    pub actions: Vec<String>,
    /// Resources, with wildcards.
    pub resources: Vec<String>,
    /// It holds under conditions, or says what it is not about: more than can be judged here.
    pub is_conditional: bool,
}

/// What serves behind the URL.
#[derive(Clone, Debug)]
pub struct Door {
    /// The checksum of the code behind the alias.
    pub live_code: String,
    /// The checksum of the function's newest code.
    pub newest_code: String,
    /// What it answers to `GET /health`, or why there is no answer.
    pub health: Result<Health, String>,
}

/// What `GET /health` says.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Health {
    /// The program's version.
    pub version: String,
    /// The configuration's fingerprint.
    pub config: String,
}

/// The stream.
#[derive(Clone, Debug)]
pub struct Stream {
    /// Its ARN.
    pub arn: String,
    /// Such as `ACTIVE`.
    pub status: String,
    /// `PROVISIONED` or `ON_DEMAND`.
    pub mode: String,
    /// How many shards take records.
    pub shards: usize,
    /// How long it keeps records.
    pub retention: Duration,
    /// Whether records are encrypted with a key of KMS.
    pub is_encrypted: bool,
}

/// A table.
#[derive(Clone, Debug)]
pub struct Table {
    /// Its ARN.
    pub arn: String,
    /// Such as `ACTIVE`.
    pub status: String,
    /// Partition key and sort key.
    pub keys: Vec<String>,
    /// Its indexes over all partitions, by name.
    pub indexes: BTreeMap<String, Index>,
    /// The attribute that rows expire by, if they do.
    pub expires_by: Option<String>,
    /// Whether it can be restored to any second.
    pub is_restorable: bool,
    /// Whether rows are encrypted with a key of KMS.
    pub is_encrypted: bool,
}

/// An index of a table.
#[derive(Clone, Debug)]
pub struct Index {
    /// Such as `ACTIVE`.
    pub status: String,
    /// Partition key and sort key.
    pub keys: Vec<String>,
    /// What it holds of a row, such as `KEYS_ONLY`.
    pub projection: String,
}

/// The bucket.
#[derive(Clone, Debug)]
pub struct Bucket {
    /// Its name.
    pub name: String,
    /// Whether public access is blocked in all four ways.
    pub is_private: bool,
    /// Whether objects are encrypted by default.
    pub is_encrypted: bool,
    /// Whether its policy refuses requests without TLS.
    pub is_tls_only: bool,
    /// What becomes of objects.
    pub lifecycle: Vec<LifecycleRule>,
}

/// One rule of a bucket's lifecycle that is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LifecycleRule {
    /// What it is about; empty for all.
    pub prefix: String,
    /// When objects are deleted.
    pub expires_after_days: Option<u32>,
    /// When uploads that were never finished are removed.
    pub aborts_uploads_after_days: Option<u32>,
}

/// A queue.
#[derive(Clone, Debug)]
pub struct Queue {
    /// Its ARN.
    pub arn: String,
    /// Its URL.
    pub url: String,
    /// How long a message that was received stays hidden.
    pub visibility: Duration,
    /// How long messages are kept.
    pub retention: Duration,
    /// The largest message, in bytes.
    pub message_bytes: usize,
    /// Whether messages are encrypted.
    pub is_encrypted: bool,
    /// After how many receives a message goes where.
    pub redrive: Option<Redrive>,
}

/// Where a queue's messages go in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redrive {
    /// The ARN of the dead-letter queue.
    pub target: String,
    /// After so many receives.
    pub receives: u32,
}

/// An alarm.
#[derive(Clone, Debug)]
pub struct Alarm {
    /// Such as `OK`.
    pub state: String,
    /// What it means, with its runbook.
    pub description: String,
    /// Whether it tells anybody.
    pub has_actions: bool,
}

/// A topic.
#[derive(Clone, Debug)]
pub struct Topic {
    /// Its ARN.
    pub arn: String,
    /// Whom its policy lets publish: services and accounts, `*` for everybody whom a condition lets.
    pub publishers: Vec<String>,
}
