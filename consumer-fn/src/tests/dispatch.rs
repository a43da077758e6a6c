//! Which events reach the dispatch queue, and when.

use std::collections::BTreeSet;

use serde_json::Value;
use shared::config::TransformStep;
use shared::format::dispatch_message::DispatchMessage;
use shared::noise::noise;

use super::stores::{DispatchMessages, Fault, WrittenLines as _};
use super::{Pipeline, admitted, pack, record};

fn pipeline() -> (Pipeline, DispatchMessages) {
    let queue = DispatchMessages::default();
    let pipeline = Pipeline { dispatch: Some(queue.clone()), ..Pipeline::new() };
    (pipeline, queue)
}

/// `tenant/id`, in order.
fn names(messages: &[DispatchMessage]) -> Vec<String> {
    let name = |message: &DispatchMessage| {
        let facts = message.line().unwrap().facts.into_owned();
        format!("{}/{}", facts.tenant, facts.id)
    };
    messages.iter().map(name).collect()
}

#[tokio::test(start_paused = true)]
async fn a_stored_event_is_sent_as_it_is_archived() {
    let (mut pipeline, queue) = pipeline();
    pipeline.config.transform.steps = vec![TransformStep::Uppercase];
    assert_eq!(pipeline.invoke(&[record("acme", &["a", "b"]), record("beta", &["c"])]).await, 2);
    let sent = queue.take();
    assert_eq!(names(&sent), ["acme/a", "acme/b", "beta/c"]);
    let archived = &pipeline.objects.archived()[0];
    assert_eq!(serde_json::from_slice::<Value>(&sent[0].line().unwrap().to_bytes()).unwrap(), *archived);
    assert_eq!(sent[0].line().unwrap().text, "TEXT OF A");
}

#[tokio::test(start_paused = true)]
async fn only_first_stored_events_are_sent_and_again_with_each_attempt() {
    let (pipeline, queue) = pipeline();
    let first = record("acme", &["a"]);
    assert_eq!(pipeline.invoke(std::slice::from_ref(&first)).await, 1);
    assert_eq!(names(&queue.take()), ["acme/a"]);
    // The client's duplicate, another event with the id, our own copy, and bytes that are no event.
    let duplicate = pack(&[admitted(7, "acme", "a", "text of a")]);
    let reused = pack(&[admitted(8, "acme", "a", "another")]);
    let rest = [duplicate, reused, first.clone(), b"no event".to_vec()];
    assert_eq!(pipeline.invoke_from(1, &rest).await, 5);
    assert!(queue.take().is_empty());
    assert_eq!(pipeline.invoke(&[first]).await, 1);
    assert_eq!(names(&queue.take()), ["acme/a"], "the dispatcher recognises it by the item");
}

#[tokio::test(start_paused = true)]
async fn what_the_queue_does_not_take_ends_the_batch_before_it_is_archived() {
    for fault in [Fault::Throttled, Fault::Hangs, Fault::Lost] {
        let (mut pipeline, mut queue) = pipeline();
        queue.fail(move |tenant| (tenant == "beta").then_some(fault));
        pipeline.dispatch = Some(queue);
        let records: Vec<_> =
            (0..30).map(|n| record(if n == 20 { "beta" } else { "acme" }, &[&format!("e{n}")])).collect();
        assert_eq!(pipeline.invoke(&records).await, 20);
        assert_eq!(pipeline.objects.archived_keys().len(), 20);

        let queue = DispatchMessages::default();
        pipeline.dispatch = Some(queue.clone());
        assert_eq!(pipeline.invoke_from(20, &records[20..]).await, 30);
        let sent: BTreeSet<_> = names(&queue.take()).into_iter().collect();
        assert_eq!(sent.len(), 10);
        assert_eq!(pipeline.objects.archived_keys().len(), 30);
    }
}

#[tokio::test(start_paused = true)]
async fn many_and_large_events_are_sent_in_calls_within_the_limits() {
    let (pipeline, queue) = pipeline();
    let events: Vec<_> =
        (0..40_u64).map(|n| admitted(n.into(), "acme", &format!("e{n}"), &noise(300_000, n))).collect();
    let records: Vec<_> = events.chunks(2).map(pack).collect();
    assert_eq!(pipeline.invoke(&records).await, records.len());
    assert_eq!(queue.take().len(), 40);
    assert!(pipeline.objects.keys("claims/").is_empty());

    // One that does not fit a message is stored, before its message is sent.
    let large = pack(&[admitted(99, "acme", "large", &noise(1_250_000, 99))]);
    assert_eq!(pipeline.invoke_from(records.len(), &[large]).await, records.len() + 1);
    let claim_check = queue.take()[0].line().unwrap().claim_check;
    let stored = pipeline.objects.keys("claims/acme/large/");
    assert_eq!(claim_check.map(|claim_check| claim_check.part_keys()), Some(stored));
}
