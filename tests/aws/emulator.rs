//! Starts emulators: one ministack for all tests of this process. Each test creates its own resources in it.

use std::ffi::OsStr;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use aws::kinesis::{KinesisReader, Share};
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
    ProjectionType, ScalarAttributeType,
};
use aws_sdk_s3::config::{Credentials, SharedCredentialsProvider};
use consumer_fn::items::{BY_RECEIVED_AT, RECEIVED_AT, RECEIVED_PARTITION};
use local::event_source_mapping::ports::StreamReader;
use tests::site::DEADLINE;

/// A process that emulates AWS on a port of this machine.
pub(crate) struct Emulator {
    pub(crate) url: String,
    /// The emulator ends when this end of its pipe is closed, so at the latest with this process.
    _leash: (Child, ChildStdin),
}

/// Starts `program` and waits until it listens. The variable `port_variable` has its port.
pub(crate) fn start(
    program: &Path,
    arguments: &[&OsStr],
    port_variable: &str,
    variables: &[(&str, &OsStr)],
) -> Emulator {
    // This port is free now.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}");
    let mut leash = Command::new("sh")
        .args(["-c", "\"$0\" \"$@\" >/dev/null 2>&1 </dev/null & cat >/dev/null; kill $!"])
        .arg(program)
        .args(arguments)
        .envs(variables.iter().copied())
        .env(port_variable, port.to_string())
        .env("AWS_ENDPOINT_URL", &url)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let stdin = leash.stdin.take().unwrap();
    let end = Instant::now() + DEADLINE;
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < end, "{} does not listen on {url}", program.display());
        std::thread::sleep(Duration::from_millis(50));
    }
    Emulator { url, _leash: (leash, stdin) }
}

/// The path in the variable `name`, or where `make test-emulator` installs it.
pub(crate) fn installed(name: &str, under_tools: &str) -> PathBuf {
    let path = std::env::var_os(name).map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools").join(under_tools),
        PathBuf::from,
    );
    assert!(path.exists(), "{} is not there: `make test-emulator` installs it", path.display());
    path
}

/// The URL of ministack. The first call starts it.
pub(crate) fn url() -> &'static str {
    static MINISTACK: OnceLock<Emulator> = OnceLock::new();
    let ministack = || {
        let program = installed("MINISTACK", "bin/ministack");
        start(&program, &[], "GATEWAY_PORT", &[("BIND_HOST", OsStr::new("127.0.0.1"))])
    };
    &MINISTACK.get_or_init(ministack).url
}

/// The SDK's configuration for AWS's APIs at `url`.
pub(crate) fn sdk(url: &str) -> SdkConfig {
    let credentials = Credentials::new("test", "test", None, None, "test");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .retry_config(
            aws_config::retry::RetryConfig::standard().with_initial_backoff(Duration::from_millis(1)),
        )
        .sleep_impl(aws_sdk_s3::config::SharedAsyncSleep::new(TokioSleep))
        .http_client(shared::sdk::http_client())
        .endpoint_url(url)
        .build()
}

/// `aws_config::load_from_env` would set this by itself.
#[derive(Debug)]
struct TokioSleep;

impl aws_sdk_s3::config::AsyncSleep for TokioSleep {
    fn sleep(&self, duration: Duration) -> aws_sdk_s3::config::Sleep {
        aws_sdk_s3::config::Sleep::new(tokio::time::sleep(duration))
    }
}

/// A name that no other test has.
pub(crate) fn name(kind: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{kind}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A new stream of `shards` shards.
pub(crate) async fn stream(shards: i32) -> String {
    let (client, name) = (aws_sdk_kinesis::Client::new(&sdk(url())), name("stream"));
    client.create_stream().stream_name(&name).shard_count(shards).send().await.unwrap();
    let end = Instant::now() + DEADLINE;
    let reader = KinesisReader::new(&sdk(url()), name.clone(), Share::Whole);
    while reader.shards().await.is_ok_and(|listed| listed.len() < usize::try_from(shards).unwrap()) {
        assert!(Instant::now() < end, "the stream is not active");
    }
    name
}

/// A new items table, with its index.
pub(crate) async fn table() -> String {
    let (client, name) = (aws_sdk_dynamodb::Client::new(&sdk(url())), name("items"));
    let (keys, index_keys) = (["pk", "sk"], [RECEIVED_PARTITION, RECEIVED_AT]);
    let index = GlobalSecondaryIndex::builder().index_name(BY_RECEIVED_AT);
    let index = index.set_key_schema(Some(schema(index_keys)));
    let projection = Projection::builder().projection_type(ProjectionType::KeysOnly).build();
    let index = index.projection(projection).build().unwrap();
    let attribute = |name: &str| {
        let attribute = AttributeDefinition::builder().attribute_name(name);
        attribute.attribute_type(ScalarAttributeType::S).build().unwrap()
    };
    let create = client.create_table().table_name(&name).billing_mode(BillingMode::PayPerRequest);
    let create = create.set_key_schema(Some(schema(keys))).global_secondary_indexes(index);
    let attributes = keys.into_iter().chain(index_keys).map(attribute).collect();
    create.set_attribute_definitions(Some(attributes)).send().await.unwrap();
    name
}

/// Partition key and sort key.
fn schema(keys: [&str; 2]) -> Vec<KeySchemaElement> {
    let element =
        |(name, role)| KeySchemaElement::builder().attribute_name(name).key_type(role).build().unwrap();
    keys.into_iter().zip([KeyType::Hash, KeyType::Range]).map(element).collect()
}

/// A new bucket.
pub(crate) async fn bucket() -> String {
    let (client, name) = (aws_sdk_s3::Client::new(&sdk(url())), name("bucket"));
    client.create_bucket().bucket(&name).send().await.unwrap();
    name
}
