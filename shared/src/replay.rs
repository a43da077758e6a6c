//! For the tests of AWS adapters: an SDK whose service gives a list of answers and records its requests.

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_s3::config::{Credentials, SharedCredentialsProvider};
use aws_smithy_http_client::test_util::ReplayEvent;
pub use aws_smithy_http_client::test_util::{NeverClient, StaticReplayClient};
use aws_smithy_runtime_api::client::http::HttpClient;
use aws_smithy_types::body::SdkBody;

/// The configuration of a client whose calls get `answers`, status and body, one after the other.
pub fn replay(answers: &[(u16, &'static str)]) -> (SdkConfig, StaticReplayClient) {
    let without_headers: Vec<_> = answers.iter().map(|(status, body)| (*status, &[][..], *body)).collect();
    replay_with_headers(&without_headers)
}

/// An answer: status, headers and body.
pub type Answer = (u16, &'static [(&'static str, &'static str)], &'static str);

/// The same, with the answers' headers.
pub fn replay_with_headers(answers: &[Answer]) -> (SdkConfig, StaticReplayClient) {
    let event = |(status, headers, body): &Answer| {
        // The test reads the requests; they are not compared.
        let request = http::Request::builder().uri("/").body(SdkBody::empty()).expect("a valid request");
        let response =
            headers.iter().fold(http::Response::builder().status(*status), |response, (name, value)| {
                response.header(*name, *value)
            });
        ReplayEvent::new(request, response.body(SdkBody::from(*body)).expect("a valid answer"))
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
