//! Reads a function's response to a batch of messages when `ReportBatchItemFailures` is on. The cases are those of
//! <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html>. In all other cases the batch failed,
//! which is the safe reading.

use std::collections::HashSet;

use serde::Deserialize;

use crate::embedded::Received;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct QueueAnswer {
    batch_item_failures: Option<Vec<FailedMessage>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FailedMessage {
    item_identifier: String,
}

/// The ids of the messages that are done, or the reason why the batch failed.
pub(super) fn done(response: &[u8], batch: &[Received]) -> Result<Vec<String>, String> {
    let failures = match response.trim_ascii() {
        b"" | b"null" | b"{}" => Vec::new(),
        json => {
            let response: QueueAnswer = serde_json::from_slice(json)
                .map_err(|error| format!("the response cannot be read: {error}"))?;
            response.batch_item_failures.unwrap_or_default()
        }
    };
    let failed: HashSet<_> = failures.iter().map(|failure| failure.item_identifier.as_str()).collect();
    if let Some(unknown) = failed.iter().find(|id| batch.iter().all(|message| message.id != **id)) {
        return Err(format!("`itemIdentifier` `{unknown}` is not in the batch"));
    }
    let ids = batch.iter().map(|message| message.id.clone());
    Ok(ids.filter(|id| !failed.contains(id.as_str())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(response: &str, expected: Option<&[&str]>) {
        let batch =
            ["1", "2"].map(|id| Received { id: id.to_owned(), body: String::new(), receives: 1, sent_ms: 0 });
        let done = done(response.as_bytes(), &batch).ok();
        assert_eq!(done, expected.map(|ids| ids.iter().map(|&id| id.to_owned()).collect()), "{response}");
    }

    #[test]
    fn an_empty_or_null_response_or_list_means_that_all_messages_are_done() {
        for response in ["", "null", "{}", r#"{"batchItemFailures":[]}"#, r#"{"batchItemFailures":null}"#] {
            check(response, Some(&["1", "2"]));
        }
    }

    #[test]
    fn only_the_reported_messages_failed() {
        check(r#"{"batchItemFailures":[{"itemIdentifier":"2"}]}"#, Some(&["1"]));
    }

    #[test]
    fn an_empty_or_null_identifier_a_wrong_key_or_no_json_fails_the_whole_batch() {
        for response in [
            r#"{"batchItemFailures":[{"itemIdentifier":""}]}"#,
            r#"{"batchItemFailures":[{"itemIdentifier":null}]}"#,
            r#"{"batchItemFailures":[{"bad":"1"}]}"#,
            r#"{"batchItemFailures":[{"itemIdentifier":"3"}]}"#,
            "not json",
        ] {
            check(response, None);
        }
    }
}
