//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use local::functions::Function;
use shared::id::TenantId;
use shared::time::Timestamp;

use crate::deployment::DeploymentOptions;
pub use crate::redrive::Place;

/// Events from many customers, in items and gzip NDJSON objects within five seconds, once each.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
pub struct Arguments {
    /// What to do; `local` if nothing is said.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What the command can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the whole pipeline on this machine, without an AWS account.
    Local(LocalOptions),
    /// Prove that every event is where it should be, once: compare what lies in the stream, the archive, the items, the
    /// manifest and the places of failures. Exit code 0 if the books balance, 1 if not, 2 if they cannot be read.
    Audit(AuditOptions),
    /// Print one tenant's archived events as NDJSON, reading nobody else's bytes.
    Cat(CatOptions),
    /// Bring back to the stream what failed: from quarantine, the on-failure prefix and the dead-letter queue; and with
    /// `--place stream`, from the stream itself, what the event source mapping dropped. Shows what it would do; does it
    /// with `--apply`. Safe to run again, at any time, however often.
    Redrive(RedriveOptions),
    /// Give archived events once more: as NDJSON on stdout, or to another deployment.
    Replay(ReplayOptions),
    /// Be the event source mapping between a Kinesis stream and a Lambda function: read the stream by `GetRecords`,
    /// gather, invoke, bisect, keep what fails for good. For emulators, whose own mappings do not do that; on AWS
    /// itself, disable Lambda's mapping first.
    #[cfg(feature = "aws")]
    Mapping(MappingOptions),
    /// Compare a deployed stack with what Tidegate relies on, and say what to change. Ends with 1 if there is something.
    #[cfg(feature = "aws")]
    Doctor(DoctorOptions),
    /// Run one function as a child of `tidegate local`.
    #[command(hide = true)]
    Function {
        /// Which.
        name: FunctionName,
        /// The data folder.
        #[arg(long)]
        data: PathBuf,
        /// The configuration file.
        #[arg(long)]
        config: Option<PathBuf>,
    },
}

/// Options of `tidegate local`.
#[derive(Args, Debug)]
pub struct LocalOptions {
    /// Where to listen; port 0 lets the system choose.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Where stream, items and objects are kept.
    #[arg(long, value_name = "DIR", default_value = ".tidegate")]
    pub data: PathBuf,
    /// The configuration file [default: tidegate.toml, if there is one].
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// How many shards a new stream gets.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub shards: u16,
    /// Start with an empty data folder.
    #[arg(long)]
    pub reset: bool,
    /// Between two reads of a shard, in milliseconds [Lambda: 1000].
    #[arg(long, value_name = "MS", hide = true)]
    pub poll_ms: Option<u64>,
    /// How long the consumer's batches are gathered, in milliseconds [deployed: 3000].
    #[arg(long, value_name = "MS", hide = true)]
    pub window_ms: Option<u64>,
    /// The first wait after a failed batch, in milliseconds.
    #[arg(long, value_name = "MS", hide = true)]
    pub backoff_ms: Option<u64>,
    /// How often a batch that fails is tried again, before it goes to the on-failure prefix [deployed: 30].
    #[arg(long, value_name = "N", hide = true)]
    pub retries: Option<u32>,
    /// How long a spilled message that was received stays hidden, in milliseconds [deployed: 180000].
    #[arg(long, value_name = "MS", hide = true)]
    pub visibility_ms: Option<u64>,
    /// How often a spilled message is received before it goes to the dead-letter queue [deployed: 500].
    #[arg(long, value_name = "N", hide = true)]
    pub receives: Option<u32>,
}

/// Options of `tidegate audit`.
#[derive(Args, Debug)]
pub struct AuditOptions {
    /// Which deployment.
    #[command(flatten)]
    pub deployment: DeploymentOptions,
    /// Only events that the door received at this time or later, as RFC 3339 [default: since when the stream keeps all].
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub from: Option<Timestamp>,
    /// Only events that the door received before this time [default: now].
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub to: Option<Timestamp>,
    /// Print JSON, with every tenant and every finding.
    #[arg(long)]
    pub json: bool,
    /// The deployment's configuration file [default: tidegate.toml, if there is one].
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Options of `tidegate cat`.
#[derive(Args, Debug)]
pub struct CatOptions {
    /// Which deployment.
    #[command(flatten)]
    pub deployment: DeploymentOptions,
    /// Whose events.
    #[arg(long, value_name = "TENANT", value_parser = TenantId::parse)]
    pub tenant: TenantId,
    /// Only events that the door received at this time or later, as RFC 3339 [default: from the first].
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub from: Option<Timestamp>,
    /// Only events that the door received before this time [default: up to the last].
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub to: Option<Timestamp>,
}

/// Options of `tidegate redrive`.
#[derive(Args, Debug)]
pub struct RedriveOptions {
    /// Which deployment.
    #[command(flatten)]
    pub deployment: DeploymentOptions,
    /// Do it.
    #[arg(long)]
    pub apply: bool,
    /// Only what lies there; may be given several times.
    #[arg(long, value_name = "PLACE")]
    pub place: Vec<Place>,
    /// Only what failed for this reason; may be given several times. What has the reason `id_reused` is left unless it
    /// is named: it would be quarantined again.
    #[arg(long, value_name = "REASON")]
    pub reason: Vec<String>,
    /// Only this tenant's events.
    #[arg(long, value_name = "TENANT", value_parser = TenantId::parse)]
    pub tenant: Option<TenantId>,
    /// Only what arrived at this time or later, as RFC 3339.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub from: Option<Timestamp>,
    /// Only what arrived before this time.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub to: Option<Timestamp>,
    /// At most so many events a second.
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..))]
    pub rate: u32,
    /// The deployment's configuration file [default: tidegate.toml, if there is one].
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Options of `tidegate replay`.
#[derive(Args, Debug)]
pub struct ReplayOptions {
    /// Which deployment's archive.
    #[command(flatten)]
    pub deployment: DeploymentOptions,
    /// Bring them to the stream of the local run with this data folder, in place of stdout. It stores them as its own:
    /// each once, however often they are replayed.
    #[arg(long, value_name = "DIR")]
    pub to_data: Option<PathBuf>,
    /// The same, to what `cdk deploy` made, by its CloudFormation name.
    #[cfg(feature = "aws")]
    #[arg(long, value_name = "NAME", conflicts_with = "to_data")]
    pub to_stack: Option<String>,
    /// The same, to the deployment on AWS whose resources the environment names (see `--aws`).
    #[cfg(feature = "aws")]
    #[arg(long, conflicts_with_all = ["to_data", "to_stack"])]
    pub to_aws: bool,
    /// Only this tenant's events; nobody else's are read.
    #[arg(long, value_name = "TENANT", value_parser = TenantId::parse)]
    pub tenant: Option<TenantId>,
    /// Only events that the door received at this time or later, as RFC 3339.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub from: Option<Timestamp>,
    /// Only events that the door received before this time.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub to: Option<Timestamp>,
    /// At most so many events a second [default: 500 to a deployment, no limit to stdout].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub rate: Option<u32>,
    /// Remember in this file how far it is, and go on from there if it exists. A replay that was killed may have printed
    /// a part of what the next one begins with: at most what goes within a second, or 500 events.
    #[arg(long, value_name = "FILE")]
    pub resume: Option<PathBuf>,
    /// The configuration file that says which tenants are spread [default: tidegate.toml, if there is one].
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

impl ReplayOptions {
    /// The deployment that they are brought to, if it is not stdout.
    pub(crate) fn target(&self) -> Option<DeploymentOptions> {
        #[cfg(feature = "aws")]
        if self.to_aws || self.to_stack.is_some() {
            return Some(DeploymentOptions {
                data: PathBuf::new(),
                stack: self.to_stack.clone(),
                aws: self.to_aws,
                endpoint_url: self.deployment.endpoint_url.clone(),
            });
        }
        let data = self.to_data.clone()?;
        #[cfg(feature = "aws")]
        let target = DeploymentOptions { data, stack: None, aws: false, endpoint_url: None };
        #[cfg(not(feature = "aws"))]
        let target = DeploymentOptions { data };
        Some(target)
    }
}

fn time(text: &str) -> Result<Timestamp, String> {
    let error = |_| format!("`{text}` is not an RFC 3339 time, such as 2026-11-21T09:30:00Z");
    serde_json::from_value(text.into()).map_err(error)
}

/// Options of `tidegate mapping`. Region and credentials come from the environment, as for every AWS tool.
#[cfg(feature = "aws")]
#[derive(Args, Debug)]
pub struct MappingOptions {
    /// Stand in for the event source mapping of this CloudFormation stack, with its settings.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["mapping", "stream", "function", "on_failure"])]
    pub stack: Option<String>,
    /// Stand in for this event source mapping, with its settings.
    #[arg(long, value_name = "UUID", conflicts_with_all = ["stream", "function", "on_failure"])]
    pub mapping: Option<uuid::Uuid>,
    /// The stream's name.
    #[arg(long, value_name = "NAME", required_unless_present_any = ["stack", "mapping"])]
    pub stream: Option<String>,
    /// The function's name.
    #[arg(long, value_name = "NAME", required_unless_present_any = ["stack", "mapping"])]
    pub function: Option<String>,
    /// The bucket for what fails for good.
    #[arg(long, value_name = "BUCKET", required_unless_present_any = ["stack", "mapping"])]
    pub on_failure: Option<String>,
    /// Where AWS's APIs are [default: `AWS_ENDPOINT_URL`, else AWS itself].
    #[arg(long, value_name = "URL")]
    pub endpoint_url: Option<String>,
    /// Where is remembered how far each shard is done.
    #[arg(long, value_name = "DIR", default_value = ".tidegate")]
    pub data: PathBuf,
    /// Most records in one invocation [default: the mapping's, else 10000].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub batch_size: Option<u16>,
    /// How long records are gathered, in milliseconds [default: the mapping's, else 3000].
    #[arg(long, value_name = "MS")]
    pub window_ms: Option<u64>,
    /// How often one and the same batch is tried again [default: the mapping's, else 30].
    #[arg(long, value_name = "N")]
    pub retries: Option<u32>,
    /// Process what is on the stream, then end.
    #[arg(long)]
    pub drain: bool,
}

/// Options of `tidegate doctor`. Region and credentials come from the environment, as for every AWS tool.
#[cfg(feature = "aws")]
#[derive(Args, Debug)]
pub struct DoctorOptions {
    /// The stack's name, such as `Tidegate-dev`.
    #[arg(long, value_name = "NAME")]
    pub stack: String,
    /// The configuration file that was deployed [default: tidegate.toml, if there is one].
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where AWS's APIs are [default: `AWS_ENDPOINT_URL`, else AWS itself].
    #[arg(long, value_name = "URL")]
    pub endpoint_url: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

impl Default for Command {
    fn default() -> Self {
        let command = Arguments::parse_from(["tidegate", "local"]).command;
        command.expect("`local` is a command")
    }
}

/// A function's name on the command line.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum FunctionName {
    /// The HTTP side.
    IngestFn,
    /// From the spill queue to the stream.
    SpillDrain,
    /// The stream side.
    ConsumerFn,
}

impl From<FunctionName> for Function {
    fn from(name: FunctionName) -> Self {
        match name {
            FunctionName::IngestFn => Self::Ingest,
            FunctionName::SpillDrain => Self::Drain,
            FunctionName::ConsumerFn => Self::Consumer,
        }
    }
}
