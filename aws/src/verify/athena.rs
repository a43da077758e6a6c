//! A query over the archive: the tables of the stack find this run's events.

use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Value, json};

use super::report::{Check, Finding};
use super::site::Site;
use crate::query;

pub(super) const ATHENA: Check = Check {
    name: "athena",
    answers: "whether Athena reads the archive by the stack's tables",
    does: "queries this run's events in the stack's workgroup; under a minute, and $0.0001",
};

/// Of one query.
const QUERY: Duration = Duration::from_mins(1);
/// Until all events are archived.
const ARCHIVED: Duration = Duration::from_mins(2);

pub(super) async fn athena(site: &Site) -> anyhow::Result<Vec<Finding>> {
    site.any_event().await?;
    let sent = site.accepted().len().to_string();
    let sql = sql(site);
    let expected = format!("{sent} lines, {sent} ids");
    let mut seen = String::new();
    let counted = site.wait(ARCHIVED, Duration::from_secs(5), async || {
        seen = match rows(site, &sql).await?.as_slice() {
            // The first row is the names of the columns.
            [_, row] => format!("{} lines, {} ids", cell(row, 0), cell(row, 1)),
            rows => format!("{} rows", rows.len()),
        };
        Ok((seen == expected).then_some(()))
    });
    let is_so = counted.await?.is_some();
    Ok(vec![ATHENA.finding("this run's archive lines", expected, seen, is_so)])
}

fn sql(site: &Site) -> String {
    let from = site.begun.day_partition();
    let day = from.trim_start_matches("dt=");
    // Tenant and run have no quotes: both were parsed.
    format!(
        "SELECT count(*), count(DISTINCT id) FROM events WHERE dt >= '{day}' AND tenant = '{}' AND id LIKE '{}-%'",
        site.tenant, site.run
    )
}

fn cell(row: &Value, at: usize) -> &str {
    row["Data"][at]["VarCharValue"].as_str().unwrap_or("none")
}

async fn rows(site: &Site, sql: &str) -> anyhow::Result<Vec<Value>> {
    let archive = site.stack.archive_sql.as_ref().context("the stack has no database for Athena")?;
    let call = async |action, input: Value| query::athena(&site.sdk, action, &input).await;
    let input = json!({
        "QueryString": sql,
        "QueryExecutionContext": {"Database": archive.database},
        "WorkGroup": archive.work_group,
    });
    let started = call("StartQueryExecution", input).await?;
    let id = json!({"QueryExecutionId": started["QueryExecutionId"]});
    let done = site.wait(QUERY, Duration::from_secs(1), async || {
        let found = call("GetQueryExecution", id.clone()).await?;
        let status = &found["QueryExecution"]["Status"];
        match status["State"].as_str() {
            Some("SUCCEEDED") => Ok(Some(())),
            Some("FAILED" | "CANCELLED") => bail!("the query failed: {}", status["StateChangeReason"]),
            _ => Ok(None),
        }
    });
    done.await?.with_context(|| format!("the query did not end within {} s", QUERY.as_secs()))?;
    let results = call("GetQueryResults", id.clone()).await?;
    Ok(results["ResultSet"]["Rows"].as_array().cloned().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::super::report::Verdict;
    use super::super::tests::site;
    use super::*;

    const STARTED: &str = r#"{"QueryExecutionId":"q"}"#;
    const RUNNING: &str = r#"{"QueryExecution":{"Status":{"State":"RUNNING"}}}"#;
    const SUCCEEDED: &str = r#"{"QueryExecution":{"Status":{"State":"SUCCEEDED"}}}"#;
    const FAILED: &str =
        r#"{"QueryExecution":{"Status":{"State":"FAILED","StateChangeReason":"HIVE_BAD_DATA"}}}"#;

    macro_rules! counted {
        ($lines:literal) => {
            concat!(
                r#"{"ResultSet":{"Rows":[{"Data":[{"VarCharValue":"_col0"},{"VarCharValue":"_col1"}]},{"Data":[{"VarCharValue":""#,
                $lines,
                r#""},{"VarCharValue":"1"}]}]}}"#
            )
        };
    }

    #[tokio::test(start_paused = true)]
    async fn a_query_is_repeated_until_it_counts_the_events_of_the_run() {
        let none = [STARTED, SUCCEEDED, counted!("0")];
        let one = [STARTED, RUNNING, SUCCEEDED, counted!("1")];
        let (site, requests) = site(&[&none[..], &one].concat()).await;
        site.accepted().push("verify-1-a".to_owned());
        let [finding] = &athena(&site).await.unwrap()[..] else { panic!() };
        assert_eq!((finding.verdict, finding.seen.as_str()), (Verdict::AsDocumented, "1 lines, 1 ids"));
        let first = requests.actual_requests().nth(super::super::tests::OPENED).unwrap();
        let input: Value = serde_json::from_slice(first.body().bytes().unwrap()).unwrap();
        assert_eq!(first.headers().get("x-amz-target"), Some("AmazonAthena.StartQueryExecution"));
        assert_eq!(
            (&input["WorkGroup"], &input["QueryExecutionContext"]["Database"]),
            (&json!("group"), &json!("tidegate_dev"))
        );
        let sql = input["QueryString"].as_str().unwrap();
        assert!(sql.contains("tenant = 'verify-tidegate' AND id LIKE 'verify-2"), "{sql}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_query_that_fails_says_why() {
        let (site, _) = site(&[STARTED, FAILED]).await;
        site.accepted().push("verify-1-a".to_owned());
        let error = athena(&site).await.unwrap_err().to_string();
        assert!(error.contains("HIVE_BAD_DATA"), "{error}");
    }
}
