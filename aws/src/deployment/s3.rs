//! Lists the bucket, and reads parts of objects.

use aws_config::SdkConfig;
use aws_sdk_s3::Client;
use bytes::Bytes;
use operate::deployment::ListedObject;
use shared::time::Timestamp;

use crate::error::described;

#[derive(Debug)]
pub(super) struct BucketReader {
    client: Client,
    bucket: String,
}

impl BucketReader {
    pub(super) fn new(sdk: &SdkConfig, bucket: String) -> Self {
        Self { client: Client::new(sdk), bucket }
    }

    pub(super) async fn list(&self, prefix: &str, after: Option<&str>) -> anyhow::Result<Vec<ListedObject>> {
        let call = self.client.list_objects_v2().bucket(&self.bucket).prefix(prefix);
        let page = call.set_start_after(after.map(str::to_owned)).send().await.map_err(described)?;
        let listed = |object: aws_sdk_s3::types::Object| {
            let bytes = object.size.and_then(|size| u64::try_from(size).ok()).unwrap_or_default();
            // S3 always sends the time. Without one, the object must not count as old.
            let written = object.last_modified.and_then(|time| time.to_millis().ok()).unwrap_or(i64::MAX);
            object.key.map(|key| ListedObject { key, bytes, written: Timestamp::from_unix_ms(written) })
        };
        Ok(page.contents.unwrap_or_default().into_iter().filter_map(listed).collect())
    }

    pub(super) async fn get_range(
        &self,
        key: &str,
        offset: usize,
        length: usize,
    ) -> anyhow::Result<Option<Bytes>> {
        if length == 0 {
            return Ok(Some(Bytes::new()));
        }
        let range = format!("bytes={offset}-{}", offset + length - 1);
        match self.client.get_object().bucket(&self.bucket).key(key).range(range).send().await {
            Ok(found) => Ok(Some(found.body.collect().await.map_err(described)?.into_bytes())),
            Err(error) if error.raw_response().is_some_and(|answer| answer.status().as_u16() == 404) => {
                Ok(None)
            }
            Err(error) => Err(described(error).context(format!("`{key}`"))),
        }
    }
}
