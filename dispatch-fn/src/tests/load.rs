//! More events than the target takes, for a while, with everything that can go wrong.

use std::time::Duration;

use tokio::time::sleep;

use super::world::{Reply, World};

/// The most calls in any second, both ends included.
fn most_in_a_second(calls: &[(Duration, String)]) -> usize {
    let within = |(first, (at, _)): (usize, &(Duration, String))| {
        calls[first..].iter().take_while(|(other, _)| *other <= *at + Duration::from_secs(1)).count()
    };
    calls.iter().enumerate().map(within).max().unwrap_or(0)
}

fn fails(number: usize, elapsed: Duration) -> Reply {
    let seconds = elapsed.as_secs();
    match number {
        _ if (20..30).contains(&seconds) => Reply::Away,
        number if number > 0 && number % 20 == 0 => Reply::Answer(500, None, "oops"),
        number if number > 0 && number % 97 == 0 => Reply::Stalls,
        number if number > 0 && number % 301 == 0 => Reply::Answer(429, Some("3"), "slow down"),
        _ => Reply::Ok,
    }
}

#[tokio::test(start_paused = true)]
async fn every_event_is_delivered_at_no_more_than_the_rate_although_dispatchers_are_killed() {
    fastrand::seed(7);
    let world = World::new("rate_per_second = 20").replies(|number, _, elapsed| fails(number, elapsed));
    let source = world.clone();
    let source = tokio::spawn(async move {
        for n in 0..3_000 {
            source.store(&n.to_string(), "hello");
            sleep(Duration::from_millis(20)).await;
        }
    });
    sleep(Duration::from_millis(30)).await;
    // Every fifth invocation is killed at a random time.
    world.run(|| (fastrand::u8(0..5) == 0).then(|| Duration::from_millis(fastrand::u64(0..1_500)))).await;
    source.await.unwrap();
    world.run_quietly().await;
    world.state(|state| {
        assert_eq!(state.taken.len(), 3_000, "each event by its key");
        assert!(state.dead.is_empty(), "{:?}", state.dead);
        let repeated = state.taken.values().filter(|times| **times > 1).count();
        assert!(repeated > 0, "a killed dispatcher repeats calls, with the same key");
        let most = most_in_a_second(&state.calls);
        assert!((18..=20).contains(&most), "the rate is used, and never exceeded: {most}");
        assert!(state.receives < 100, "{} receives of one message", state.receives);
    });
}

#[tokio::test(start_paused = true)]
async fn without_failures_the_rate_is_used_up_to_the_guard() {
    let world = World::new("rate_per_second = 50");
    for n in 0..1_000 {
        world.store(&n.to_string(), "hello");
    }
    world.run_quietly().await;
    let took = world.state(|state| state.calls.last().unwrap().0.as_secs_f64());
    // 1,000 calls, 50 in each 1.1 s.
    assert!((21.5..24.0).contains(&took), "{took}");
}

#[tokio::test(start_paused = true)]
async fn at_a_slow_rate_few_messages_are_received_often() {
    let world = World::new("rate_per_second = 0.1");
    for n in 0..100 {
        world.store(&n.to_string(), "hello");
    }
    world.run_quietly().await;
    world.state(|state| {
        assert_eq!((state.taken.len(), state.calls.len()), (100, 100));
        assert!(state.receives <= 60, "{} receives of one message", state.receives);
        assert_eq!(most_in_a_second(&state.calls), 1);
    });
}
