//! The command line: which commands there are. Each command's options are in its file.

use clap::{Parser, Subcommand};

use crate::audit::AuditOptions;
use crate::cat::CatOptions;
#[cfg(feature = "aws")]
use crate::doctor::DoctorOptions;
use crate::function::FunctionOptions;
use crate::local::LocalOptions;
#[cfg(feature = "aws")]
use crate::mapping::MappingOptions;
use crate::redrive::RedriveOptions;
use crate::replay::ReplayOptions;

/// Event ingestion: each accepted event becomes one item and one archive line
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the whole pipeline on this machine, without AWS (the default)
    ///
    /// Example: tidegate local --listen 127.0.0.1:9000 --data /tmp/tidegate
    Local(LocalOptions),
    /// Check that every event is stored exactly once
    ///
    /// It compares the stream, the archive, the items, the manifest, the
    /// quarantine and the queues. Without --from it covers all that the stream
    /// still has.
    /// Exit code 0: balanced. 1: not balanced. 2: the data could not be read.
    ///
    /// Example: tidegate audit --from 2026-11-21T00:00:00Z
    #[command(verbatim_doc_comment)]
    Audit(AuditOptions),
    /// Print one tenant's archived events as NDJSON
    ///
    /// Example: tidegate cat --tenant acme --from 2026-11-21T00:00:00Z
    Cat(CatOptions),
    /// Put failed events on the stream again
    ///
    /// It reads quarantine, the failure destination and the dead-letter queue;
    /// and, if named by --source, the stream, for events that were dropped.
    /// It only shows what it would do, unless --apply is given. You can run it
    /// again at any time: an event is stored once.
    ///
    /// Example: tidegate redrive --source failure-destination --apply
    #[command(verbatim_doc_comment)]
    Redrive(RedriveOptions),
    /// Print archived events again, or put them on another deployment
    ///
    /// Example: tidegate replay --tenant acme --to-data /tmp/other
    Replay(ReplayOptions),
    /// Run an event source mapping from a Kinesis stream to a Lambda function
    ///
    /// For emulators, whose own mappings do not bisect batches or save failed
    /// ones. On AWS, disable Lambda's own mapping first.
    ///
    /// Example: tidegate mapping --stack Tidegate-dev --drain
    #[cfg(feature = "aws")]
    #[command(verbatim_doc_comment)]
    Mapping(MappingOptions),
    /// Compare a deployed stack with what Tidegate needs
    ///
    /// Exit code 0: no finding. 1: findings. 2: the stack could not be read.
    ///
    /// Example: tidegate doctor --stack Tidegate-dev
    #[cfg(feature = "aws")]
    #[command(verbatim_doc_comment)]
    Doctor(DoctorOptions),
    #[command(hide = true)]
    Function(FunctionOptions),
}

impl Default for Command {
    fn default() -> Self {
        let command = Arguments::parse_from(["tidegate", "local"]).command;
        command.expect("`local` is a command")
    }
}
