//! The `tidegate` command, as a library, so that the tests run the same code with faults built in.

pub mod arguments;
pub mod doctor;
#[cfg(feature = "aws")]
mod doctor_command;
mod local_command;
#[cfg(feature = "aws")]
mod mapping_command;

use std::process::ExitCode;

use clap::Parser;
use local::adapters::{Adapters, Plain};
use local::functions::Child;

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
        Err(error) => return failed(&error.into()),
    };
    let ended = runtime.block_on(async {
        match command {
            Command::Local(options) => {
                local_command::run(options, adapters).await.map(|()| ExitCode::SUCCESS)
            }
            #[cfg(feature = "aws")]
            Command::Mapping(options) => mapping_command::run(options).await.map(|()| ExitCode::SUCCESS),
            #[cfg(feature = "aws")]
            Command::Doctor(options) => doctor_command::run(options).await,
            Command::Function { name, data, config } => {
                let child = Child { data, config_file: config };
                child.run(name.into(), adapters).await.map(|()| ExitCode::SUCCESS)
            }
        }
    });
    // A read of a socket or of stdin may still be under way in a thread: do not wait for it.
    runtime.shutdown_background();
    ended.unwrap_or_else(|error| failed(&error))
}

fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("tidegate: {error:#}");
    ExitCode::FAILURE
}
