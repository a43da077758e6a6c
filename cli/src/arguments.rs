//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use local::functions::Function;

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
    SpillRedriver,
    /// The stream side.
    ConsumerFn,
}

impl From<FunctionName> for Function {
    fn from(name: FunctionName) -> Self {
        match name {
            FunctionName::IngestFn => Self::Ingest,
            FunctionName::SpillRedriver => Self::Redriver,
            FunctionName::ConsumerFn => Self::Consumer,
        }
    }
}
