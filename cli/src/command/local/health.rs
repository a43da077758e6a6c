//! Prints one line when the health of the pipeline changes.

use std::time::Duration;

use local::pipeline::health::{Report, Status};
use shared::health::Concern;
use tokio::sync::watch;

/// After a line, the next comes this much later at the earliest. What changes back in between is not printed.
const PAUSE: Duration = Duration::from_secs(10);

/// Runs until no more reports come.
pub(super) async fn print_changes(mut reports: watch::Receiver<Report>, mut print: impl FnMut(String)) {
    let mut printed = state(&Report::new(reports.borrow().covers));
    loop {
        let report = reports.borrow_and_update().clone();
        let state = state(&report);
        if state != printed {
            print(line(&report));
            printed = state;
            tokio::time::sleep(PAUSE).await;
        } else if reports.changed().await.is_err() {
            return;
        }
    }
}

/// What makes a new line: the numbers in a message change all the time.
fn state(report: &Report) -> (Status, Vec<Concern>) {
    (report.status(), report.reasons.iter().map(|reason| reason.concern).collect())
}

fn line(report: &Report) -> String {
    let status = match report.status() {
        Status::Ok => return "Health: ok again.".to_owned(),
        Status::Degraded => "degraded",
        Status::Failing => "failing",
    };
    let reasons = report.reasons.iter();
    let reasons: Vec<_> =
        reasons.map(|reason| format!("{} ({})", reason.message, reason.concern.runbook())).collect();
    format!("Health: {status}: {}", reasons.join("; "))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use local::pipeline::health::{Covers, Reason};

    use super::*;

    fn report(concerns: &[Concern]) -> Report {
        let reason = |concern: &Concern| Reason {
            status: Status::Degraded,
            concern: *concern,
            message: format!("{} now", concern.name()),
            measured: None,
        };
        Report { reasons: concerns.iter().map(reason).collect(), ..Report::new(Covers::Pipeline) }
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_is_one_line_at_once_and_a_flicker_is_at_most_a_line_in_ten_seconds() {
        let (reports, watched) = watch::channel(report(&[]));
        let lines = Arc::new(Mutex::new(Vec::new()));
        let print = {
            let lines = Arc::clone(&lines);
            move |line| lines.lock().unwrap().push(line)
        };
        let printing = tokio::spawn(print_changes(watched, print));
        let step = async |concerns: &[Concern], seconds| {
            reports.send_replace(report(concerns));
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            std::mem::take(&mut *lines.lock().unwrap())
        };
        assert_eq!(step(&[], 1).await, [] as [&str; 0]);
        assert_eq!(
            step(&[Concern::Spilling], 1).await,
            ["Health: degraded: spilling now (docs/runbooks/spilling.md)"]
        );
        for _ in 0..4 {
            assert_eq!(step(&[], 1).await, [] as [&str; 0]);
            assert_eq!(step(&[Concern::Spilling], 1).await, [] as [&str; 0]);
        }
        assert_eq!(step(&[Concern::Spilling], 20).await, [] as [&str; 0], "it is as it was printed");
        assert_eq!(step(&[], 1).await, ["Health: ok again."]);
        drop(reports);
        printing.await.unwrap();
    }
}
