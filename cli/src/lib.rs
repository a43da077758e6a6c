//! The `tidegate` command, as a library, so that the tests run the same code with faults built in.
//!
//! It reads options and prints reports. The crates `operate`, `local` and `aws` do the work.

// They panic if the reader has closed the pipe, as `head` does. Use `terminal`.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod command;
mod http;
mod open;
mod options;
mod terminal;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use local::adapters::{Adapters, Plain};
use shared::environment::COMMAND;

use command::Arguments;
use terminal::note;

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    main_with(&Plain)
}

/// The same, with `adapters` between the functions and the embedded stores.
pub fn main_with(adapters: &impl Adapters) -> ExitCode {
    let command = Arguments::parse_from(typed(std::env::args_os(), std::env::var_os(COMMAND))).command;
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

/// What was typed. If that is the program alone, with the command that the variable names.
fn typed(typed: impl IntoIterator<Item = OsString>, command: Option<OsString>) -> Vec<OsString> {
    let mut typed: Vec<_> = typed.into_iter().collect();
    if typed.len() <= 1 {
        typed.extend(command.filter(|command| !command.is_empty()));
    }
    typed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_alone_prints_its_help_unless_cargo_runs_it() {
        let check = |words: &[&str], variable: Option<&str>| {
            let words = words.iter().map(OsString::from);
            Arguments::try_parse_from(typed(words, variable.map(OsString::from)))
        };
        for variable in [None, Some("")] {
            let help = check(&["tidegate"], variable).unwrap_err().to_string();
            assert!(help.contains("Usage: tidegate <COMMAND>"), "{help}");
        }
        assert!(matches!(check(&["tidegate"], Some("local")).unwrap().command, command::Command::Local(_)));
        let config = check(&["tidegate", "config"], Some("local")).unwrap().command;
        assert!(matches!(config, command::Command::Config(_)));
        let cargo = include_str!("../../.cargo/config.toml");
        assert!(cargo.contains(&format!("\n{COMMAND} = \"local\"\n")), "{cargo}");
    }
}
