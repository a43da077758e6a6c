//! `tidegate`, with faults between the functions and the embedded adapters. The integration tests start this program.
//! Without planned faults it is the same as `tidegate`.

mod faults;
mod faulty;
mod late;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

/// The variable that names a file. When the file exists, a thread panics.
const PANIC: &str = "TIDEGATE_TEST_PANIC";

fn main() -> ExitCode {
    if let Some(data) = std::env::var_os(late::VARIABLE) {
        late::LateEffect::land(data.as_ref());
        return ExitCode::SUCCESS;
    }
    if let Some(file) = std::env::var_os(PANIC) {
        std::thread::spawn(move || panic_at(file.as_ref()));
    }
    match faults::FaultPlan::from_environment() {
        Ok(faults) => tidegate::main_with(&faulty::FaultyAdapters(faults)),
        Err(error) => {
            eprintln!("tidegate-with-faults: {error}");
            ExitCode::FAILURE
        }
    }
}

fn panic_at(file: &Path) {
    while !file.exists() {
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("as the test asks");
}
