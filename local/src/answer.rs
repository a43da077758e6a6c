//! Reads a function's response to a batch when `ReportBatchItemFailures` is on, for both mappings.
//!
//! The cases are those of
//! <https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html> and
//! <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html>, which agree. The first page does not
//! mention a response of another shape, or a number that is not in the batch. Both count as a failed batch, which is
//! the safe reading.

use std::collections::HashSet;

use serde_json::{Value, json};

/// Returns the identifiers of `batch` that the function reports as failed. An error says why the whole batch failed.
pub(crate) fn failures<'a>(
    response: &[u8],
    batch: impl Iterator<Item = &'a str>,
) -> Result<HashSet<&'a str>, String> {
    let response = match response.trim_ascii() {
        b"" => Value::Null,
        json => serde_json::from_slice(json).map_err(|error| format!("the response is not JSON: {error}"))?,
    };
    let failures = match response.get("batchItemFailures") {
        Some(Value::Array(failures)) => failures.as_slice(),
        Some(Value::Null) => &[],
        None if [json!(null), json!(""), json!([]), json!({})].contains(&response) => &[],
        _ => return Err("the response has no list `batchItemFailures`".to_owned()),
    };
    let batch: HashSet<_> = batch.collect();
    let find = |failure: &Value| {
        let identifier = failure.get("itemIdentifier").and_then(Value::as_str);
        let identifier = identifier.ok_or_else(|| format!("`{failure}` has no `itemIdentifier`"))?;
        let found = batch.get(identifier).copied();
        found.ok_or_else(|| format!("`itemIdentifier` `{identifier}` is not in the batch"))
    };
    failures.iter().map(find).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(response: &str, expected: Option<&[&str]>) {
        let failed = failures(response.as_bytes(), ["9", "10", "11"].into_iter()).ok();
        assert_eq!(failed, expected.map(|ids| ids.iter().copied().collect()), "{response}");
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
            check(response, Some(&[]));
        }
    }

    #[test]
    fn only_the_reported_records_failed() {
        check(r#"{"batchItemFailures":[{"itemIdentifier":"10"}]}"#, Some(&["10"]));
        check(
            r#"{"batchItemFailures":[{"itemIdentifier":"10"},{"itemIdentifier":"9"}]}"#,
            Some(&["10", "9"]),
        );
        check(r#"{"batchItemFailures":[{"itemIdentifier":"10"},{"itemIdentifier":"10"}]}"#, Some(&["10"]));
    }

    #[test]
    fn an_empty_or_null_identifier_or_a_wrong_key_fails_the_whole_batch() {
        check(r#"{"batchItemFailures":[{"itemIdentifier":""}]}"#, None);
        check(r#"{"batchItemFailures":[{"itemIdentifier":null}]}"#, None);
        check(r#"{"batchItemFailures":[{"itemIdentifier":10}]}"#, None);
        check(r#"{"batchItemFailures":[{"foo":"10"}]}"#, None);
        check(r#"{"batchItemFailures":[{"itemIdentifier":"10"},{"itemIdentifier":""}]}"#, None);
    }

    #[test]
    fn an_identifier_outside_the_batch_fails_the_whole_batch() {
        check(r#"{"batchItemFailures":[{"itemIdentifier":"8"}]}"#, None);
        check(r#"{"batchItemFailures":[{"itemIdentifier":"10"},{"itemIdentifier":"12"}]}"#, None);
    }

    #[test]
    fn a_response_of_another_shape_fails_the_whole_batch() {
        check("not json", None);
        check("\"done\"", None);
        check("[1]", None);
        check("true", None);
        check(r#"{"statusCode":200}"#, None);
        check(r#"{"batchItemFailures":"10"}"#, None);
        check(r#"{"batchItemFailures":["10"]}"#, None);
    }
}
