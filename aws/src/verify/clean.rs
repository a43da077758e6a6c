//! Deletes what runs have made: the probes' stacks, items, and quarantine objects. It looks for them by their names, so it also
//! finds what a killed run has left. Archive lines stay.

use std::time::Duration;

use anyhow::Context;
use aws_sdk_dynamodb::types::AttributeValue;
use operate::deployment::Deployment;
use serde::Deserialize;
use shared::format::key::{PARTITION_ATTRIBUTE, QUARANTINE, SORT_ATTRIBUTE, item_partition, item_sort};
use shared::format::quarantine_line::QuarantineLine;
use shared::id::EventId;
use shared::objects::ObjectStore;

use super::probe::stack_name;
use super::site::{MARK, Site};
use crate::error::described;
use crate::query::{Members, Service, call, order, pages};
use crate::stack;

const DELETED: Duration = Duration::from_mins(10);
const BETWEEN: Duration = Duration::from_secs(5);
/// A quarantine object with one of our records has a few hundred bytes. Larger ones are not read.
const MOST_BYTES: u64 = 10_000;

/// What runs have left: this one, or all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    ByThisRun,
    ByAllRuns,
}

/// `say` is called with what was deleted and what stays. An error names what could not be deleted; all else is deleted even so.
pub(super) async fn clean(site: &Site, left: Left, say: &dyn Fn(String)) -> anyhow::Result<()> {
    let done = [
        probes(site, left, say).await.context("the probe's stack"),
        items(site, left, say).await.context("items"),
        quarantine(site, left, say).await.context("quarantine"),
    ];
    let failed: Vec<_> = done.iter().filter_map(|done| done.as_ref().err()).collect();
    for error in &failed {
        say(format!("not deleted: {error:#}"));
    }
    anyhow::ensure!(failed.is_empty(), "not all was deleted: run it again with --clean");
    Ok(())
}

/// What names of these runs begin with.
fn prefix(site: &Site, left: Left) -> &str {
    if left == Left::ByThisRun { &site.run } else { MARK }
}

async fn probes(site: &Site, left: Left, say: &dyn Fn(String)) -> anyhow::Result<()> {
    let names = match left {
        Left::ByThisRun => vec![stack_name(&site.stack.name, &site.run)],
        Left::ByAllRuns => named(site, &stack_name(&site.stack.name, MARK)).await?,
    };
    for name in names {
        if stack::described(&site.sdk, &name).await?.is_none() {
            continue;
        }
        let mut objects = empty(site, &name).await?;
        order(&site.sdk, Service::CloudFormation, "DeleteStack", &[("StackName", name.as_str())]).await?;
        let mut status = String::new();
        let deleted = site.wait_long(DELETED, BETWEEN, async || {
            let Some(found) = stack::described(&site.sdk, &name).await? else { return Ok(Some(())) };
            // A mapping may save a batch until it is deleted, and a bucket with objects is not.
            if found.stack_status == "DELETE_FAILED" && status != found.stack_status {
                objects += empty(site, &name).await?;
                order(&site.sdk, Service::CloudFormation, "DeleteStack", &[("StackName", name.as_str())])
                    .await?;
            }
            status = found.stack_status;
            Ok(None)
        });
        deleted.await?.with_context(|| format!("the stack `{name}` is still there: {status}"))?;
        say(format!("deleted the stack {name}, with {objects} objects in its bucket"));
    }
    Ok(())
}

/// The stacks with names that begin like this.
async fn named(site: &Site, prefix: &str) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    let list = |page: Page| {
        let all = page.stacks.members.into_iter().map(|stack| stack.stack_name);
        names.extend(all.filter(|name| name.starts_with(prefix)));
        page.next_token
    };
    pages(&site.sdk, Service::CloudFormation, "DescribeStacks", &[], list).await?;
    Ok(names)
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    #[serde(default)]
    stacks: Members<Named>,
    next_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Named {
    stack_name: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    #[serde(default)]
    stack_resource_summaries: Members<OfStack>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct OfStack {
    resource_type: String,
    resource_status: String,
    #[serde(default)]
    physical_resource_id: String,
}

/// Deletes all objects of a probe's bucket. Returns how many.
async fn empty(site: &Site, stack: &str) -> anyhow::Result<usize> {
    let listed: Listed =
        call(&site.sdk, Service::CloudFormation, "ListStackResources", &[("StackName", stack)]).await?;
    let is_there = |resource: &&OfStack| {
        resource.resource_type == "AWS::S3::Bucket"
            && !resource.physical_resource_id.is_empty()
            && resource.resource_status != "DELETE_COMPLETE"
    };
    let Some(bucket) = listed.stack_resource_summaries.members.iter().find(is_there) else { return Ok(0) };
    let bucket = &bucket.physical_resource_id;
    let s3 = aws_sdk_s3::Client::new(&site.sdk);
    let mut deleted = 0;
    loop {
        let page = s3.list_objects_v2().bucket(bucket).send().await.map_err(described)?;
        let keys: Vec<_> =
            page.contents.unwrap_or_default().into_iter().filter_map(|found| found.key).collect();
        if keys.is_empty() {
            return Ok(deleted);
        }
        for key in keys {
            s3.delete_object().bucket(bucket).key(key).send().await.map_err(described)?;
            deleted += 1;
        }
    }
}

async fn items(site: &Site, left: Left, say: &dyn Fn(String)) -> anyhow::Result<()> {
    let table = &site.stack.resources.items_table;
    let dynamodb = aws_sdk_dynamodb::Client::new(&site.sdk);
    let first = item_sort(&EventId::parse(prefix(site, left))?);
    let text = |value: &str| AttributeValue::S(value.to_owned());
    let query = dynamodb.query().table_name(table).consistent_read(true);
    let query =
        query.key_condition_expression("pk = :pk AND begins_with(sk, :sk)").projection_expression("pk, sk");
    let query = query.expression_attribute_values(":pk", text(&item_partition(&site.tenant)));
    let query = query.expression_attribute_values(":sk", text(&first));
    let found =
        query.into_paginator().items().send().collect::<Result<Vec<_>, _>>().await.map_err(described)?;
    for item in &found {
        let mut delete = dynamodb.delete_item().table_name(table);
        for name in [PARTITION_ATTRIBUTE, SORT_ATTRIBUTE] {
            delete = delete.key(name, item.get(name).context("an item without a key")?.clone());
        }
        delete.send().await.map_err(described)?;
    }
    if !found.is_empty() {
        say(format!("deleted {} items of the tenant {}", found.len(), site.tenant));
    }
    Ok(())
}

async fn quarantine(site: &Site, left: Left, say: &dyn Fn(String)) -> anyhow::Result<()> {
    let under = match left {
        Left::ByThisRun => format!("{QUARANTINE}{}/", site.begun.day_partition()),
        Left::ByAllRuns => QUARANTINE.to_owned(),
    };
    let s3 = aws_sdk_s3::Client::new(&site.sdk);
    let mut deleted = 0;
    let mut after = None;
    loop {
        let page = site.deployment.list(&under, after.as_deref()).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.key.clone());
        for found in page.iter().filter(|found| found.bytes <= MOST_BYTES) {
            let object = site.deployment.objects().get(&found.key).await?.unwrap_or_default();
            match ours(&object, prefix(site, left)) {
                Ours::None => {}
                Ours::All => {
                    let bucket = &site.stack.resources.bucket;
                    s3.delete_object().bucket(bucket).key(&found.key).send().await.map_err(described)?;
                    deleted += 1;
                }
                Ours::Some => say(format!("{} stays: it has records of others, too", found.key)),
            }
        }
    }
    if deleted > 0 {
        say(format!("deleted {deleted} quarantine objects"));
    }
    Ok(())
}

/// Which lines of a quarantine object are of the runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ours {
    None,
    Some,
    All,
}

fn ours(object: &[u8], prefix: &str) -> Ours {
    let start = [b"\0", prefix.as_bytes()].concat();
    let is_ours =
        |line: &Result<QuarantineLine, _>| line.as_ref().is_ok_and(|line| line.bytes.starts_with(&start));
    let lines: Vec<_> = QuarantineLine::read_each(object).map(|line| is_ours(&line)).collect();
    match lines.iter().filter(|is_ours| **is_ours).count() {
        0 => Ours::None,
        count if count == lines.len() => Ours::All,
        _ => Ours::Some,
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use shared::replay::StaticReplayClient;

    use super::super::tests::{OPENED, site};
    use super::*;

    async fn cleaned(
        answers: &[&'static str],
        clean: impl AsyncFnOnce(&Site, &dyn Fn(String)) -> anyhow::Result<()>,
    ) -> (Vec<String>, StaticReplayClient) {
        let (site, requests) = site(answers).await;
        let said = RefCell::new(Vec::new());
        clean(&site, &|text| said.borrow_mut().push(text)).await.unwrap();
        (said.into_inner(), requests)
    }

    fn line(bytes: &str) -> String {
        let bytes = base64_simd::STANDARD.encode_to_string(bytes);
        format!(
            r#"{{"reason":"unrecognised","detail":"","shard":"s","sequence_number":"1","position":0,"arrival":"2026-11-28T00:00:00Z","partition_key":null,"bytes":"{bytes}"}}"#
        )
    }

    #[test]
    fn a_quarantine_object_is_deleted_only_if_all_of_it_is_of_the_runs() {
        let [run, other_run, others] = ["\0verify-20261128t1", "\0verify-20261127t1", "\0garbage"].map(line);
        let check = |lines: &[&str], prefix| ours(lines.join("\n").as_bytes(), prefix);
        assert_eq!(check(&[&run, &run], "verify-20261128t1"), Ours::All);
        assert_eq!(check(&[&run, &other_run], MARK), Ours::All);
        assert_eq!(check(&[&run, &other_run], "verify-20261128t1"), Ours::Some);
        assert_eq!(check(&[&run, &others], MARK), Ours::Some);
        assert_eq!(check(&[&others], MARK), Ours::None);
        assert_eq!(check(&[], MARK), Ours::None);
    }

    const THERE: &str = "<DescribeStacksResult><Stacks><member><StackName>T-verify-1</StackName><StackStatus>CREATE_COMPLETE</StackStatus></member></Stacks></DescribeStacksResult>";
    const FAILED: &str = "<DescribeStacksResult><Stacks><member><StackName>T-verify-1</StackName><StackStatus>DELETE_FAILED</StackStatus></member></Stacks></DescribeStacksResult>";
    const GONE: &str = "<DescribeStacksResult><Stacks/></DescribeStacksResult>";
    const ORDERED: &str = "<DeleteStackResponse/>";
    const BUCKET: &str = "<ListStackResourcesResult><StackResourceSummaries><member><ResourceType>AWS::S3::Bucket</ResourceType><ResourceStatus>CREATE_COMPLETE</ResourceStatus><PhysicalResourceId>probe</PhysicalResourceId></member></StackResourceSummaries></ListStackResourcesResult>";
    const ONE: &str = "<ListBucketResult><Contents><Key>invocations/1</Key></Contents></ListBucketResult>";
    const EMPTY: &str = "<ListBucketResult></ListBucketResult>";

    #[tokio::test(start_paused = true)]
    async fn a_probe_is_deleted_with_its_objects_and_again_if_its_bucket_was_not_empty() {
        let once = [THERE, BUCKET, ONE, "", EMPTY, ORDERED];
        let again = [FAILED, BUCKET, ONE, "", EMPTY, ORDERED, FAILED, GONE];
        let answers = [&once[..], &again].concat();
        let (said, _) = cleaned(&answers, async |site, say| probes(site, Left::ByThisRun, say).await).await;
        assert!(said[0].ends_with(", with 2 objects in its bucket"), "{said:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn all_runs_leave_stacks_with_one_prefix_and_others_are_not_touched() {
        let all = "<DescribeStacksResult><Stacks><member><StackName>Tidegate-dev</StackName></member><member><StackName>Tidegate-dev-verify-1</StackName></member><member><StackName>Tidegate-dev-other</StackName></member></Stacks></DescribeStacksResult>";
        let answers = [all, THERE, BUCKET, EMPTY, ORDERED, GONE];
        let (said, _) = cleaned(&answers, async |site, say| probes(site, Left::ByAllRuns, say).await).await;
        assert_eq!(said, ["deleted the stack Tidegate-dev-verify-1, with 0 objects in its bucket"]);
    }

    #[tokio::test]
    async fn items_are_deleted_by_the_tenant_and_the_ids_of_the_runs() {
        let found = r#"{"Items":[{"pk":{"S":"tenants/verify-tidegate"},"sk":{"S":"processed_logs/verify-1-a"}}],"Count":1}"#;
        let (said, requests) =
            cleaned(&[found, "{}"], async |site, say| items(site, Left::ByAllRuns, say).await).await;
        assert_eq!(said, ["deleted 1 items of the tenant verify-tidegate"]);
        let bodies: Vec<_> = requests
            .actual_requests()
            .skip(OPENED)
            .map(|call| serde_json::from_slice::<serde_json::Value>(call.body().bytes().unwrap()).unwrap())
            .collect();
        assert_eq!(bodies[0]["ExpressionAttributeValues"][":sk"]["S"], "processed_logs/verify-");
        assert_eq!(bodies[1]["Key"]["sk"]["S"], "processed_logs/verify-1-a");
    }
}
