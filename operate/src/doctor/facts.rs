//! What the services say about a deployed stack, in our words. The other files judge it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use shared::mapping::Rules;
use uuid::Uuid;

#[derive(Clone, Debug)]
pub struct DeployedStack {
    pub stack: String,
    /// CloudFormation's word, such as `UPDATE_COMPLETE`.
    pub status: String,
    /// From the stream to the consumer.
    pub mapping: StreamMapping,
    /// From the spill queue to the drain. There should be exactly one.
    pub spill_mappings: Vec<QueueMapping>,
    /// The version that the Function URL's alias names.
    pub ingest: DeployedFunction,
    pub consumer: DeployedFunction,
    pub drain: DeployedFunction,
    /// What answers at the Function URL.
    pub live: LiveIngest,
    pub stream: DeployedStream,
    pub items: DeployedTable,
    pub ledger: DeployedTable,
    pub bucket: DeployedBucket,
    pub spill: DeployedQueue,
    /// The dead-letter queue of the spill queue.
    pub dead_letters: DeployedQueue,
    /// `None` where dispatch is off.
    pub dispatch: Option<DeployedDispatch>,
    /// The stack's alarms by name; `None` if CloudWatch does not have it any more.
    pub alarms: Vec<(String, Option<Alarm>)>,
    /// The topic that the alarms publish to.
    pub alarm_topic: Topic,
}

/// The dispatcher and what it works with.
#[derive(Clone, Debug)]
pub struct DeployedDispatch {
    pub function: DeployedFunction,
    /// From the dispatch queue to the function. There should be exactly one.
    pub mappings: Vec<QueueMapping>,
    pub queue: DeployedQueue,
    pub dead_letters: DeployedQueue,
    /// The table of the slot counter.
    pub rate: DeployedTable,
}

/// The mapping from the stream, as Lambda's API describes it.
#[derive(Clone, Debug)]
pub struct StreamMapping {
    pub id: Uuid,
    /// Lambda's word, such as `Enabled`.
    pub state: String,
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
pub struct QueueMapping {
    pub id: String,
    /// Lambda's word, such as `Enabled`.
    pub state: String,
    pub source: String,
    /// Messages in one invocation.
    pub batch_size: usize,
    pub report_batch_item_failures: bool,
}

#[derive(Clone, Debug)]
pub struct DeployedFunction {
    pub name: String,
    /// It names region and account.
    pub arn: String,
    /// Such as `provided.al2023`.
    pub runtime: String,
    /// Such as `x86_64`.
    pub architecture: String,
    pub memory_mb: u64,
    pub timeout: Duration,
    pub variables: BTreeMap<String, String>,
    /// `JSON` or `Text`.
    pub log_format: String,
    /// Lambda drops log lines below this level; `None` if it drops none.
    pub log_level: Option<String>,
    pub log_group: String,
    /// Most concurrent invocations; `None` if nothing is reserved.
    pub reserved_concurrency: Option<u32>,
    pub is_in_vpc: bool,
    pub role: Role,
}

#[derive(Clone, Debug)]
pub struct Role {
    pub name: String,
    /// Of its inline policies.
    pub statements: Vec<Statement>,
    /// Names of attached policies, which other roles may share.
    pub attached: Vec<String>,
}

/// One statement of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// `false`: it denies.
    pub allows: bool,
    /// With wildcards.
    pub actions: Vec<String>,
    /// With wildcards.
    pub resources: Vec<String>,
    /// It has a condition, `NotAction` or `NotResource`. Doctor cannot judge these.
    pub is_conditional: bool,
}

/// What answers at the Function URL.
#[derive(Clone, Debug)]
pub struct LiveIngest {
    /// Checksum of the code that the alias names.
    pub live_code: String,
    /// Checksum of the function's newest code.
    pub newest_code: String,
    /// The answer to `GET /health`, or why there is none.
    pub health: Result<HealthAnswer, String>,
}

/// The answer to `GET /health`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct HealthAnswer {
    pub version: String,
    /// Fingerprint of the configuration.
    pub config: String,
}

#[derive(Clone, Debug)]
pub struct DeployedStream {
    pub arn: String,
    /// Such as `ACTIVE`.
    pub status: String,
    /// `PROVISIONED` or `ON_DEMAND`.
    pub mode: String,
    pub shards: usize,
    pub retention: Duration,
    /// With a key of KMS.
    pub is_encrypted: bool,
}

#[derive(Clone, Debug)]
pub struct DeployedTable {
    pub arn: String,
    /// Such as `ACTIVE`.
    pub status: String,
    pub keys: Vec<String>,
    pub indexes: BTreeMap<String, Index>,
    /// The attribute of the time to live, if it is on.
    pub expires_by: Option<String>,
    /// Point-in-time recovery is on.
    pub is_restorable: bool,
    /// With a key of KMS.
    pub is_encrypted: bool,
}

#[derive(Clone, Debug)]
pub struct Index {
    /// Such as `ACTIVE`.
    pub status: String,
    pub keys: Vec<String>,
    /// Such as `KEYS_ONLY`.
    pub projection: String,
}

#[derive(Clone, Debug)]
pub struct DeployedBucket {
    pub name: String,
    /// All four public access blocks are on.
    pub is_private: bool,
    pub is_encrypted: bool,
    /// Its policy refuses requests without TLS.
    pub is_tls_only: bool,
    pub lifecycle: Vec<LifecycleRule>,
}

/// One enabled rule of a bucket's lifecycle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LifecycleRule {
    /// Empty for all objects.
    pub prefix: String,
    pub expires_after_days: Option<u32>,
    pub aborts_uploads_after_days: Option<u32>,
}

#[derive(Clone, Debug)]
pub struct DeployedQueue {
    pub arn: String,
    pub url: String,
    /// A received message stays hidden for this long.
    pub visibility: Duration,
    pub retention: Duration,
    /// Of the largest message.
    pub message_bytes: usize,
    pub is_encrypted: bool,
    pub redrive: Option<RedrivePolicy>,
}

/// When a message goes to the dead-letter queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedrivePolicy {
    /// ARN of the dead-letter queue.
    pub target: String,
    /// After this many receives.
    pub receives: u32,
}

#[derive(Clone, Debug)]
pub struct Alarm {
    /// Such as `OK`.
    pub state: String,
    /// It names the runbook.
    pub description: String,
    /// It sends a notification.
    pub has_actions: bool,
}

#[derive(Clone, Debug)]
pub struct Topic {
    pub arn: String,
    /// Services and accounts that its policy allows to publish; `*` for all, maybe under a condition.
    pub publishers: Vec<String>,
}
