//! The binary at start: an error that stops it before it calls AWS must be found by filtering the log for errors.

#![cfg(feature = "aws")]
use shared::at_start::{WRONG, refuses};

const BINARY: &str = env!("CARGO_BIN_EXE_dispatch-fn");

#[test]
fn what_is_wrong_is_found_before_the_first_event() {
    for (name, value, named) in WRONG {
        refuses(BINARY, &[(name, value)], named);
    }
}

#[test]
fn a_variable_that_is_missing_is_one_line_of_json_that_names_it() {
    refuses(BINARY, &[], "TIDEGATE_ITEMS_TABLE");
}
