//! The binary at start: an error that stops it before it calls AWS must be found by filtering the log for errors.

#![cfg(feature = "aws")]
use shared::at_start::{WRONG, refuses};

const BINARY: &str = env!("CARGO_BIN_EXE_consumer-fn");

#[test]
fn a_configuration_that_is_refused_is_one_line_of_json_that_names_the_key() {
    refuses(BINARY, &[("TIDEGATE__LIMITS__BATCH_BYTES", "many")], "limits.batch_bytes");
    refuses(BINARY, &[("TIDEGATE__TRANSFORM__STEPS", "[\"nonsense\"]")], "transform.steps");
}

#[test]
fn what_is_wrong_is_found_before_the_first_batch() {
    for (name, value, named) in WRONG {
        refuses(BINARY, &[(name, value)], named);
    }
}

#[test]
fn a_variable_that_is_missing_is_one_line_of_json_that_names_it() {
    refuses(BINARY, &[], "TIDEGATE_ITEMS_TABLE");
}
