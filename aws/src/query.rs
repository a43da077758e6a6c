//! AWS's Query protocol: a form in, XML out. CloudFormation, IAM, CloudWatch and SNS use it. Tidegate needs a few of their
//! calls. Their SDK crates are 27 MB of source, over half as much as everything else that is compiled for AWS. Athena's
//! protocol is JSON. Credentials, region, connections and retries come from the SDK.

use std::time::Duration;

use anyhow::Context;
use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_credential_types::provider::ProvideCredentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime::client::retries::classifiers::{HttpStatusCodeClassifier, TransientErrorClassifier};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse, OrchestratorError};
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::body::SdkBody;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{described, shown};

/// A call without an answer fails after this time.
const CALL: Duration = Duration::from_secs(30);

/// All but the characters that a form does not encode (RFC 3986, "unreserved").
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    Athena,
    CloudFormation,
    CloudWatch,
    Iam,
    Sns,
}

/// A service's error.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, thiserror::Error)]
#[error("{code}: {message}")]
#[serde(rename_all = "PascalCase")]
pub struct Refused {
    /// Such as `ValidationError`.
    pub code: String,
    #[serde(default)]
    pub message: String,
}

/// A list, as the protocol writes it.
#[derive(Debug, Deserialize)]
pub struct Members<T> {
    #[serde(default = "Vec::new", rename = "member")]
    pub members: Vec<T>,
}

impl<T> Default for Members<T> {
    fn default() -> Self {
        Self { members: Vec::new() }
    }
}

/// A map, as the protocol writes it.
#[derive(Debug, Default, Deserialize)]
pub struct Entries {
    #[serde(default, rename = "entry")]
    entries: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
struct Entry {
    key: String,
    #[serde(default)]
    value: String,
}

impl Entries {
    pub fn get(&self, key: &str) -> Option<&str> {
        self.entries.iter().find(|entry| entry.key == key).map(|entry| entry.value.as_str())
    }
}

/// Calls `action` and reads the element `{action}Result` of the answer. If the service refused, a [`Refused`] is in the
/// error's chain.
pub async fn call<T: DeserializeOwned>(
    sdk: &SdkConfig,
    service: Service,
    action: &str,
    parameters: &[(&str, &str)],
) -> anyhow::Result<T> {
    let form = form(service, action, parameters);
    let xml = send(sdk, service, action, &[FORM], form).await?;
    result(&xml, action).with_context(|| format!("{service:?} {action}"))
}

/// The same for each page of an answer. `take` takes a page and returns its `NextToken`.
pub async fn pages<T: DeserializeOwned>(
    sdk: &SdkConfig,
    service: Service,
    action: &str,
    parameters: &[(&str, &str)],
    mut take: impl FnMut(T) -> Option<String>,
) -> anyhow::Result<()> {
    let mut token: Option<String> = None;
    loop {
        let next = token.as_deref().map(|token| ("NextToken", token));
        let all: Vec<_> = parameters.iter().copied().chain(next).collect();
        token = take(call(sdk, service, action, &all).await?).filter(|token| !token.is_empty());
        if token.is_none() {
            return Ok(());
        }
    }
}

/// The same as [`call`], where the answer holds nothing that is needed.
pub async fn order(
    sdk: &SdkConfig,
    service: Service,
    action: &str,
    parameters: &[(&str, &str)],
) -> anyhow::Result<()> {
    send(sdk, service, action, &[FORM], form(service, action, parameters)).await.map(drop)
}

/// Calls an action of Athena.
pub async fn athena(sdk: &SdkConfig, action: &str, input: &Value) -> anyhow::Result<Value> {
    let target = format!("AmazonAthena.{action}");
    let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", target.as_str())];
    let answer = send(sdk, Service::Athena, action, &headers, input.to_string()).await?;
    serde_json::from_str(&answer).with_context(|| format!("the answer of Athena {action} cannot be read"))
}

async fn send(
    sdk: &SdkConfig,
    service: Service,
    action: &str,
    headers: &[(&'static str, &str)],
    body: String,
) -> anyhow::Result<String> {
    let doing = || format!("{service:?} {action}");
    let region = sdk.region().context("no region is set: AWS_REGION")?.as_ref();
    let (endpoint, signing_region) = service.endpoint(region);
    let endpoint = sdk.endpoint_url().map_or(endpoint, str::to_owned);
    let scope = (service.name(), signing_region);
    let proof = signed(sdk, scope, ("POST", &endpoint), headers, body.as_bytes()).await?;
    let own = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let headers: Vec<_> = proof.into_iter().chain(own).collect();
    let operation = Operation::builder()
        .service_name(service.name())
        .operation_name(action.to_owned())
        .endpoint_url(&endpoint)
        .no_auth()
        .timeout_config(TimeoutConfig::builder().operation_timeout(CALL).build())
        .standard_retry(&RetryConfig::standard())
        .retry_classifier(TransientErrorClassifier::<Refused>::new())
        .retry_classifier(HttpStatusCodeClassifier::default())
        .serializer(move |()| post(&body, &headers))
        .deserializer(answer);
    let operation = match sdk.http_client() {
        Some(client) => operation.http_client(client),
        None => operation,
    };
    let operation = match sdk.sleep_impl() {
        Some(sleep) => operation.sleep_impl(sleep),
        None => operation,
    };
    match operation.build().invoke(()).await {
        Ok(text) => Ok(text),
        Err(SdkError::ServiceError(refused)) => Err(refused.into_err()).with_context(doing),
        Err(error) => Err(described(error)).with_context(doing),
    }
}

impl Service {
    /// In endpoints and signatures.
    fn name(self) -> &'static str {
        match self {
            Self::Athena => "athena",
            Self::CloudFormation => "cloudformation",
            Self::CloudWatch => "monitoring",
            Self::Iam => "iam",
            Self::Sns => "sns",
        }
    }

    fn version(self) -> &'static str {
        match self {
            Self::Athena => "2017-05-18",
            Self::CloudFormation => "2010-05-15",
            Self::CloudWatch => "2010-08-01",
            Self::Iam => "2010-05-08",
            Self::Sns => "2010-03-31",
        }
    }

    /// The endpoint and the region of the signature, for the standard partition and China's. IAM has one endpoint for all
    /// regions of a partition.
    /// <https://docs.aws.amazon.com/general/latest/gr/rande.html>
    fn endpoint(self, region: &str) -> (String, &str) {
        let name = self.name();
        match (self, region.starts_with("cn-")) {
            (Self::Iam, false) => ("https://iam.amazonaws.com".to_owned(), "us-east-1"),
            (Self::Iam, true) => ("https://iam.cn-north-1.amazonaws.com.cn".to_owned(), "cn-north-1"),
            (_, false) => (format!("https://{name}.{region}.amazonaws.com"), region),
            (_, true) => (format!("https://{name}.{region}.amazonaws.com.cn"), region),
        }
    }
}

fn form(service: Service, action: &str, parameters: &[(&str, &str)]) -> String {
    let about = [("Action", action), ("Version", service.version())];
    let pairs = about.iter().chain(parameters);
    let encoded = pairs.map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, ENCODED)));
    encoded.collect::<Vec<_>>().join("&")
}

/// The headers that sign a request to a service in a region (`scope`). The signature is valid for a few minutes, long enough
/// for every attempt.
pub(crate) async fn signed(
    sdk: &SdkConfig,
    (service, region): (&str, &str),
    (method, url): (&str, &str),
    headers: &[(&str, &str)],
    body: &[u8],
) -> anyhow::Result<Vec<(String, String)>> {
    let provider = sdk.credentials_provider().context("there are no AWS credentials")?;
    let identity = provider.provide_credentials().await.context("there are no AWS credentials")?.into();
    let parameters = SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(service)
        .time(sdk.time_source().unwrap_or_default().now())
        .settings(SigningSettings::default())
        .build()?;
    let request = SignableRequest::new(method, url, headers.iter().copied(), SignableBody::Bytes(body))?;
    let (instructions, _signature) = sign(request, &parameters.into())?.into_parts();
    Ok(instructions.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded; charset=utf-8");

type Fault = Box<dyn std::error::Error + Send + Sync>;

fn post(body: &str, headers: &[(String, String)]) -> Result<HttpRequest, Fault> {
    let mut request = HttpRequest::new(SdkBody::from(body));
    request.set_method("POST")?;
    request.set_uri("/")?;
    for (name, value) in headers {
        request.headers_mut().insert(name.clone(), value.clone());
    }
    Ok(request)
}

fn answer(response: &HttpResponse) -> Result<String, OrchestratorError<Refused>> {
    let bytes = response.body().bytes().unwrap_or_default();
    let text = String::from_utf8_lossy(bytes).into_owned();
    if response.status().is_success() {
        Ok(text)
    } else {
        Err(OrchestratorError::operation(refused(&text, response.status().as_u16())))
    }
}

fn refused(text: &str, status: u16) -> Refused {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Response {
        error: Refused,
    }

    if let Ok(Response { error }) = quick_xml::de::from_str(text) {
        return error;
    }
    let json: Value = serde_json::from_str(text).unwrap_or_default();
    let member = |names: [&str; 2]| names.iter().find_map(|name| json[*name].as_str());
    match member(["__type", "code"]) {
        Some(code) => Refused {
            code: code.rsplit('#').next().unwrap_or(code).to_owned(),
            message: member(["message", "Message"]).unwrap_or_default().to_owned(),
        },
        None => Refused { code: format!("HTTP {status}"), message: shown(text.as_bytes()) },
    }
}

fn result<T: DeserializeOwned>(xml: &str, action: &str) -> anyhow::Result<T> {
    let (open, close) = (format!("<{action}Result"), format!("</{action}Result>"));
    let start = xml.find(&open).with_context(|| format!("the answer has no `{action}Result`"))?;
    let end = xml.find(&close).map_or(xml.len(), |end| end + close.len());
    quick_xml::de::from_str(&xml[start..end]).context("the answer cannot be read")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_a_form_that_names_the_action_and_the_services_version() {
        let form = form(Service::Iam, "GetRolePolicy", &[("RoleName", "a b"), ("PolicyName", "p+q&r=s/ü~")]);
        assert_eq!(
            form,
            "Action=GetRolePolicy&Version=2010-05-08&RoleName=a%20b&PolicyName=p%2Bq%26r%3Ds%2F%C3%BC~"
        );
    }

    #[test]
    fn a_map_is_a_list_of_entries() {
        #[derive(Debug, Deserialize)]
        struct Described {
            #[serde(rename = "Attributes", default)]
            attributes: Entries,
        }

        let read = |xml| result::<Described>(xml, "GetTopicAttributes").unwrap().attributes;
        let two = r"<GetTopicAttributesResponse><GetTopicAttributesResult><Attributes><entry><key>Owner</key><value>1</value></entry><entry><key>Policy</key><value>{&quot;Statement&quot;:[]}</value></entry></Attributes></GetTopicAttributesResult></GetTopicAttributesResponse>";
        assert_eq!(read(two).get("Policy"), Some(r#"{"Statement":[]}"#));
        assert_eq!(read(two).get("Other"), None);
        let none = "<GetTopicAttributesResult><Attributes/></GetTopicAttributesResult>";
        assert_eq!(read(none).get("Policy"), None);
    }

    #[test]
    fn iam_has_one_endpoint_for_all_regions() {
        let check = |service: Service, region, endpoint: &str, signing_region| {
            assert_eq!(service.endpoint(region), (endpoint.to_owned(), signing_region));
        };
        check(Service::Iam, "eu-west-1", "https://iam.amazonaws.com", "us-east-1");
        let monitoring = "https://monitoring.eu-west-1.amazonaws.com";
        check(Service::CloudWatch, "eu-west-1", monitoring, "eu-west-1");
        let cloudformation = "https://cloudformation.cn-north-1.amazonaws.com.cn";
        check(Service::CloudFormation, "cn-north-1", cloudformation, "cn-north-1");
    }

    #[test]
    fn a_refusal_has_code_and_message_or_the_answers_text() {
        let xml = r#"<ErrorResponse xmlns="http://x/"><Error><Type>Sender</Type><Code>ValidationError</Code><Message>Stack with id Nope does not exist</Message></Error><RequestId>1</RequestId></ErrorResponse>"#;
        assert_eq!(refused(xml, 400).to_string(), "ValidationError: Stack with id Nope does not exist");
        let json =
            r#"{"__type":"com.amazonaws.athena#InvalidRequestException","Message":"no such workgroup"}"#;
        assert_eq!(refused(json, 400).to_string(), "InvalidRequestException: no such workgroup");
        assert_eq!(refused("Bad Gateway", 502).to_string(), "HTTP 502: Bad Gateway");
    }

    #[test]
    fn a_result_is_read_whatever_surrounds_it() {
        #[derive(Deserialize)]
        struct Listed {
            #[serde(rename = "PolicyNames", default)]
            names: Members<String>,
        }

        let names = |xml| result::<Listed>(xml, "ListRolePolicies").map(|listed| listed.names.members);
        let two = r#"<ListRolePoliciesResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><ListRolePoliciesResult><PolicyNames><member>a</member><member>b &amp; c</member></PolicyNames><IsTruncated>false</IsTruncated></ListRolePoliciesResult><ResponseMetadata/></ListRolePoliciesResponse>"#;
        assert_eq!(names(two).unwrap(), ["a", "b & c"]);
        let none = "<ListRolePoliciesResponse><ListRolePoliciesResult><PolicyNames/></ListRolePoliciesResult></ListRolePoliciesResponse>";
        assert!(names(none).unwrap().is_empty());
        assert_eq!(names("<html/>").unwrap_err().to_string(), "the answer has no `ListRolePoliciesResult`");
    }
}
