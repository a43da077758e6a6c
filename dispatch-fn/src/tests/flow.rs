//! What becomes of one event.

use std::time::Duration;

use shared::format::dispatch_message::DispatchMessage;
use shared::noise::noise;

use super::world::{Reply, World, line};
use crate::standing::{Standing, Status};

const BAD: Reply = Reply::Answer(200, None, r#"{"data":null,"errors":[{"message":"no such brand"}]}"#);
const BUSY: Reply = Reply::Answer(503, None, "busy");

/// A world with one event, `acme/1`.
fn with_one(replies: impl FnMut(usize, &str, Duration) -> Reply + Send + 'static) -> World {
    let world = World::new("max_attempts = 3").replies(replies);
    world.store("1", "hello");
    world
}

fn standing(world: &World) -> (Standing, Option<String>) {
    world.state(|state| state.items["acme/1"].clone())
}

fn at(status: Option<Status>, attempts: u32) -> Standing {
    Standing { status, attempts }
}

fn calls(world: &World) -> usize {
    world.state(|state| state.calls.len())
}

#[tokio::test(start_paused = true)]
async fn a_delivered_event_is_noted_and_a_second_copy_of_its_message_is_not_sent() {
    let world = with_one(|_, _, _| Reply::Ok);
    world.run_quietly().await;
    assert_eq!(standing(&world), (at(Some(Status::Delivered), 1), None));
    world.store("1", "hello");
    world.run_quietly().await;
    assert_eq!(calls(&world), 1);
}

#[tokio::test(start_paused = true)]
async fn a_permanent_error_makes_a_dead_letter_with_its_reason_at_once() {
    let world = with_one(|_, _, _| BAD);
    world.run_quietly().await;
    assert_eq!(standing(&world), (at(Some(Status::Failed), 1), Some("200: no such brand".to_owned())));
    let letter = world.state(|state| state.dead[0].clone());
    let failure = letter.failure.clone().unwrap();
    assert_eq!((failure.reason.as_str(), failure.attempts), ("200: no such brand", 1));
    assert_eq!(letter.line().unwrap().text, "hello");
    world.store("1", "hello");
    world.run_quietly().await;
    assert_eq!((calls(&world), world.state(|state| state.dead.len())), (1, 1), "a second copy does nothing");
}

#[tokio::test(start_paused = true)]
async fn exhausted_attempts_make_a_dead_letter_and_a_redriven_one_has_all_attempts_again() {
    let world = with_one(|number, _, _| if number < 6 { BUSY } else { Reply::Ok });
    world.run_quietly().await;
    let reason = "no success after 3 calls, the last: 503: busy";
    assert_eq!(standing(&world), (at(Some(Status::Failed), 3), Some(reason.to_owned())));
    let letter = world.state(|state| state.dead.remove(0));
    let redriven = letter.redriven(letter.failure.as_ref().unwrap().attempts);
    world.queue(&redriven.body());
    world.run_quietly().await;
    assert_eq!(standing(&world), (at(Some(Status::Delivered), 6), None));
    assert!(world.state(|state| state.dead.is_empty()));
}

/// A note that was not answered is made again, and the first may arrive later.
#[tokio::test(start_paused = true)]
async fn a_redriven_event_is_sent_although_a_late_note_counted_one_attempt_more_than_its_letter() {
    let world = with_one(|number, _, _| if number < 2 { BAD } else { Reply::Ok });
    world.state(|state| state.faults.push("late attempt_failed"));
    world.run_quietly().await;
    let letter = world.state(|state| state.dead.remove(0));
    let attempts = letter.failure.as_ref().unwrap().attempts;
    assert_eq!((standing(&world).0, attempts), (at(Some(Status::Failed), 1), 1));
    world.queue(&letter.redriven(attempts).body());
    world.run_quietly().await;
    assert_eq!(standing(&world).0.status, Some(Status::Delivered));
}

#[tokio::test(start_paused = true)]
async fn attempts_that_were_exhausted_before_a_crash_make_a_dead_letter_afterwards() {
    let world = with_one(|_, _, _| Reply::Ok);
    world.state(|state| state.items.insert("acme/1".to_owned(), (at(None, 3), Some("503".to_owned()))));
    world.run_quietly().await;
    assert_eq!((calls(&world), world.state(|state| state.dead.len())), (0, 1));
    assert_eq!(standing(&world).0, at(Some(Status::Failed), 3));
}

#[tokio::test(start_paused = true)]
async fn retry_after_holds_for_every_event_and_does_not_count_as_an_attempt() {
    let world = World::new("rate_per_second = 20\nmax_attempts = 1").replies(|number, _, _| {
        if number == 1 { Reply::Answer(429, Some("120"), "slow down") } else { Reply::Ok }
    });
    for n in 0..200 {
        world.store(&n.to_string(), "hello");
    }
    world.run_quietly().await;
    world.state(|state| {
        assert!(state.dead.is_empty());
        assert_eq!(state.taken.len(), 200);
        let first = state.calls[0].0;
        let early = state.calls.iter().filter(|(at, _)| *at < first + Duration::from_secs(119)).count();
        assert!(early <= 21, "only calls whose slot was taken already: {early}");
        assert!(state.receives <= 4, "{}", state.receives);
    });
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_note_was_lost_is_repeated_with_the_same_key() {
    let world = with_one(|_, _, _| Reply::Ok);
    world.state(|state| state.faults.push("delivered"));
    world.invoke(None).await;
    world.state(|state| state.faults.clear());
    world.run_quietly().await;
    assert_eq!(world.state(|state| state.taken["acme/1"]), 2);
    assert_eq!(standing(&world).0, at(Some(Status::Delivered), 1));
}

#[tokio::test(start_paused = true)]
async fn without_items_or_the_counter_nothing_is_sent_and_without_a_dead_letter_nothing_is_noted() {
    for fault in ["read", "take"] {
        let world = with_one(|_, _, _| Reply::Ok);
        world.state(|state| state.faults.push(fault));
        world.invoke(None).await;
        assert_eq!((calls(&world), standing(&world).0), (0, at(None, 0)), "{fault}");
        world.state(|state| state.faults.clear());
        world.run_quietly().await;
        assert_eq!(calls(&world), 1, "{fault}");
    }
    let world = with_one(|_, _, _| BAD);
    world.state(|state| state.faults.push("dead_letter"));
    world.invoke(None).await;
    assert_eq!(standing(&world).0, at(None, 1));
    world.state(|state| state.faults.clear());
    world.run_quietly().await;
    assert_eq!((standing(&world).0.status, world.state(|state| state.dead.len())), (Some(Status::Failed), 1));
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_too_large_for_a_message_is_fetched_and_one_that_is_gone_is_a_dead_letter() {
    let world = World::new("");
    world.store("1", &noise(2_000_000, 1));
    world.run_quietly().await;
    assert_eq!(world.state(|state| state.taken["acme/1"]), 1);

    let world = World::new("");
    world.state(|state| state.items.insert("acme/1".to_owned(), (Standing::default(), None)));
    let (message, _not_stored) =
        DispatchMessage::of(line("1", &noise(2_000_000, 1)).to_string().as_bytes()).unwrap();
    world.queue(&message.body());
    world.run_quietly().await;
    let reason = world.state(|state| state.dead[0].failure.clone()).unwrap().reason;
    assert!(reason.starts_with("there is no object `claims/acme/1/"), "{reason}");
    assert!(world.objects().keys("").is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_event_whose_item_was_deleted_is_not_sent() {
    let world = with_one(|_, _, _| Reply::Ok);
    world.state(|state| state.items.clear());
    world.run_quietly().await;
    assert_eq!((calls(&world), world.state(|state| state.dead.len())), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn an_event_becomes_a_dead_letter_before_the_queue_would_delete_it() {
    let world = World::new("");
    world.state(|state| state.items.insert("acme/1".to_owned(), (Standing::default(), None)));
    let (message, _) = DispatchMessage::of(line("1", "hello").to_string().as_bytes()).unwrap();
    let sent = shared::time::Timestamp::from_unix_ms(world.now().unix_ms() - 13 * 86_400_000);
    world.queue_sent(&message.body(), sent);
    world.run_quietly().await;
    let reason = world.state(|state| state.dead[0].failure.clone()).unwrap().reason;
    assert_eq!((reason.as_str(), calls(&world)), ("it waited in the queue for 13 days", 0));
}

#[tokio::test(start_paused = true)]
async fn an_unreadable_message_stays_and_the_others_are_sent() {
    let world = with_one(|_, _, _| Reply::Ok);
    world.queue("garbage");
    world.invoke(None).await;
    assert_eq!((calls(&world), world.state(|state| state.queue.len())), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_second_copy_in_the_same_batch_waits_for_the_first_and_is_not_sent() {
    let world = with_one(|_, _, _| Reply::Ok);
    world.store("1", "hello");
    world.run_quietly().await;
    assert_eq!(calls(&world), 1);
}
