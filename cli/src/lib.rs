//! The `tidegate` command, as a library, so that the tests run the same code with faults built in.
//!
//! It reads options and prints reports. The crates `operate`, `local` and `aws` do the work.

// They panic if the reader has closed the pipe, as `head` does. Use `terminal`.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod command;
mod open;
mod options;
mod terminal;

use std::process::ExitCode;

use clap::Parser;
use local::adapters::{Adapters, Plain};

use command::Arguments;
use terminal::note;

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    main_with(&Plain)
}

/// The same, with `adapters` between the functions and the embedded stores.
pub fn main_with(adapters: &impl Adapters) -> ExitCode {
    let command = Arguments::parse().command.unwrap_or_default();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            note(format_args!("tidegate: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(command.run(adapters));
    // A read of a socket or of stdin may still be in progress in a thread: do not wait for it.
    runtime.shutdown_background();
    ended.unwrap_or_else(|(error, code)| {
        note(format_args!("tidegate: {error:#}"));
        ExitCode::from(code)
    })
}
