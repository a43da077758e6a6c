//! What a function's response says about its batch, when `ReportBatchItemFailures` is on.
//!
//! The cases are the documented ones
//! (<https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html>). Where that page is
//! silent (a response that is not of this shape, a number that is not in the batch) we take the safe side: the
//! batch failed.

use std::collections::HashSet;

use serde_json::Value;

use super::ports::Record;

/// What became of a batch.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// All of it is done.
    Processed,
    /// The records before this index are done, the others are not. The lowest number returned counts, wherever it
    /// stands in the list.
    FailedFrom(usize),
    /// None of it counts as done, for this reason.
    Failed(String),
}

/// Reads the response to a batch of `records`, which are in the order of their sequence numbers.
pub(super) fn judge(response: &[u8], records: &[Record]) -> Verdict {
    if response.trim_ascii().is_empty() {
        return Verdict::Processed;
    }
    let response: Value = match serde_json::from_slice(response) {
        Ok(value) => value,
        Err(error) => return Verdict::Failed(format!("the response is not JSON: {error}")),
    };
    match &response {
        Value::Null => Verdict::Processed,
        Value::String(text) if text.is_empty() => Verdict::Processed,
        Value::Array(items) if items.is_empty() => Verdict::Processed,
        Value::Object(members) if members.is_empty() => Verdict::Processed,
        Value::Object(members) => match members.get("batchItemFailures") {
            Some(Value::Null) => Verdict::Processed,
            Some(Value::Array(failures)) => lowest(failures, records),
            _ => Verdict::Failed("the response has no list `batchItemFailures`".to_owned()),
        },
        _ => Verdict::Failed("the response is neither empty nor an object".to_owned()),
    }
}

fn lowest(failures: &[Value], records: &[Record]) -> Verdict {
    let mut reported = HashSet::with_capacity(failures.len());
    for failure in failures {
        match failure.get("itemIdentifier").and_then(Value::as_str) {
            Some(identifier) if !identifier.is_empty() => reported.insert(identifier),
            _ => return Verdict::Failed(format!("`{failure}` names no `itemIdentifier`")),
        };
    }
    let mut first = None;
    for (index, record) in records.iter().enumerate() {
        if reported.remove(record.sequence_number.as_str()) {
            first = first.or(Some(index));
        }
    }
    match (first, reported.iter().next()) {
        (_, Some(stranger)) => Verdict::Failed(format!("`itemIdentifier` `{stranger}` is not in the batch")),
        (Some(index), None) => Verdict::FailedFrom(index),
        (None, None) => Verdict::Processed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_source_mapping::tests::record;

    /// The batch is numbered 9, 10, 11: in another order as text than as numbers.
    fn check(response: &str, expected: &Verdict) {
        let batch = [record(9), record(10), record(11)];
        assert_eq!(judge(response.as_bytes(), &batch), *expected, "{response}");
    }

    fn check_failed(response: &str) {
        let batch = [record(9), record(10), record(11)];
        assert!(matches!(judge(response.as_bytes(), &batch), Verdict::Failed(_)), "{response}");
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
            check(response, &Verdict::Processed);
        }
    }

    #[test]
    fn the_lowest_returned_number_counts_by_value_not_by_text_or_place() {
        check(r#"{"batchItemFailures":[{"itemIdentifier":"11"}]}"#, &Verdict::FailedFrom(2));
        check(
            r#"{"batchItemFailures":[{"itemIdentifier":"11"},{"itemIdentifier":"10"}]}"#,
            &Verdict::FailedFrom(1),
        );
        check(
            r#"{"batchItemFailures":[{"itemIdentifier":"10"},{"itemIdentifier":"9"}]}"#,
            &Verdict::FailedFrom(0),
        );
        check(
            r#"{"batchItemFailures":[{"itemIdentifier":"10"},{"itemIdentifier":"10"}]}"#,
            &Verdict::FailedFrom(1),
        );
    }

    #[test]
    fn an_empty_or_null_identifier_or_a_wrong_key_is_a_complete_failure() {
        check_failed(r#"{"batchItemFailures":[{"itemIdentifier":""}]}"#);
        check_failed(r#"{"batchItemFailures":[{"itemIdentifier":null}]}"#);
        check_failed(r#"{"batchItemFailures":[{"itemIdentifier":10}]}"#);
        check_failed(r#"{"batchItemFailures":[{"foo":"10"}]}"#);
        check_failed(r#"{"batchItemFailures":[{"itemIdentifier":"10"},{"itemIdentifier":""}]}"#);
    }

    #[test]
    fn an_identifier_outside_the_batch_is_a_complete_failure() {
        check_failed(r#"{"batchItemFailures":[{"itemIdentifier":"8"}]}"#);
        check_failed(r#"{"batchItemFailures":[{"itemIdentifier":"10"},{"itemIdentifier":"12"}]}"#);
    }

    #[test]
    fn a_response_of_another_shape_is_a_complete_failure() {
        check_failed("not json");
        check_failed("\"done\"");
        check_failed("[1]");
        check_failed("true");
        check_failed(r#"{"statusCode":200}"#);
        check_failed(r#"{"batchItemFailures":"10"}"#);
        check_failed(r#"{"batchItemFailures":["10"]}"#);
    }
}
