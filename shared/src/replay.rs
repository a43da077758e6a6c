//! For the tests of AWS adapters: an SDK whose service gives a list of answers and records its requests.

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_s3::config::{Credentials, SharedCredentialsProvider};
use aws_smithy_http_client::test_util::ReplayEvent;
pub use aws_smithy_http_client::test_util::{NeverClient, StaticReplayClient};
use aws_smithy_runtime_api::client::http::HttpClient;
use aws_smithy_types::body::SdkBody;

/// The configuration of a client whose calls get `answers`, status and body, one after the other.
pub fn replay(answers: &[(u16, &'static str)]) -> (SdkConfig, StaticReplayClient) {
    let event = |(status, body): &(u16, &'static str)| {
        // The test reads the requests; they are not compared.
        let request = http::Request::builder().uri("/").body(SdkBody::empty()).expect("a valid request");
        let response =
            http::Response::builder().status(*status).body(SdkBody::from(*body)).expect("a valid status");
        ReplayEvent::new(request, response)
    };
    let client = StaticReplayClient::new(answers.iter().map(event).collect());
    (sdk(client.clone()), client)
}

/// The configuration of a client that calls by `client`.
pub fn sdk(client: impl HttpClient + 'static) -> SdkConfig {
    let credentials = Credentials::new("id", "secret", None, None, "test");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("eu-central-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(client)
        .build()
}
