//! The stream reader and the invoker of the event source mapping.

use std::time::{Duration, Instant};

use aws::kinesis::{KinesisReader, Share};
use aws::mapping::LambdaInvoker;
use aws_sdk_kinesis::primitives::Blob;
use bytes::Bytes;
use local::event_source_mapping::ports::{
    InvokeFailure, Invoker, ReadLimit, RetainedRecord, ShardTail, StreamReader,
};

use crate::emulator::{sdk, stream, url};
use crate::proxy::{Proxy, ProxyFault};

const ALL: ReadLimit = ReadLimit { records: 10_000, bytes: 6_000_000 };
const JSON: &[(&str, &str)] = &[("content-type", "application/x-amz-json-1.1")];

/// A stream with a record for each of `data`.
async fn stream_of(data: &[Vec<u8>]) -> String {
    let (client, name) = (aws_sdk_kinesis::Client::new(&sdk(url())), stream(1).await);
    for data in data {
        let put = client.put_record().stream_name(&name).partition_key("acme");
        put.data(Blob::new(data.clone())).send().await.unwrap();
    }
    name
}

fn texts(records: &[RetainedRecord]) -> Vec<&str> {
    records.iter().map(|record| std::str::from_utf8(&record.data).unwrap()).collect()
}

async fn shard(reader: &KinesisReader) -> String {
    reader.shards().await.unwrap().remove(0).id
}

#[tokio::test]
async fn a_shard_is_read_from_its_oldest_record_and_then_after_the_last_one() {
    let name = stream_of(&[b"1".to_vec(), b"2".to_vec(), b"3".to_vec()]).await;
    let reader = KinesisReader::new(&sdk(url()), name, Share::Whole);
    let shard = shard(&reader).await;
    let two = reader.read(&shard, None, ReadLimit { records: 2, ..ALL }).await.unwrap();
    assert_eq!(texts(&two.records), ["1", "2"]);
    let after = two.records[1].sequence_number.as_str();
    let rest = reader.read(&shard, Some(after), ALL).await.unwrap();
    assert_eq!(texts(&rest.records), ["3"]);
    // A new reader, such as after a restart, reads the same.
    let again = KinesisReader::new(&sdk(url()), reader.stream().to_owned(), Share::Whole)
        .read(&shard, Some(after), ALL)
        .await
        .unwrap();
    assert_eq!(texts(&again.records), ["3"]);
    assert_eq!(again.tail, ShardTail::Tip);
}

#[tokio::test]
async fn a_read_ends_at_its_limit_and_the_next_one_continues_there() {
    let name = stream_of(&[vec![b'a'; 600], vec![b'b'; 600], vec![b'c'; 600]]).await;
    let reader = KinesisReader::new(&sdk(url()), name, Share::Whole);
    let shard = shard(&reader).await;
    let first = reader.read(&shard, None, ReadLimit { bytes: 1_000, ..ALL }).await.unwrap();
    assert_eq!((first.records.len(), first.tail), (2, ShardTail::More));
    let after = first.records[1].sequence_number.as_str();
    let second = reader.read(&shard, Some(after), ReadLimit { bytes: 1_000, ..ALL }).await.unwrap();
    assert_eq!((second.records.len(), second.records[0].data[0]), (1, b'c'));
}

#[tokio::test]
async fn an_expired_iterator_is_replaced() {
    let name = stream_of(&[b"1".to_vec(), b"2".to_vec()]).await;
    let expired = r#"{"__type":"ExpiredIteratorException","message":"Iterator expired."}"#;
    // 0 ListShards, 1 GetShardIterator, 2 GetRecords, 3 GetRecords.
    let proxy = Proxy::new(&[(3, ProxyFault::Answer(400, JSON, expired.to_owned()))]).await;
    let reader = KinesisReader::new(&proxy.sdk(), name, Share::Whole);
    let shard = shard(&reader).await;
    let first = reader.read(&shard, None, ReadLimit { records: 1, ..ALL }).await.unwrap();
    let after = first.records[0].sequence_number.as_str();
    let second = reader.read(&shard, Some(after), ALL).await.unwrap();
    assert_eq!(texts(&second.records), ["2"]);
    assert_eq!(
        proxy.calls(),
        ["ListShards", "GetShardIterator", "GetRecords", "GetRecords", "GetShardIterator", "GetRecords"]
    );
}

#[tokio::test]
async fn a_shard_is_read_at_most_five_times_a_second() {
    let reader = KinesisReader::new(&sdk(url()), stream(1).await, Share::Whole);
    let shard = shard(&reader).await;
    let begun = Instant::now();
    for _ in 0..4 {
        reader.read(&shard, None, ALL).await.unwrap();
    }
    assert!(begun.elapsed() >= Duration::from_millis(600), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn every_shard_is_listed() {
    let reader = KinesisReader::new(&sdk(url()), stream(3).await, Share::Whole);
    let listed = reader.shards().await.unwrap();
    assert_eq!(listed.len(), 3);
    assert!(listed.iter().all(|shard| shard.parents.is_empty()), "{listed:?}");
}

/// The result of an invocation that Lambda answers like this.
async fn invoke(
    status: u16,
    headers: &'static [(&'static str, &'static str)],
    body: &str,
) -> Result<Bytes, InvokeFailure> {
    let proxy = Proxy::new(&[(0, ProxyFault::Answer(status, headers, body.to_owned()))]).await;
    let invoked =
        LambdaInvoker::new(&proxy.sdk(), "consumer-fn".to_owned()).invoke(Bytes::from_static(b"{}")).await;
    assert_eq!(proxy.calls(), ["POST /2015-03-31/functions/consumer-fn/invocations"]);
    invoked
}

#[tokio::test]
async fn an_invocation_is_answered_failed_or_not_run() {
    let answer = r#"{"batchItemFailures":[]}"#;
    assert_eq!(invoke(200, &[], answer).await, Ok(Bytes::from(answer)));

    let error = r#"{"errorType":"Runtime.ExitError","errorMessage":"RequestId: 1 Error: Runtime exited"}"#;
    let failed = invoke(200, &[("x-amz-function-error", "Unhandled")], error).await.unwrap_err();
    let expected = InvokeFailure::Function {
        kind: "Unhandled".to_owned(),
        message: "RequestId: 1 Error: Runtime exited".to_owned(),
    };
    assert_eq!(failed, expected);

    for (status, kind) in
        [(429, "TooManyRequestsException"), (500, "ServiceException"), (404, "ResourceNotFoundException")]
    {
        let failed =
            invoke(status, &[("content-type", "application/json")], &format!(r#"{{"__type":"{kind}"}}"#))
                .await;
        assert!(matches!(&failed, Err(InvokeFailure::NotRun(_))), "{status}: {failed:?}");
    }
}
