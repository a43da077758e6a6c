//! The `tidegate` command, as a library, so that the tests run the same code with faults built in.
//!
//! Each command is a file: its options, and what it prints. What a command does is in the crates `operate`, `local` and
//! `aws`.

mod arguments;
mod audit;
mod cat;
mod deployment;
#[cfg(feature = "aws")]
mod doctor;
mod function;
mod local;
#[cfg(feature = "aws")]
mod mapping;
mod options;
mod redrive;
mod replay;
mod terminal;

use std::process::ExitCode;

use ::local::adapters::{Adapters, Plain};
use clap::Parser;

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
            Command::Local(options) => done(local::run(options, adapters).await),
            Command::Audit(options) => audit::run(options).await.map_err(|error| (error, UNREADABLE)),
            Command::Cat(options) => done(cat::run(options).await),
            Command::Redrive(options) => done(redrive::run(options, adapters).await),
            Command::Replay(options) => done(replay::run(options, adapters).await),
            #[cfg(feature = "aws")]
            Command::Mapping(options) => done(mapping::run(options).await),
            #[cfg(feature = "aws")]
            Command::Doctor(options) => doctor::run(options).await.map_err(|error| (error, UNREADABLE)),
            Command::Function(options) => done(function::run(options, adapters).await),
        }
    });
    // A read of a socket or of stdin may still be in progress in a thread: do not wait for it.
    runtime.shutdown_background();
    ended.unwrap_or_else(|(error, code)| {
        eprintln!("tidegate: {error:#}");
        ExitCode::from(code)
    })
}

/// The exit code of most failures, and of an audit or a doctor with findings.
const FAILED: u8 = 1;
/// The exit code of an audit or a doctor that could not read its data, so that a script can tell this from findings.
/// Wrong arguments have it too.
const UNREADABLE: u8 = 2;

fn done(ended: anyhow::Result<()>) -> Result<ExitCode, (anyhow::Error, u8)> {
    ended.map(|()| ExitCode::SUCCESS).map_err(|error| (error, FAILED))
}
