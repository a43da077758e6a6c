//! The commands. Each file has a command's options, and what it prints.

mod accept;
mod audit;
mod cat;
mod config;
mod demo;
#[cfg(feature = "aws")]
mod doctor;
mod function;
mod load;
mod local;
#[cfg(feature = "aws")]
mod mapping;
mod redrive;
mod replay;
mod tail;
mod trace;

use std::process::ExitCode;

use ::local::adapters::Adapters;
use clap::{Parser, Subcommand};

use crate::options::SpanOptions;

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
    /// Ctrl-C or SIGTERM first stores what was accepted, and says how long that
    /// may take. A second one stops at once; the next start stores the rest.
    ///
    /// Example: tidegate local --listen 127.0.0.1:9000 --data /tmp/tidegate
    #[command(verbatim_doc_comment)]
    Local(local::LocalOptions),
    /// Run the acceptance of a document that Tidegate has a recipe for
    ///
    /// Each requirement is a line: PASS or FAIL with what was seen, or SKIP with
    /// what is missing to see it.
    /// Exit code 0: no line failed. 1: one did. 2: it could not be run.
    ///
    /// Example: tidegate accept robust-data-processor
    #[command(verbatim_doc_comment)]
    Accept(accept::AcceptOptions),
    /// Check that every event is stored exactly once
    ///
    /// It compares the stream, the archive, the items, the manifest, the
    /// quarantine and the queues. Without --from it covers all that the stream
    /// still has.
    /// Exit code 0: balanced. 1: not balanced. 2: the data could not be read.
    ///
    /// Example: tidegate audit --from 2026-11-21T00:00:00Z
    #[command(verbatim_doc_comment)]
    Audit(audit::AuditOptions),
    /// Print the effective configuration, or check it
    ///
    /// Each value comes with its origin: default, the file, or a variable. It is
    /// TOML. Secrets are not shown.
    /// Exit code 0: every function would start with it. 1: an error, or several,
    /// each with key, value and what is allowed.
    ///
    /// Example: tidegate config --check --config new.toml
    #[command(verbatim_doc_comment)]
    Config(config::ConfigOptions),
    /// Send traffic, measure the answers, and check that all was stored
    ///
    /// The traffic follows from a seed: objects, texts, batches and gzip of many
    /// tenants, some of it sent twice, some of it malformed or of a forbidden tier.
    /// Exit code 0: each answer was the right one, and with --verify each event is
    /// stored once, as it was sent. 1: not so. 2: it could not be run.
    ///
    /// Example: tidegate load --rate 2000 --duration 60 --verify --plot load.svg
    #[command(verbatim_doc_comment)]
    Load(load::LoadOptions),
    /// See the pipeline work, with faults, on a local run of its own
    ///
    /// Traffic, a poison record, a consumer that is killed, a stream that is away, a
    /// reused id: each is explained, with where to look. Then all is checked, and
    /// what failed is brought back. It takes about a minute.
    /// Exit code 0: everything was stored as it should be. 1: not so.
    /// 2: it could not be run.
    ///
    /// Example: tidegate demo
    #[command(verbatim_doc_comment)]
    Demo(demo::DemoOptions),
    /// Print one tenant's archived events as NDJSON
    ///
    /// Example: tidegate cat --tenant acme --from 2026-11-21T00:00:00Z
    Cat(cat::CatOptions),
    /// Put failed events on the stream again
    ///
    /// It reads quarantine, the failure destination and the dead-letter queues;
    /// and, if named by --source, the stream, for events that were dropped.
    /// Events that could not be dispatched go to the dispatch queue again.
    /// It only shows what it would do, unless --apply is given. You can run it
    /// again at any time: an event is stored once.
    ///
    /// Example: tidegate redrive --source failure-destination --apply
    #[command(verbatim_doc_comment)]
    Redrive(redrive::RedriveOptions),
    /// Print archived events again, or put them on another deployment
    ///
    /// Example: tidegate replay --tenant acme --to-data /tmp/other
    Replay(replay::ReplayOptions),
    /// Print archived events as they are stored
    ///
    /// Example: tidegate tail --tenant acme --follow
    Tail(tail::TailOptions),
    /// Say where an event is, and what that means
    ///
    /// It shows the stations of the event, from request to dispatch, with times,
    /// and a command: to print its archive line, or to bring it back.
    /// Exit code 0: found. 1: not found. 2: the data could not be read.
    ///
    /// Example: tidegate trace order-17 --tenant acme
    #[command(verbatim_doc_comment)]
    Trace(trace::TraceOptions),
    /// Run an event source mapping from a Kinesis stream to a Lambda function
    ///
    /// For emulators, whose own mappings do not bisect batches or save failed
    /// ones. On AWS, disable Lambda's own mapping first.
    ///
    /// Example: tidegate mapping --stack Tidegate-dev --drain
    #[cfg(feature = "aws")]
    #[command(verbatim_doc_comment)]
    Mapping(mapping::MappingOptions),
    /// Compare a deployed stack with what Tidegate needs
    ///
    /// Exit code 0: no finding. 1: findings. 2: the stack could not be read.
    ///
    /// Example: tidegate doctor --stack Tidegate-dev
    #[cfg(feature = "aws")]
    #[command(verbatim_doc_comment)]
    Doctor(doctor::DoctorOptions),
    #[command(hide = true)]
    Function(function::FunctionOptions),
}

impl Default for Command {
    fn default() -> Self {
        let command = Arguments::parse_from(["tidegate", "local"]).command;
        command.expect("`local` is a command")
    }
}

/// The exit code of most failures, and of an audit or a doctor with findings.
const FAILED: u8 = 1;
/// The exit code of an audit or a doctor that could not read its data. So a script can distinguish this from findings.
/// Wrong arguments have it too.
const UNREADABLE: u8 = 2;

impl Command {
    /// An error comes with its exit code.
    pub(crate) async fn run(self, adapters: &impl Adapters) -> Result<ExitCode, (anyhow::Error, u8)> {
        if let Some(span) = self.span() {
            span.check().map_err(|error| (error, UNREADABLE))?;
        }
        let done = match self {
            // Boxed: these two are by far the largest of the futures.
            Self::Accept(options) => {
                return Box::pin(accept::run(options)).await.map_err(|error| (error, UNREADABLE));
            }
            Self::Load(options) => {
                return Box::pin(load::run(options)).await.map_err(|error| (error, UNREADABLE));
            }
            Self::Demo(options) => {
                return Box::pin(demo::run(options)).await.map_err(|error| (error, UNREADABLE));
            }
            Self::Audit(options) => return audit::run(options).await.map_err(|error| (error, UNREADABLE)),
            Self::Trace(options) => {
                return Box::pin(trace::run(options)).await.map_err(|error| (error, UNREADABLE));
            }
            #[cfg(feature = "aws")]
            Self::Doctor(options) => {
                return Box::pin(doctor::run(options)).await.map_err(|error| (error, UNREADABLE));
            }
            #[cfg(feature = "aws")]
            Self::Mapping(options) => mapping::run(options).await,
            Self::Local(options) => local::run(options, adapters).await,
            Self::Cat(options) => cat::run(options).await,
            Self::Config(options) => config::run(options).await,
            Self::Redrive(options) => redrive::run(options, adapters).await,
            Self::Replay(options) => replay::run(options, adapters).await,
            Self::Tail(options) => tail::run(options).await,
            Self::Function(options) => function::run(options, adapters).await,
        };
        done.map(|()| ExitCode::SUCCESS).map_err(|error| (error, FAILED))
    }

    fn span(&self) -> Option<&SpanOptions> {
        match self {
            Self::Audit(options) => Some(&options.span),
            Self::Cat(options) => Some(&options.span),
            Self::Redrive(options) => Some(&options.span),
            Self::Replay(options) => Some(&options.span),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn no_two_options_of_a_command_have_the_same_name() {
        // Clap checks it at the start of a debug build only.
        Arguments::command().debug_assert();
    }
}
