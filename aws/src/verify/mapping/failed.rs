//! The layout of an object at the failure destination, which `redrive`, `audit` and `trace` read.

use operate::failed_batch::failed_batch;
use serde_json::Value;

use super::super::probe::FailedObject;
use super::super::report::{Check, Finding};

/// What is expected of a failed batch of one record.
pub(super) struct Layout<'a> {
    /// Of the mapping.
    pub(super) mapping: &'a str,
    pub(super) condition: &'a str,
    pub(super) invocations: u64,
    pub(super) has_response: bool,
}

pub(super) fn layout(check: &Check, object: Option<&FailedObject>, expected: &Layout<'_>) -> Vec<Finding> {
    let Some(FailedObject { key, bytes }) = object else {
        let nothing = "nothing within the time limit";
        return vec![check.finding(
            "the failed batch",
            format_args!("saved, {}", expected.condition),
            nothing,
            false,
        )];
    };
    let json: Value = serde_json::from_slice(bytes).unwrap_or_default();
    let request = &json["requestContext"];
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let response = if json["responseContext"].is_object() { "there" } else { "absent" };
    vec![
        check.equals(
            "condition of the failed batch",
            expected.condition,
            text(&request["condition"]).as_str(),
        ),
        check.equals(
            "approximateInvokeCount",
            expected.invocations.to_string(),
            request["approximateInvokeCount"].to_string(),
        ),
        check.equals("responseContext", if expected.has_response { "there" } else { "absent" }, response),
        payload(check, &json["payload"], bytes),
        check.finding(
            "key of the failed batch",
            format_args!("aws/lambda/{}/SHARD/YYYY/MM/DD/YYYY-MM-DDTHH.MM.SS-RANDOM", expected.mapping),
            key,
            is_key(key, expected.mapping),
        ),
    ]
}

/// Documented is a text. Recorded on AWS may have been the object itself. Both are read.
fn payload(check: &Check, payload: &Value, object: &[u8]) -> Finding {
    let kind = match payload {
        Value::String(_) => "a text",
        Value::Object(_) => "an object",
        _ => "neither text nor object",
    };
    let read = failed_batch(object);
    let seen = match &read {
        Ok(_) => format!("{kind}, and it is read"),
        Err(error) => format!("{kind}, and it cannot be read: {error:#}"),
    };
    check.finding("payload of the failed batch", "a text or an object, and it is read", seen, read.is_ok())
}

/// `aws/lambda/{mapping}/{shard}/YYYY/MM/DD/YYYY-MM-DDTHH.MM.SS-{random}`.
fn is_key(key: &str, mapping: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let Some(rest) = key.strip_prefix(&format!("aws/lambda/{mapping}/")) else { return false };
    let [shard, year, month, day, name] = rest.split('/').collect::<Vec<_>>()[..] else { return false };
    let date = format!("{year}-{month}-{day}T");
    let Some((time, random)) = name.strip_prefix(&date).and_then(|rest| rest.split_once('-')) else {
        return false;
    };
    shard.starts_with("shardId-")
        && digits(year)
        && digits(month)
        && digits(day)
        && time.split('.').count() == 3
        && time.split('.').all(digits)
        && !random.is_empty()
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::super::super::report::Verdict;
    use super::*;

    pub(in super::super) const MAPPING: &str = "346013ab-052a-45ca-bf40-8cd5d1ab8110";

    /// As it was documented and recorded, with the payload as text.
    pub(in super::super) fn object(condition: &str, invocations: u64, has_response: bool) -> FailedObject {
        let event = json!({"Records": [{
            "kinesis": {"sequenceNumber": "7", "data": "Y3Jhc2g=", "approximateArrivalTimestamp": 1.5},
            "eventID": "shardId-000000000000:7",
        }]});
        let mut json = json!({
            "requestContext": {"condition": condition, "approximateInvokeCount": invocations},
            "payload": event.to_string(),
        });
        if has_response {
            json["responseContext"] = json!({"statusCode": 200});
        }
        let key =
            format!("aws/lambda/{MAPPING}/shardId-000000000000/2026/11/28/2026-11-28T05.35.52-348c5e7b-ae08");
        FailedObject { key, bytes: json.to_string().into_bytes() }
    }

    const CHECK: Check = Check { name: "retries", answers: "", does: "" };

    fn differing(object: Option<&FailedObject>) -> Vec<String> {
        let expected = Layout {
            mapping: MAPPING,
            condition: "RetryAttemptsExhausted",
            invocations: 3,
            has_response: true,
        };
        let findings = layout(&CHECK, object, &expected);
        findings
            .into_iter()
            .filter(|found| found.verdict == Verdict::Differs)
            .map(|found| found.what)
            .collect()
    }

    #[test]
    fn a_failed_batch_is_as_documented_with_its_payload_as_text_or_object() {
        let documented = object("RetryAttemptsExhausted", 3, true);
        assert!(differing(Some(&documented)).is_empty());
        let mut json: Value = serde_json::from_slice(&documented.bytes).unwrap();
        json["payload"] = serde_json::from_str(json["payload"].as_str().unwrap()).unwrap();
        let bytes = json.to_string().into_bytes();
        assert!(differing(Some(&FailedObject { bytes, ..documented })).is_empty());
    }

    #[test]
    fn each_part_that_differs_is_named() {
        let other = object("RecordAgeExceeded", 1, false);
        let expected = ["condition of the failed batch", "approximateInvokeCount", "responseContext"];
        assert_eq!(differing(Some(&other)), expected);
        let documented = object("RetryAttemptsExhausted", 3, true);
        let elsewhere = FailedObject { key: documented.key.replace("T05.35.52", "T05:35:52"), ..documented };
        assert_eq!(differing(Some(&elsewhere)), ["key of the failed batch"]);
        assert_eq!(differing(None), ["the failed batch"]);
    }
}
