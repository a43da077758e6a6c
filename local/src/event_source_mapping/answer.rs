//! Reads a function's response to its batch when `ReportBatchItemFailures` is on.
//!
//! The cases are those of
//! <https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html>. That page does not
//! mention a response of another shape, or a number that is not in the batch. Both count as a failed batch, which is
//! the safe reading.

use std::collections::HashSet;

use serde_json::Value;

use super::ports::RetainedRecord;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum BatchAnswer {
    /// All records are done.
    Processed,
    /// The records before this index are done, the others are not. The lowest number in the list counts.
    FailedFrom(usize),
    /// No record counts as done, for this reason.
    Failed(String),
}

/// Reads the response to a batch of `records`, which are in the order of their sequence numbers.
pub(super) fn read(response: &[u8], records: &[RetainedRecord]) -> BatchAnswer {
    if response.trim_ascii().is_empty() {
        return BatchAnswer::Processed;
    }
    let response: Value = match serde_json::from_slice(response) {
        Ok(value) => value,
        Err(error) => return BatchAnswer::Failed(format!("the response is not JSON: {error}")),
    };
    match &response {
        Value::Null => BatchAnswer::Processed,
        Value::String(text) if text.is_empty() => BatchAnswer::Processed,
        Value::Array(items) if items.is_empty() => BatchAnswer::Processed,
        Value::Object(members) if members.is_empty() => BatchAnswer::Processed,
        Value::Object(members) => match members.get("batchItemFailures") {
            Some(Value::Null) => BatchAnswer::Processed,
            Some(Value::Array(failures)) => lowest(failures, records),
            _ => BatchAnswer::Failed("the response has no list `batchItemFailures`".to_owned()),
        },
        _ => BatchAnswer::Failed("the response is neither empty nor an object".to_owned()),
    }
}

fn lowest(failures: &[Value], records: &[RetainedRecord]) -> BatchAnswer {
    let mut reported = HashSet::with_capacity(failures.len());
    for failure in failures {
        match failure.get("itemIdentifier").and_then(Value::as_str) {
            Some(identifier) if !identifier.is_empty() => reported.insert(identifier),
            _ => return BatchAnswer::Failed(format!("`{failure}` has no `itemIdentifier`")),
        };
    }
    let mut first = None;
    for (index, record) in records.iter().enumerate() {
        if reported.remove(record.sequence_number.as_str()) {
            first = first.or(Some(index));
        }
    }
    match (first, reported.iter().next()) {
        (_, Some(unknown)) => {
            BatchAnswer::Failed(format!("`itemIdentifier` `{unknown}` is not in the batch"))
        }
        (Some(index), None) => BatchAnswer::FailedFrom(index),
        (None, None) => BatchAnswer::Processed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_source_mapping::tests::record;

    /// The batch is 9, 10, 11: sorted as text, the order would be different.
    fn check(response: &str, expected: &BatchAnswer) {
        let batch = [record(9), record(10), record(11)];
        assert_eq!(read(response.as_bytes(), &batch), *expected, "{response}");
    }

    fn check_failed(response: &str) {
        let batch = [record(9), record(10), record(11)];
        assert!(matches!(read(response.as_bytes(), &batch), BatchAnswer::Failed(_)), "{response}");
    }

    #[test]
    fn an_empty_or_null_response_or_list_is_a_success() {
        for response in [
            "",
            "  ",
            "null",
            "\"\"",
            "[]",
            "{}",
            r#"{"batchItemFailures":[]}"#,
            r#"{"batchItemFailures":null}"#,
        ] {
            check(response, &BatchAnswer::Processed);
        }
    }

    #[test]
    fn the_lowest_number_counts_and_not_the_first_in_the_list_or_as_text() {
        check(r#"{"batchItemFailures":[{"itemIdentifier":"11"}]}"#, &BatchAnswer::FailedFrom(2));
        check(
            r#"{"batchItemFailures":[{"itemIdentifier":"11"},{"itemIdentifier":"10"}]}"#,
            &BatchAnswer::FailedFrom(1),
        );
        check(
            r#"{"batchItemFailures":[{"itemIdentifier":"10"},{"itemIdentifier":"9"}]}"#,
            &BatchAnswer::FailedFrom(0),
        );
        check(
            r#"{"batchItemFailures":[{"itemIdentifier":"10"},{"itemIdentifier":"10"}]}"#,
            &BatchAnswer::FailedFrom(1),
        );
    }

    #[test]
    fn an_empty_or_null_identifier_or_a_wrong_key_fails_the_whole_batch() {
        check_failed(r#"{"batchItemFailures":[{"itemIdentifier":""}]}"#);
        check_failed(r#"{"batchItemFailures":[{"itemIdentifier":null}]}"#);
        check_failed(r#"{"batchItemFailures":[{"itemIdentifier":10}]}"#);
        check_failed(r#"{"batchItemFailures":[{"foo":"10"}]}"#);
        check_failed(r#"{"batchItemFailures":[{"itemIdentifier":"10"},{"itemIdentifier":""}]}"#);
    }

    #[test]
    fn an_identifier_outside_the_batch_fails_the_whole_batch() {
        check_failed(r#"{"batchItemFailures":[{"itemIdentifier":"8"}]}"#);
        check_failed(r#"{"batchItemFailures":[{"itemIdentifier":"10"},{"itemIdentifier":"12"}]}"#);
    }

    #[test]
    fn a_response_of_another_shape_fails_the_whole_batch() {
        check_failed("not json");
        check_failed("\"done\"");
        check_failed("[1]");
        check_failed("true");
        check_failed(r#"{"statusCode":200}"#);
        check_failed(r#"{"batchItemFailures":"10"}"#);
        check_failed(r#"{"batchItemFailures":["10"]}"#);
    }
}
