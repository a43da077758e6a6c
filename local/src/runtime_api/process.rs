//! A child process that ends with us, and whose end can be seen from several places.

use std::ffi::OsString;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};

use tokio::process::{ChildStdin, Command};
use tokio::sync::{oneshot, watch};

use super::logs::{LogSink, Stream, forward};

/// A running child. Dropping it kills it.
#[derive(Debug)]
pub(super) struct Process {
    pid: u32,
    /// Its end tells the child that we are gone, or that it may go.
    stdin: Mutex<Option<ChildStdin>>,
    /// Sent to or dropped: either kills.
    kill: Mutex<Option<oneshot::Sender<()>>>,
    exited: watch::Receiver<Option<ExitStatus>>,
}

impl Process {
    /// Starts `program` with its lines going to `logs`. It is the leader of a process group, so that an interrupt from
    /// the terminal reaches only us, who can then finish what the child is at.
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
        let pid = child.id().expect("a child that was not waited for has an id");
        if let Some(stdout) = child.stdout.take() {
            tokio::spawn(forward(stdout, pid, Stream::Stdout, logs.clone()));
        }
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(forward(stderr, pid, Stream::Stderr, logs.clone()));
        }
        // Taken out, since waiting for a child closes the input that it still holds.
        let stdin = Mutex::new(child.stdin.take());
        let (kill, killed) = oneshot::channel();
        let (announce, exited) = watch::channel(None);
        tokio::spawn(async move {
            let ended = tokio::select! {
                status = child.wait() => Some(status),
                _ = killed => None,
            };
            let status = match ended {
                Some(status) => status,
                None => match child.kill().await {
                    Ok(()) => child.wait().await,
                    Err(error) => Err(error),
                },
            };
            // Without a status the receivers see the channel end, which says the same.
            if let Ok(status) = status {
                announce.send_replace(Some(status));
            }
        });
        Ok(Self { pid, stdin, kill: Mutex::new(Some(kill)), exited })
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    pub(super) fn has_exited(&self) -> bool {
        self.exited.borrow().is_some() || self.exited.has_changed().is_err()
    }

    /// Waits for its end.
    pub(super) async fn exited(&self) -> ExitStatus {
        let mut exited = self.exited.clone();
        match exited.wait_for(Option::is_some).await {
            Ok(status) => status.unwrap_or_default(),
            Err(_ended_without_a_status) => ExitStatus::default(),
        }
    }

    /// Lets the child know that it may go.
    pub(super) fn close(&self) {
        self.stdin.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Kills it without waiting for its end.
    pub(super) fn start_kill(&self) {
        self.kill.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Kills it and waits for its end.
    pub(super) async fn kill(&self) {
        self.start_kill();
        self.exited().await;
    }
}
