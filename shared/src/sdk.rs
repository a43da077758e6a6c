//! The AWS SDK as our programs use it: one pool of connections for all clients, and connections opened before the first call.

use std::error::Error;
use std::time::Duration;

use aws_config::ConfigLoader;
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::http::{
    HttpConnectorSettings, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::BeforeTransmitInterceptorContextMut;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::ConfigBag;
use aws_smithy_types::error::display::DisplayErrorContext;

/// Time limit for TCP and TLS together: the SDK's default.
const CONNECT: Duration = Duration::from_millis(3_100);

/// How long a start waits for connections at most: one that waits longer harms more than connections that are not open.
pub const OPEN: Duration = Duration::from_secs(1);

/// Region, credentials and endpoints come from the environment, as for every AWS tool.
pub fn from_env() -> ConfigLoader {
    aws_config::from_env().http_client(http_client())
}

/// One pool of connections, and one TLS configuration. The SDK's own client has a pool for each client and each connect
/// time-out, and reads all certificate authorities again for each. So a client's own connect time-out has no effect here; its
/// time limit for an attempt or a call includes the connection.
pub fn http_client() -> SharedHttpClient {
    let connector = Connector::builder()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .connector_settings(HttpConnectorSettings::builder().connect_timeout(CONNECT).build());
    let connector = SharedHttpConnector::new(connector.build());
    http_client_fn(move |_, _| connector.clone())
}

/// Waits until `call`, which is sent as a [`Preflight`], has opened a connection to `service`. What is answered does not
/// matter. If there is no answer, the first call opens the connection.
pub async fn open<O, E: Error + 'static>(
    service: &str,
    call: impl Future<Output = Result<O, SdkError<E, HttpResponse>>>,
) {
    let error = match tokio::time::timeout(OPEN, call).await {
        Ok(Ok(_) | Err(SdkError::ServiceError(_) | SdkError::ResponseError(_))) => return,
        Ok(Err(error)) => DisplayErrorContext(error).to_string(),
        Err(_) => format!("no answer within {} ms", OPEN.as_millis()),
    };
    tracing::warn!(
        service,
        error,
        "the connection to {service} could not be opened at the start; the first call opens it"
    );
}

/// Sends a preflight request of CORS in place of a call, to the address to which the call would go. A preflight has no
/// credentials: the service checks no permission and runs no action. So it costs nothing, and AWS's log of calls gets no
/// `AccessDenied` at each cold start. No function has one harmless action that it may call at each of its services.
#[derive(Debug)]
pub struct Preflight;

impl Intercept for Preflight {
    fn name(&self) -> &'static str {
        "Preflight"
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let call = context.request_mut();
        let mut preflight = HttpRequest::new(SdkBody::empty());
        preflight.set_method("OPTIONS")?;
        preflight.set_uri(call.uri())?;
        // S3 needs both (<https://docs.aws.amazon.com/AmazonS3/latest/API/RESTOPTIONSobject.html>).
        preflight.headers_mut().try_insert("origin", "https://tidegate.invalid")?;
        preflight.headers_mut().try_insert("access-control-request-method", "POST")?;
        *call = preflight;
        Ok(())
    }
}

#[cfg(test)]
#[cfg(feature = "aws-test")]
mod tests {
    use std::sync::{Arc, Mutex};

    use bytes::Bytes;
    use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
    use tokio::net::TcpListener;

    use super::*;
    use crate::objects::ObjectStore;
    use crate::objects::s3::S3Objects;
    use crate::replay;

    /// What arrived: the number of the connection, and the head of the request.
    type Requests = Arc<Mutex<Vec<(usize, String)>>>;

    /// A bucket of a service that answers preflights with `preflight`, all else with 200.
    async fn bucket(preflight: &'static str) -> (S3Objects, Requests) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Requests::default();
        let arrived = Arc::clone(&requests);
        tokio::spawn(async move {
            for connection in 1.. {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, connection, preflight, Arc::clone(&arrived)));
            }
        });
        let sdk = replay::sdk(http_client()).into_builder().endpoint_url(url).build();
        (S3Objects::new(&sdk, "bucket".to_owned(), Duration::from_secs(5)), requests)
    }

    async fn serve(stream: tokio::net::TcpStream, connection: usize, preflight: &str, requests: Requests) {
        let mut stream = BufReader::new(stream);
        loop {
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                if stream.read_line(&mut head).await.unwrap() == 0 {
                    return;
                }
            }
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .map_or(0, |length| length.parse().unwrap());
            stream.read_exact(&mut vec![0; length]).await.unwrap();
            let answer = if head.starts_with("OPTIONS") { preflight } else { "200 OK" };
            requests.lock().unwrap().push((connection, head));
            stream
                .write_all(format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\n\r\n").as_bytes())
                .await
                .unwrap();
        }
    }

    #[tokio::test]
    async fn the_first_call_uses_the_connection_that_the_start_opened_whatever_was_answered() {
        for preflight in ["200 OK", "403 Forbidden", "404 Not Found"] {
            let (bucket, requests) = bucket(preflight).await;
            bucket.open().await;
            bucket.put("events/a", Bytes::from_static(b"line")).await.unwrap();
            let requests = requests.lock().unwrap();
            let [(1, opened), (1, called)] = &requests[..] else { panic!("{requests:?}") };
            assert!(opened.starts_with("OPTIONS /bucket/"), "{opened}");
            assert!(called.starts_with("PUT /bucket/events/a"), "{called}");
        }
    }

    #[tokio::test]
    async fn a_preflight_carries_no_credentials() {
        let (bucket, requests) = bucket("200 OK").await;
        bucket.open().await;
        let requests = requests.lock().unwrap();
        let head = requests[0].1.to_lowercase();
        assert!(
            head.contains("\r\norigin: ") && head.contains("\r\naccess-control-request-method: "),
            "{head}"
        );
        assert!(!head.contains("authorization") && !head.contains("x-amz-security-token"), "{head}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_that_does_not_answer_ends_no_start_and_delays_it_by_the_limit() {
        let begun = tokio::time::Instant::now();
        open("S3", std::future::pending::<Result<(), SdkError<std::fmt::Error, HttpResponse>>>()).await;
        assert_eq!(begun.elapsed(), OPEN);
    }

    #[tokio::test]
    async fn a_service_that_cannot_be_reached_ends_no_start() {
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let sdk = replay::sdk(http_client()).into_builder().endpoint_url(format!("http://{closed}")).build();
        S3Objects::new(&sdk, "bucket".to_owned(), Duration::from_secs(5)).open().await;
    }
}
