//! `tidegate replay --to-aws` sends the archive of a local run to a deployment on AWS, to its stream and its bucket.

use std::process::Output;

use aws::deployment::{AwsDeployment, Resources};
use operate::deployment::Deployment;
use serde_json::{Value, json};
use shared::format::claim_check::ClaimCheck;
use shared::format::event_line::Event;
use shared::format::record::Content;
use shared::noise::noise;
use shared::objects::ObjectStore;
use tests::site::{Site, eventually};

use crate::deployment::{environment, resources};
use crate::emulator::{sdk, url};
use crate::stream::records;

/// More text than a record takes.
const LARGE: usize = 2_000_000;

/// A stopped site that has stored `count` events, the first of them large.
async fn with_events(count: usize) -> Site {
    let site = Site::new(env!("CARGO_BIN_EXE_tidegate-with-faults"));
    let pipeline = site.start();
    for n in 0..count {
        let text = if n == 0 { noise(LARGE, 1) } else { format!("text {n}") };
        let event = json!({"tenant_id": format!("t{}", n % 2), "id": format!("e{n}"), "text": text});
        assert_eq!(pipeline.send(&event).await.0, 202);
    }
    eventually("all in the archive", || (site.stored().archived().len() == count).then_some(())).await;
    pipeline.stop();
    site
}

fn replay(site: &Site, target: &Resources) -> Output {
    site.to_run(&["replay", "--to-aws"]).envs(environment(target)).output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_local_archive_is_replayed_to_the_stream_and_the_bucket_of_a_deployment_on_aws() {
    let (site, (target, _)) = (with_events(6).await, resources().await);
    let replayed = replay(&site, &target);
    let errors = String::from_utf8_lossy(&replayed.stderr);
    assert!(replayed.status.success() && errors.contains("Replayed 6 events"), "{errors}");

    let mut brought: Vec<Value> = Vec::new();
    for record in records(&target.stream).await {
        let record = shared::format::record::unpack(&record.data, &[]).unwrap();
        for entry in record.entries {
            let Content::Event(event) = entry.unwrap() else { panic!("not an event of ours") };
            brought.push(serde_json::from_slice(&event.line()).unwrap());
        }
    }
    let id = |line: &Value| line["id"].as_str().unwrap().to_owned();
    brought.sort_by_key(id);
    let mut archived = site.stored().lines();
    archived.sort_by_key(id);
    let name = |line: &Value| [&line["tenant"], &line["id"], &line["admission_id"]].map(Value::to_string);
    assert_eq!(brought.iter().map(name).collect::<Vec<_>>(), archived.iter().map(name).collect::<Vec<_>>());
    assert_eq!(brought[1]["text"], "text 1");
    let claim_check: ClaimCheck = serde_json::from_value(brought[0]["claim_check"].take()).unwrap();
    let deployment = AwsDeployment::open(&sdk(url()), target).await.unwrap();
    let part = deployment.objects().get(&claim_check.part_keys()[0]).await.unwrap().unwrap();
    let event: Event = serde_json::from_slice(&claim_check.line(&[part]).unwrap()).unwrap();
    assert!(event.text == noise(LARGE, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_on_aws_is_not_replayed_into_itself() {
    let (resources, _) = resources().await;
    let mut replay = std::process::Command::new(env!("CARGO_BIN_EXE_tidegate-with-faults"));
    let replayed =
        replay.args(["replay", "--aws", "--to-aws"]).envs(environment(&resources)).output().unwrap();
    let errors = String::from_utf8_lossy(&replayed.stderr);
    assert!(!replayed.status.success() && errors.contains("is the deployment that is replayed"), "{errors}");
}
