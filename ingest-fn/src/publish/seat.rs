//! Who runs the driver: the request that finds it idle, else a task. A task costs a request two changes of tasks, and where
//! several threads run them, waking one.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::driver::{Driver, Submission};
use super::pack::Piece;
use super::{Answers, EventStream, Outlet};

/// Where the driver is while nothing is to be done.
pub(super) struct Seat<S>(Mutex<State<S>>);

struct State<S> {
    idle: Option<Box<Driver<S>>>,
    /// To the driver while it runs.
    submissions: mpsc::UnboundedSender<Submission>,
}

/// The driver, for as long as someone runs it. It is not idle after that, it runs on as a task: also if a request is cancelled.
pub(super) struct Driving<S: EventStream> {
    driver: Option<Box<Driver<S>>>,
    seat: Arc<Seat<S>>,
}

impl<S: EventStream> Seat<S> {
    pub(super) fn new(outlet: &Arc<Outlet<S>>) -> Arc<Self> {
        let (submissions, received) = mpsc::unbounded_channel();
        let idle = Some(Box::new(Driver::new(Arc::clone(outlet), received)));
        Arc::new(Self(Mutex::new(State { idle, submissions })))
    }

    /// Submits the lines of a request. Returns the driver if the request must run it.
    pub(super) fn submit(
        self: &Arc<Self>,
        outlet: &Arc<Outlet<S>>,
        lines: usize,
        pieces: Vec<(String, Piece)>,
        reply: oneshot::Sender<Answers>,
    ) -> Option<Driving<S>> {
        let mut state = self.lock();
        // Under the lock, so that submissions are received in the order of their deadlines.
        let submission =
            Submission { lines, pieces, deadline: Instant::now() + outlet.settings.budget(), reply };
        let (mut driver, submission) = if let Some(driver) = state.idle.take() {
            (driver, submission)
        } else {
            // It is refused if the driver panicked.
            let refused = state.submissions.send(submission).err()?;
            let (submissions, received) = mpsc::unbounded_channel();
            state.submissions = submissions;
            (Box::new(Driver::new(Arc::clone(outlet), received)), refused.0)
        };
        drop(state);
        driver.enter(submission);
        Some(Driving { driver: Some(driver), seat: Arc::clone(self) })
    }

    fn lock(&self) -> MutexGuard<'_, State<S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: EventStream> Driving<S> {
    /// Runs the driver until `answer` is there.
    pub(super) async fn until(&mut self, answer: &mut oneshot::Receiver<Answers>) {
        let Some(driver) = &mut self.driver else { return };
        while answer.is_empty() && !answer.is_terminated() {
            driver.step().await;
        }
    }

    /// Runs it until nothing is left to do.
    async fn run(mut self) {
        let Some(driver) = &mut self.driver else { return };
        while !driver.is_idle() {
            driver.step().await;
        }
    }
}

impl<S: EventStream> Drop for Driving<S> {
    fn drop(&mut self) {
        // If it panicked, it cannot go on.
        let Some(driver) = self.driver.take().filter(|_| !std::thread::panicking()) else { return };
        let mut state = self.seat.lock();
        // Under the lock: what is submitted after it finds the driver idle.
        if driver.is_idle() {
            state.idle = Some(driver);
            return;
        }
        drop(state);
        // Without a runtime no request waits.
        if let Ok(runtime) = Handle::try_current() {
            let driving = Self { driver: Some(driver), seat: Arc::clone(&self.seat) };
            runtime.spawn(driving.run());
        }
    }
}

impl<S> fmt::Debug for Seat<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seat")
    }
}
