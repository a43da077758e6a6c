//! A child process that ends with this process. Several tasks can wait for its end.

use std::ffi::OsString;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Mutex;

use rustix::process::{Pid, setpriority_process};
use tokio::process::{ChildStdin, Command};
use tokio::sync::{oneshot, watch};

use super::logs::{LogSink, forward};
use crate::lock;

/// How much lower a child's priority is (`nice`). A batch has seconds, an answer milliseconds: where processors are short, ingest,
/// which is in this process, goes first.
const NICE: i32 = 5;

/// A running child. Dropping it kills it.
pub(super) struct Process {
    pub(super) pid: u32,
    /// Closing it asks the child to end.
    stdin: Mutex<Option<ChildStdin>>,
    /// Dropping it kills the child.
    kill: Mutex<Option<oneshot::Sender<()>>>,
    exited: watch::Receiver<Option<ExitStatus>>,
}

impl Process {
    /// Starts `program` and sends its lines to `logs`. It leads its own process group, so that Ctrl-C in the terminal
    /// reaches only this process, which can then wait for the child's work.
    pub(super) fn spawn(
        program: &Path,
        arguments: &[OsString],
        variables: Vec<(String, String)>,
        logs: &LogSink,
    ) -> std::io::Result<Self> {
        let mut child = Command::new(program)
            .args(arguments)
            .envs(variables)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let pid = child.id().expect("a child has an id until it was waited for");
        // Before it has threads of its own, which inherit it. Without it the child works, too.
        let _ =
            i32::try_from(pid).ok().and_then(Pid::from_raw).map(|pid| setpriority_process(Some(pid), NICE));
        if let Some(stdout) = child.stdout.take() {
            tokio::spawn(forward(stdout, pid, logs.clone()));
        }
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(forward(stderr, pid, logs.clone()));
        }
        // Taken out of the child, because `wait` closes its input.
        let stdin = Mutex::new(child.stdin.take());
        let (kill, killed) = oneshot::channel();
        let (announce, exited) = watch::channel(None);
        tokio::spawn(async move {
            let status = tokio::select! {
                status = child.wait() => status,
                _ = killed => {
                    // Fails only if the child has ended already.
                    let _ = child.start_kill();
                    child.wait().await
                }
            };
            // Without a status, the receivers see that the channel has ended.
            if let Ok(status) = status {
                announce.send_replace(Some(status));
            }
        });
        Ok(Self { pid, stdin, kill: Mutex::new(Some(kill)), exited })
    }

    pub(super) fn has_exited(&self) -> bool {
        self.exited.borrow().is_some() || self.exited.has_changed().is_err()
    }

    pub(super) async fn exited(&self) -> ExitStatus {
        let mut exited = self.exited.clone();
        let status = exited.wait_for(Option::is_some).await;
        status.ok().and_then(|status| *status).unwrap_or_default()
    }

    /// Asks the child to end.
    pub(super) fn close(&self) {
        lock(&self.stdin).take();
    }

    /// Kills it without waiting for its end.
    pub(super) fn start_kill(&self) {
        lock(&self.kill).take();
    }

    /// Kills it and waits for its end.
    pub(super) async fn kill(&self) {
        self.start_kill();
        self.exited().await;
    }
}
