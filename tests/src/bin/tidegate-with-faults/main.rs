//! `tidegate`, with faults between the functions and the embedded adapters. The integration tests start this program.
//! Without planned faults it is the same as `tidegate`.

mod faults;
mod faulty;
mod late;

use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(data) = std::env::var_os(late::VARIABLE) {
        late::LateEffect::land(data.as_ref());
        return ExitCode::SUCCESS;
    }
    match faults::FaultPlan::from_environment() {
        Ok(faults) => tidegate::main_with(&faulty::FaultyAdapters(faults)),
        Err(error) => {
            eprintln!("tidegate-with-faults: {error}");
            ExitCode::FAILURE
        }
    }
}
