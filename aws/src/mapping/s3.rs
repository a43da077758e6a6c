//! The failure destination in S3: one object for each failed batch, in Lambda's format.

use anyhow::Context;
use aws_config::SdkConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;

use local::event_source_mapping::ports::FailureDestination;
use shared::format::failed_batch::FailedBatchObject;

use crate::error::described;

#[derive(Clone, Debug)]
pub(super) struct S3Failures {
    client: Client,
    bucket: String,
}

impl S3Failures {
    pub(super) fn new(sdk: &SdkConfig, bucket: String) -> Self {
        Self { client: Client::new(sdk), bucket }
    }
}

impl FailureDestination for S3Failures {
    async fn save(&self, batch: &FailedBatchObject) -> anyhow::Result<()> {
        let put = self.client.put_object().bucket(&self.bucket).key(&batch.object_key);
        let put = put.content_type("application/json").body(ByteStream::from(batch.to_json()));
        let put = put.send().await.map_err(described);
        put.map(drop).with_context(|| format!("`{}` in bucket `{}`", batch.object_key, self.bucket))
    }
}
