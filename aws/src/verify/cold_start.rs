//! What a cold start costs the client: requests at once to new sandboxes, then the same to those that are warm.

use std::time::Duration;

use futures::future::try_join_all;

use super::report::{Check, Finding};
use super::site::Site;

pub(super) const COLD_START: Check = Check {
    name: "cold-start",
    answers: "how much longer the answer of a new sandbox of ingest takes",
    does: "sends 3 times 10 requests at once to /health; seconds",
};

/// At once, so that most of them get a new sandbox where the stage is quiet.
const REQUESTS: usize = 10;
/// What the documents that Tidegate grew from ask for: an answer within 500 ms.
const MOST: Duration = Duration::from_millis(500);

pub(super) async fn cold_start(site: &Site) -> anyhow::Result<Vec<Finding>> {
    // All three on new connections, so that handshakes count on both sides.
    let cold = at_once(site).await?;
    let warm = [at_once(site).await?, at_once(site).await?].concat();
    Ok(vec![judge(&cold, &warm)])
}

async fn at_once(site: &Site) -> anyhow::Result<Vec<Duration>> {
    let answers = try_join_all([(); REQUESTS].map(|()| site.health())).await?;
    Ok(answers.iter().map(|answer| answer.took).collect())
}

fn judge(cold: &[Duration], warm: &[Duration]) -> Finding {
    let slowest = cold.iter().max().copied().unwrap_or_default();
    let usual = median(warm);
    let more = slowest.saturating_sub(usual);
    let seen = format!(
        "{} ms more: the slowest of {} first ones took {} ms, the median of those after them {} ms",
        more.as_millis(),
        cold.len(),
        slowest.as_millis(),
        usual.as_millis()
    );
    let expected = format!("at most {} ms more than warm", MOST.as_millis());
    COLD_START.finding("first requests at once", expected, seen, more <= MOST)
}

fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::report::Verdict;
    use super::*;

    #[test]
    fn the_slowest_first_answer_is_compared_with_the_usual_one() {
        let ms = |times: &[u64]| times.iter().copied().map(Duration::from_millis).collect::<Vec<_>>();
        let finding = judge(&ms(&[90, 590]), &ms(&[2_000, 90, 80]));
        assert_eq!(finding.verdict, Verdict::AsDocumented);
        assert!(
            finding.seen.starts_with("500 ms more: the slowest of 2 first ones took 590 ms"),
            "{finding}"
        );
        assert_eq!(judge(&ms(&[591]), &ms(&[90])).verdict, Verdict::Differs);
    }
}
