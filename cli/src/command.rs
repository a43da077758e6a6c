//! The commands. Each file has a command's options, and what it prints.

mod accept;
mod audit;
mod cat;
mod config;
mod demo;
#[cfg(feature = "aws")]
mod doctor;
#[cfg(not(feature = "aws"))]
mod elsewhere;
mod erase;
mod function;
mod load;
mod local;
mod manual;
#[cfg(feature = "aws")]
mod mapping;
mod redrive;
mod replay;
mod status;
mod tail;
mod tap;
mod top;
mod trace;
#[cfg(feature = "aws")]
mod verify;

use std::process::ExitCode;

use ::local::adapters::Adapters;
use clap::{Parser, Subcommand};

#[cfg(not(feature = "aws"))]
pub(crate) use elsewhere::no_stack;

use crate::options::SpanOptions;

/// The end of a command's help.
macro_rules! examples {
    ($($example:literal),+ $(,)?) => {
        concat!("Examples:", $("\n  ", $example),+)
    };
}

/// Event ingestion: each accepted event becomes one item and one archive line
#[derive(Debug, Parser)]
#[command(
    version,
    max_term_width = 80,
    after_help = examples!["tidegate local", "tidegate local --help", "tidegate tail --follow"]
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the whole pipeline on this machine, without AWS (begin here)
    ///
    /// Ctrl-C or SIGTERM first stores what was accepted, and says how long that
    /// may take. A second one stops at once; the next start stores the rest.
    #[command(verbatim_doc_comment, after_help = examples![
        "tidegate local",
        "tidegate local --listen 9000 --data /tmp/tidegate",
        "tidegate local --recipe http-ingestion --reset",
    ])]
    Local(local::LocalOptions),
    /// Run the acceptance of a document that Tidegate has a recipe for
    ///
    /// Each requirement is a line: PASS or FAIL with what was seen, or SKIP with
    /// what is missing to see it.
    /// Exit code 0: no line failed. 1: one did. 2: it could not be run.
    #[command(verbatim_doc_comment, after_help = examples![
        "tidegate accept robust-data-processor",
        "tidegate accept event-receiver --url http://localhost:8080 --data .tidegate",
    ])]
    Accept(accept::AcceptOptions),
    /// Check that every event is stored exactly once
    ///
    /// It compares the stream, the archive, the items, the manifest, the
    /// quarantine and the queues. Without --from it covers all that the stream
    /// still has.
    /// Exit code 0: balanced. 1: not balanced. 2: the data could not be read.
    #[command(verbatim_doc_comment, after_help = examples![
        "tidegate audit --from 1h",
        "tidegate audit --deep --json",
    ])]
    Audit(audit::AuditOptions),
    /// Print the effective configuration, or check it
    ///
    /// Each value comes with its origin: default, the file, or a variable. It is
    /// TOML. Secrets are not shown.
    /// Exit code 0: every function would start with it. 1: an error, or several,
    /// each with key, value and what is allowed.
    #[command(verbatim_doc_comment, after_help = examples![
        "tidegate config",
        "tidegate config --check --config new.toml",
    ])]
    Config(config::ConfigOptions),
    /// Send traffic, measure the answers, and check that all was stored
    ///
    /// The traffic follows from a seed: objects, texts, batches and gzip of many
    /// tenants, some of it sent twice, some of it malformed or of a forbidden tier.
    /// Exit code 0: each answer was the right one, and with --verify each event is
    /// stored once, as it was sent. 1: not so. 2: it could not be run.
    #[command(verbatim_doc_comment, after_help = examples![
        "tidegate load --rate 2000 --duration 60 --verify --plot load.svg",
        "tidegate load --connections 64 --duration 10",
    ])]
    Load(load::LoadOptions),
    /// See the pipeline work, with faults, on a local run of its own
    ///
    /// Traffic, a poison record, a consumer that is killed, a stream that is away, a
    /// reused id: each is explained, with where to look. Then all is checked, and
    /// what failed is brought back. It takes about a minute.
    /// Exit code 0: everything was stored as it should be. 1: not so.
    /// 2: it could not be run.
    #[command(verbatim_doc_comment, after_help = examples!["tidegate demo"])]
    Demo(demo::DemoOptions),
    /// Print one tenant's archived events as NDJSON
    #[command(after_help = examples![
        "tidegate cat --tenant acme --from 1h",
        "tidegate cat --tenant acme --to 2026-11-21T00:00:00Z",
    ])]
    Cat(cat::CatOptions),
    /// Erase a tenant's events, or one of them, from all that is stored
    ///
    /// It only shows what it would erase, and what it cannot reach, unless --yes
    /// is given. You can run it again at any time, also after it was killed.
    /// Exit code 0: done, or shown. 1: something is left, run it again. 2: it
    /// could not be done.
    #[command(verbatim_doc_comment, after_help = examples![
        "tidegate erase --tenant acme --event order-17 --report erased.json",
        "tidegate erase --tenant acme --yes",
    ])]
    Erase(erase::EraseOptions),
    /// Put failed events on the stream again
    ///
    /// It reads quarantine, the failure destination and the dead-letter queues;
    /// and, if named by --source, the stream, for events that were dropped.
    /// Events that could not be dispatched go to the dispatch queue again.
    /// It only shows what it would do, unless --apply is given. You can run it
    /// again at any time: an event is stored once.
    #[command(verbatim_doc_comment, after_help = examples![
        "tidegate redrive",
        "tidegate redrive --source failure-destination --apply",
    ])]
    Redrive(redrive::RedriveOptions),
    /// Print archived events again, or put them on another deployment
    #[command(after_help = examples![
        "tidegate replay --tenant acme --from 2d > acme.ndjson",
        "tidegate replay --tenant acme --to-data /tmp/other",
    ])]
    Replay(replay::ReplayOptions),
    /// Show how a local run or a deployed stack stands, on one screen
    ///
    /// It has the numbers of the page and of /metrics, in their order. With
    /// --stack they are those of the last whole minute, from CloudWatch.
    /// Exit code 0: ok. 1: degraded or failing. 2: it does not answer.
    #[command(verbatim_doc_comment, after_help = examples![
        "tidegate status",
        "tidegate status --url http://127.0.0.1:9000 --json",
    ])]
    Status(status::StatusOptions),
    /// Print archived events as they are stored
    #[command(after_help = examples![
        "tidegate tail",
        "tidegate tail --tenant acme --follow",
    ])]
    Tail(tail::TailOptions),
    /// Show events live: accepted, refused, stored
    ///
    /// A line for each event, from now on, until Ctrl-C. A request that is refused
    /// whole is one line. `tail` prints what events contain. With --stack, `accepted`
    /// is what arrives on the stream, and what is refused is not seen.
    #[command(verbatim_doc_comment, after_help = examples![
        "tidegate tap",
        "tidegate tap --tenant acme --stage refused",
    ])]
    Tap(tap::TapOptions),
    /// Show how a run or a stack stands, with charts, again and again
    #[command(after_help = examples!["tidegate top"])]
    Top(top::TopOptions),
    /// Say where an event is, and what that means
    ///
    /// It shows the stations of the event, from request to dispatch, with times,
    /// and a command: to print its archive line, or to bring it back.
    /// Exit code 0: found. 1: not found. 2: the data could not be read.
    #[command(verbatim_doc_comment, after_help = examples![
        "tidegate trace order-17 --tenant acme",
        "tidegate trace order-17 --from 2d",
    ])]
    Trace(trace::TraceOptions),
    /// Run an event source mapping from a Kinesis stream to a Lambda function
    ///
    /// For emulators, whose own mappings do not bisect batches or save failed
    /// ones. On AWS, disable Lambda's own mapping first.
    #[cfg(feature = "aws")]
    #[command(verbatim_doc_comment, after_help = examples![
        "tidegate mapping --stack Tidegate-dev --drain",
    ])]
    Mapping(mapping::MappingOptions),
    /// Compare a deployed stack with what Tidegate needs
    ///
    /// Exit code 0: no finding. 1: findings. 2: the stack could not be read.
    #[cfg(feature = "aws")]
    #[command(verbatim_doc_comment, after_help = examples![
        "tidegate doctor --stack Tidegate-dev",
        "tidegate doctor --template cdk.out/Tidegate-prod.template.json",
    ])]
    Doctor(doctor::DoctorOptions),
    /// Ask a deployed stack what only AWS can answer
    ///
    /// For each check it prints what is documented, what was seen, and the
    /// verdict. It takes about 15 minutes, costs a few cents, sends events of a
    /// tenant of its own, raises the alarm `quarantine` once, and deletes what it
    /// made.
    /// Exit code 0: all is as documented. 1: something differs. 2: it could not
    /// be run, or not all was deleted. 3: something was not checked.
    #[cfg(feature = "aws")]
    #[command(verbatim_doc_comment, after_help = examples![
        "tidegate verify --stack Tidegate-dev --json verified.json",
        "tidegate verify --list",
    ])]
    Verify(verify::VerifyOptions),
    /// Print a script that completes commands and options in a shell
    #[command(after_help = examples![
        "source <(tidegate completions bash)",
        "tidegate completions zsh > ~/.zfunc/_tidegate",
        "tidegate completions fish > ~/.config/fish/completions/tidegate.fish",
    ])]
    Completions(manual::CompletionsOptions),
    /// Write the manual pages into a folder
    #[command(hide = true, after_help = examples!["tidegate man /tmp/man"])]
    Man(manual::ManOptions),
    #[cfg(not(feature = "aws"))]
    #[command(hide = true)]
    Mapping(elsewhere::ElsewhereOptions),
    #[cfg(not(feature = "aws"))]
    #[command(hide = true)]
    Doctor(elsewhere::ElsewhereOptions),
    #[cfg(not(feature = "aws"))]
    #[command(hide = true)]
    Verify(elsewhere::ElsewhereOptions),
    #[command(hide = true)]
    Function(function::FunctionOptions),
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
            Self::Erase(options) => {
                return Box::pin(erase::run(options)).await.map_err(|error| (error, UNREADABLE));
            }
            #[cfg(feature = "aws")]
            Self::Doctor(options) => {
                return Box::pin(doctor::run(options)).await.map_err(|error| (error, UNREADABLE));
            }
            #[cfg(feature = "aws")]
            Self::Verify(options) => {
                return Box::pin(verify::run(options)).await.map_err(|error| (error, UNREADABLE));
            }
            #[cfg(feature = "aws")]
            Self::Mapping(options) => mapping::run(options).await,
            #[cfg(not(feature = "aws"))]
            Self::Doctor(_) => return Err((elsewhere::missing("doctor"), UNREADABLE)),
            #[cfg(not(feature = "aws"))]
            Self::Mapping(_) => return Err((elsewhere::missing("mapping"), UNREADABLE)),
            #[cfg(not(feature = "aws"))]
            Self::Verify(_) => return Err((elsewhere::missing("verify"), UNREADABLE)),
            Self::Completions(options) => manual::completions(&options),
            Self::Man(options) => manual::pages(&options),
            Self::Local(options) => local::run(options, adapters).await,
            Self::Cat(options) => cat::run(options).await,
            Self::Config(options) => config::run(options).await,
            Self::Redrive(options) => redrive::run(options, adapters).await,
            Self::Replay(options) => replay::run(options, adapters).await,
            Self::Status(options) => return status::run(options).await.map_err(|error| (error, UNREADABLE)),
            Self::Tap(options) => Box::pin(tap::run(options)).await,
            Self::Top(options) => top::run(options).await,
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

    #[test]
    fn every_help_fits_80_columns_and_ends_with_an_example() {
        let mut all = Arguments::command().term_width(80);
        all.build();
        let subcommands = all.get_subcommands().filter(|command| !command.is_hide_set()).cloned();
        let subcommands = subcommands.filter(|command| command.get_name() != "help");
        for mut command in subcommands.chain([all.clone()]) {
            let name = command.get_name().to_owned();
            for help in [command.render_help(), command.render_long_help()].map(|help| help.to_string()) {
                let wide: Vec<_> = help.lines().filter(|line| line.chars().count() > 80).collect();
                assert!(wide.is_empty(), "{name}: {wide:#?}");
                let (_, examples) =
                    help.split_once("Examples:\n").unwrap_or_else(|| panic!("{name} has no example"));
                for example in examples.trim_end().lines() {
                    let words = example.trim().trim_start_matches("source <(").trim_end_matches(')');
                    let words = words.split([' ']).take_while(|word| ![">", "&&"].contains(word));
                    let error = Arguments::try_parse_from(words).err().filter(clap::error::Error::use_stderr);
                    assert!(error.is_none(), "{example}: {}", error.unwrap());
                }
            }
        }
    }
}
