//! The `tidegate` command, as a library, so that the tests run the same code with faults built in.

pub mod archive;
pub mod arguments;
mod audit;
mod cat;
pub mod deployment;
pub mod doctor;
#[cfg(feature = "aws")]
mod doctor_command;
pub mod kept;
mod local_command;
#[cfg(feature = "aws")]
mod mapping_command;
mod pace;
mod progress;
mod redrive;
mod replay;

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use local::adapters::{Adapters, Plain};
use local::functions::Function;
use shared::config::Config;

use arguments::{Arguments, Command};

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    main_with(&Plain)
}

/// The same, with something between the functions and the embedded adapters.
pub fn main_with(adapters: &impl Adapters) -> ExitCode {
    let command = Arguments::parse().command.unwrap_or_default();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("tidegate: {error}");
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(async {
        match command {
            Command::Local(options) => done(local_command::run(options, adapters).await),
            // A script must tell books that do not balance, or a finding, from what could not be read.
            Command::Audit(options) => audit::run(options).await.map_err(|error| (error, UNREACHABLE)),
            Command::Cat(options) => done(cat::run(options).await),
            Command::Redrive(options) => done(redrive::run(options, adapters).await),
            Command::Replay(options) => done(replay::run(options, adapters).await),
            #[cfg(feature = "aws")]
            Command::Mapping(options) => done(mapping_command::run(options).await),
            #[cfg(feature = "aws")]
            Command::Doctor(options) => {
                doctor_command::run(options).await.map_err(|error| (error, UNREACHABLE))
            }
            Command::Function { name, data, config } => {
                done(Function::from(name).run(&data, config.as_deref(), adapters).await)
            }
        }
    });
    // A read of a socket or of stdin may still be under way in a thread: do not wait for it.
    runtime.shutdown_background();
    ended.unwrap_or_else(|(error, code)| {
        eprintln!("tidegate: {error:#}");
        ExitCode::from(code)
    })
}

/// The exit code of most failures, of an audit whose books do not balance, of a doctor who found something.
const FAILED: u8 = 1;
/// The exit code where an audit or a doctor could not read what they are asked about; and of wrong arguments.
const UNREACHABLE: u8 = 2;

fn done(ended: anyhow::Result<()>) -> Result<ExitCode, (anyhow::Error, u8)> {
    ended.map(|()| ExitCode::SUCCESS).map_err(|error| (error, FAILED))
}

/// Prints to stdout; whoever reads may have had enough.
fn print(bytes: &[u8]) -> anyhow::Result<()> {
    match std::io::stdout().write_all(bytes) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("stdout"),
        _ => Ok(()),
    }
}

/// The configuration in `file`, else in `tidegate.toml` if there is one here, with the environment over it.
fn config(file: Option<&Path>) -> anyhow::Result<Config> {
    Ok(shared::config::load_here(config_file(file).as_deref())?)
}

fn config_file(named: Option<&Path>) -> Option<PathBuf> {
    let here = Path::new("tidegate.toml");
    named.or_else(|| here.exists().then_some(here)).map(Path::to_owned)
}
