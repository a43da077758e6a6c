//! Reading a shard beside the event source mapping, in virtual time: the shard gives 2 MB/s and 5 calls/s to both together.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use operate::deployment::{Deployment, ShardTail, Start};
use serde_json::{Value, json};
use shared::replay;
use tokio::time::Instant;

use super::super::AwsDeployment;

const MB: usize = 1_000_000;
const SHARD: &str = "shardId-000000000000";

/// A shard with records of these sizes.
#[derive(Debug)]
struct Shard {
    sizes: Vec<usize>,
    /// Until when what was read uses up the bytes of a shard.
    busy_until: Instant,
    /// The calls that were answered.
    calls: Vec<Instant>,
    /// Calls that were refused: the mapping's, and the reader's.
    refused: [usize; 2],
}

#[derive(Clone, Debug)]
struct Kinesis(Arc<Mutex<Shard>>);

impl Shard {
    /// Whether a call that returns `bytes` is answered.
    fn takes(&mut self, bytes: impl FnOnce(&Self) -> usize, reader: usize) -> bool {
        let now = Instant::now();
        let calls = self.calls.iter().rev().take_while(|at| now - **at < Duration::from_secs(1)).count();
        // What was read is a debt. It may be a second's bytes: 10 MB cost the next four seconds, then.
        if calls >= 5 || self.busy_until > now + Duration::from_secs(1) {
            self.refused[reader] += 1;
            return false;
        }
        self.calls.push(now);
        let micros = (bytes(self) / 2) as u64;
        self.busy_until = self.busy_until.max(now) + Duration::from_micros(micros);
        true
    }

    /// The records of a call.
    fn page(&self, from: usize, limit: usize) -> &[usize] {
        let rest = self.sizes.get(from..).unwrap_or_default();
        let mut bytes = 0;
        let fitting = rest.iter().take(limit).take_while(|size| {
            bytes += **size;
            bytes <= 10 * MB
        });
        &rest[..fitting.count()]
    }
}

impl Kinesis {
    fn new(sizes: Vec<usize>) -> Self {
        Self(Arc::new(Mutex::new(Shard {
            sizes,
            busy_until: Instant::now(),
            calls: Vec::new(),
            refused: [0, 0],
        })))
    }

    /// The mapping reads what arrives: a shard takes 1 MB/s.
    async fn mapping(self) {
        loop {
            self.0.lock().unwrap().takes(|_| MB / 2, 0);
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    fn answer(&self, call: &str, asked: &Value) -> (u16, Value) {
        let mut shard = self.0.lock().unwrap();
        let number = |value: &Value| value.as_str().map_or(0, |number| number.parse::<usize>().unwrap());
        match call {
            "DescribeStreamSummary" => (200, serde_json::from_str(super::STREAM).unwrap()),
            "GetShardIterator" => {
                let after = asked.get("StartingSequenceNumber").map_or(0, |after| number(after) + 1);
                (200, json!({"ShardIterator": after.to_string()}))
            }
            "GetRecords" => {
                let from = number(&asked["ShardIterator"]);
                let limit = usize::try_from(asked["Limit"].as_u64().unwrap()).unwrap();
                if !shard.takes(|shard| shard.page(from, limit).iter().sum(), 1) {
                    return (400, json!({"__type": "ProvisionedThroughputExceededException"}));
                }
                let page = shard.page(from, limit);
                let record = |(index, bytes): (usize, &usize)| {
                    let data = base64_simd::STANDARD.encode_to_string("x".repeat(*bytes));
                    json!({"SequenceNumber": (from + index).to_string(), "PartitionKey": "k", "Data": data,
                        "ApproximateArrivalTimestamp": 1_795_253_400.19})
                };
                let next = from + page.len();
                let records: Vec<_> = page.iter().enumerate().map(record).collect();
                let behind = if next == shard.sizes.len() { 0 } else { 1_000 };
                (
                    200,
                    json!({"Records": records, "NextShardIterator": next.to_string(), "MillisBehindLatest": behind}),
                )
            }
            other => panic!("{other}"),
        }
    }
}

impl HttpConnector for Kinesis {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let call = request.headers().get("x-amz-target").unwrap().split_once('.').unwrap().1;
        let asked = serde_json::from_slice(request.body().bytes().unwrap()).unwrap();
        let (status, body) = self.answer(call, &asked);
        let body = SdkBody::from(body.to_string());
        HttpConnectorFuture::ready(Ok(HttpResponse::new(status.try_into().unwrap(), body)))
    }
}

/// Reads the whole shard, as `audit` and `redrive` do. Returns the sizes of its records, and how long it took.
async fn read(kinesis: &Kinesis, say: fn(&str)) -> (Vec<usize>, Duration) {
    let connector = SharedHttpConnector::new(kinesis.clone());
    let sdk = replay::sdk(http_client_fn(move |_, _| connector.clone()));
    let deployment = AwsDeployment::open(&sdk, super::resources()).await.unwrap().saying(say);
    let (begun, mut sizes) = (Instant::now(), Vec::new());
    let mut start = Start::Oldest;
    loop {
        let read = deployment.records(SHARD, start.clone()).await.unwrap();
        for record in read.records {
            assert_eq!(record.sequence_number, sizes.len().to_string());
            sizes.push(record.data.len());
            start = Start::After(record.sequence_number);
        }
        if read.tail != ShardTail::More {
            return (sizes, begun.elapsed());
        }
    }
}

fn silent(said: &str) {
    panic!("{said}");
}

/// Reads a shard with these records beside its mapping. Returns how many calls of each were refused.
async fn beside_the_mapping(sizes: Vec<usize>) -> [usize; 2] {
    let kinesis = Kinesis::new(sizes.clone());
    let mapping = tokio::spawn(kinesis.clone().mapping());
    let (read, took) = read(&kinesis, silent).await;
    mapping.abort();
    assert_eq!(read, sizes);
    let shard = kinesis.0.lock().unwrap();
    // At 1 MB/s, and more slowly until the sizes are known.
    let least = Duration::from_micros(sizes.iter().sum::<usize>() as u64);
    assert!(
        least < took + Duration::from_secs(2) && took < least + Duration::from_secs(10),
        "{took:?}, not {least:?}"
    );
    let of_five = shard.calls.windows(5).map(|calls| calls[4] - calls[0]);
    assert!(of_five.min() >= Some(Duration::from_secs(1)), "four calls a second, two of them the mapping's");
    shard.refused
}

#[tokio::test(start_paused = true)]
async fn a_shard_is_read_beside_its_mapping_without_a_refusal_of_either() {
    for sizes in [vec![300; 30_000], [2_000, 40_000].repeat(200), vec![1_000_000; 9]] {
        assert_eq!(beside_the_mapping(sizes).await, [0, 0]);
    }
}

/// Sizes that change at once cannot be foreseen. One call may return 10 MB, and then the mapping waits for four seconds.
#[tokio::test(start_paused = true)]
async fn records_that_become_large_at_once_hold_up_the_mapping_for_seconds() {
    let refused =
        beside_the_mapping([vec![300; 20_000], vec![900_000; 12], vec![300; 20_000]].concat()).await;
    assert!(refused[0] <= 10 && refused[1] == 0, "{refused:?}");
}

static SAID: Mutex<Vec<String>> = Mutex::new(Vec::new());

#[tokio::test(start_paused = true)]
async fn a_shard_that_others_use_up_is_waited_for_and_that_is_said() {
    let kinesis = Kinesis::new(vec![1_000; 3_000]);
    kinesis.0.lock().unwrap().busy_until = Instant::now() + Duration::from_secs(100);
    let (read, took) = read(&kinesis, |said| SAID.lock().unwrap().push(said.to_owned())).await;
    assert_eq!(read, vec![1_000; 3_000]);
    assert!(kinesis.0.lock().unwrap().refused[1] > 10 && took > Duration::from_secs(99), "{took:?}");
    let said = SAID.lock().unwrap();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(
        said[0].starts_with("the shard `shardId-000000000000` gives no more to read since 1"),
        "{said:?}"
    );
}
