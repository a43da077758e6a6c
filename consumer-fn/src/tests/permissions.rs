//! What the function writes, and what its role allows it to.

use std::collections::BTreeSet;

use serde_json::json;
use shared::noise::noise;
use shared::permission::On;

use super::large::foreign;
use super::{Pipeline, admitted, pack, record};
use crate::environment::PERMISSIONS;

/// The first segments of all keys that a run over events of all sizes has put.
async fn written() -> BTreeSet<String> {
    let pipeline = Pipeline::new();
    // What does not fit its item (text, fields), and what does not fit an archive object.
    let fields = |bytes, seed| {
        json!({ "tenant_id": "acme", "id": format!("f{seed}"), "text": "x", "extra": noise(bytes, seed) })
            .to_string()
            .into_bytes()
    };
    let large = [
        foreign("acme", "t1", &noise(200_000, 1)),
        foreign("acme", "t2", &noise(8_000_000, 2)),
        fields(100_000, 3),
        fields(8_000_000, 4),
    ];
    // So many tenants that their ranges do not fit the manifest's row.
    let tenants: Vec<_> = (0..4_000).map(|at| admitted(at, &format!("tenant-{at}"), "e", "x")).collect();
    let records = [&large[..], &[record("acme", &["small"]), b"no event".to_vec(), pack(&tenants)]].concat();
    assert_eq!(pipeline.invoke(&records).await, records.len());
    let first = |key: &String| key.split_inclusive('/').next().unwrap().to_owned();
    pipeline.objects.keys("").iter().map(first).collect()
}

#[tokio::test(start_paused = true)]
async fn every_prefix_that_is_written_is_one_that_the_role_allows() {
    let allowed = PERMISSIONS.iter().filter(|permission| permission.action == "s3:PutObject");
    let allowed: BTreeSet<_> = allowed
        .map(|permission| match permission.on {
            On::Objects(prefix) => prefix.to_owned(),
            other => panic!("objects are put below a prefix, not on {other:?}"),
        })
        // Under the function's role, but not by the function.
        .filter(|prefix| prefix != "aws/lambda/")
        .collect();
    assert_eq!(written().await, allowed);
}
