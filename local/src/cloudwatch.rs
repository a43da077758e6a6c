//! Reads the metric documents that the functions print (Embedded Metric Format) into this process's metrics, as
//! CloudWatch does on AWS.

use serde_json::Value;
use shared::metric::Metric;

/// Takes one line of a function's output, and passes on what its sums add. Returns whether it was a metric document.
pub fn take(line: &str, added: impl Fn(Metric, usize)) -> bool {
    if !line.starts_with("{\"_aws\"") {
        return false;
    }
    let Ok(Value::Object(document)) = serde_json::from_str(line) else { return false };
    for (name, value) in &document {
        if let Some(metric) = Metric::named(name) {
            record(metric, value, &added);
        }
    }
    true
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "metrics are whole and not negative"
)]
fn record(metric: Metric, value: &Value, added: impl Fn(Metric, usize)) {
    let single = std::slice::from_ref(value);
    for number in value.as_array().map_or(single, Vec::as_slice).iter().filter_map(Value::as_f64) {
        if metric.is_distribution() {
            metric.record(number as u64);
        } else {
            metric.add(number as usize);
            added(metric, number as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_not_a_metric_document_is_not_taken() {
        let none = |_, _| panic!("no metric");
        assert!(!take("hello", none));
        assert!(!take("{\"level\":\"info\"}", none));
        let seen = std::cell::Cell::new(0);
        let document = "{\"_aws\":{},\"EventsStored\":3,\"Freshness\":[1.0,2.0]}";
        assert!(take(document, |metric, amount| {
            assert_eq!(metric, Metric::EventsStored);
            seen.set(amount);
        }));
        assert_eq!(seen.get(), 3);
    }
}
