//! `tidegate`, with faults between the functions and the embedded adapters: the process that the integration tests
//! start. Without faults it is `tidegate` to the letter.

mod faults;
mod faulty;

use std::process::ExitCode;

fn main() -> ExitCode {
    match faults::Faults::from_environment() {
        Ok(faults) => tidegate::main_with(&faulty::FaultyAdapters(faults)),
        Err(error) => {
            eprintln!("tidegate-with-faults: {error}");
            ExitCode::FAILURE
        }
    }
}
