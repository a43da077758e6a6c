//! `tidegate`, with faults between the functions and the embedded adapters: the process that the integration tests
//! start. Without faults it is `tidegate` to the letter.

mod faults;
mod faulty;
mod late;

use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(data) = std::env::var_os(late::VARIABLE) {
        late::Late::land(data.as_ref());
        return ExitCode::SUCCESS;
    }
    match faults::Faults::from_environment() {
        Ok(faults) => tidegate::main_with(&faulty::FaultyAdapters(faults)),
        Err(error) => {
            eprintln!("tidegate-with-faults: {error}");
            ExitCode::FAILURE
        }
    }
}
