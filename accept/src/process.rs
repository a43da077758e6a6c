//! A local run, of a recipe or not: a child process of this program, in a folder and on a port of its own.

use std::ffi::OsString;
use std::fs::File;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use shared::config::{Config, Dispatch, Recipe};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::target::{self, GraphqlTarget};

/// A start compiles patterns and creates tables; a loaded machine is slow.
const START: Duration = Duration::from_mins(1);
/// Open requests, the spill queue and the stream have two minutes in all.
const STOP: Duration = Duration::from_secs(150);

pub struct LocalRun {
    process: Child,
    /// What it prints after its start, to the end. It is read all the time: a full pipe would stop it.
    printed: JoinHandle<std::io::Result<String>>,
    url: String,
    data: PathBuf,
    /// Whether the data folder was made for this run.
    is_new: bool,
    /// Of dispatch, where the recipe has it.
    target: Option<GraphqlTarget>,
    folder: TempDir,
    program: PathBuf,
    options: Vec<OsString>,
}

/// Requests that are refused are in the log at this level.
const LOG_LEVEL: (&str, &str) = ("TIDEGATE__TELEMETRY__LOG_LEVEL", "info,ingest_fn=debug");

impl LocalRun {
    /// Starts `tidegate local` and waits until it listens. `data` is its data folder, if not a temporary one. Variables are
    /// inherited, so that they override keys of the recipe, as they did in `config`. Where dispatch is on, a target is started,
    /// too, and the run sends events there.
    pub async fn start(
        program: &Path,
        recipe: Recipe,
        config: &Config,
        data: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let mut target = None;
        let mut variables = Vec::new();
        if config.dispatch.enabled {
            let started =
                GraphqlTarget::start((Ipv4Addr::LOCALHOST, 0).into(), config.dispatch.rate_per_second)
                    .await?;
            variables.push((Dispatch::URL_VARIABLE, started.url()));
            let mut fast = config.dispatch.clone();
            target::retry_fast(&mut fast);
            variables.extend([
                ("TIDEGATE__DISPATCH__MAX_ATTEMPTS", fast.max_attempts.to_string()),
                ("TIDEGATE__DISPATCH__BACKOFF_MS", fast.backoff_ms.to_string()),
                ("TIDEGATE__DISPATCH__BACKOFF_MOST_MS", fast.backoff_most_ms.to_string()),
            ]);
            target = Some(started);
        }
        Self::spawn(program, recipe_options(recipe), data, &variables, target).await
    }

    /// The same with these options of `tidegate local`, without a target, and in a temporary folder.
    pub async fn with_options(program: &Path, options: Vec<OsString>) -> anyhow::Result<Self> {
        Self::spawn(program, options, None, &[], None).await
    }

    /// Another run of the same recipe, with these variables, in a folder of its own.
    pub(crate) async fn another(&self, variables: &[(&str, String)]) -> anyhow::Result<Self> {
        Self::spawn(&self.program, self.options.clone(), None, variables, None).await
    }

    async fn spawn(
        program: &Path,
        options: Vec<OsString>,
        data: Option<&Path>,
        variables: &[(&str, String)],
        target: Option<GraphqlTarget>,
    ) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("tidegate-run-").tempdir()?;
        let data = data.map_or_else(|| folder.path().join("data"), Path::to_owned);
        let is_new = !data.exists();
        let log = File::create(folder.path().join("log"))?;
        let mut command = Command::new(program);
        command.args(["local", "--listen", "127.0.0.1:0"]).args(&options);
        command.arg("--data").arg(&data).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        command.env_remove("RUST_LOG").env(LOG_LEVEL.0, LOG_LEVEL.1);
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        let mut process = command.kill_on_drop(true).spawn().context("`tidegate local` cannot be started")?;
        let mut stdout = BufReader::new(process.stdout.take().context("it has no stdout")?);
        let url = timeout(START, listening(&mut stdout)).await;
        match url.with_context(|| format!("it does not listen after {} s", START.as_secs())).flatten() {
            Ok(url) => {
                let program = program.to_owned();
                let printed = tokio::spawn(async move {
                    let mut printed = String::new();
                    stdout.read_to_string(&mut printed).await.map(|_| printed)
                });
                Ok(Self { process, printed, url, data, is_new, target, folder, program, options })
            }
            Err(error) => {
                let log = std::fs::read_to_string(folder.path().join("log")).unwrap_or_default();
                bail!("`tidegate local` did not start: {error:#}: {}", log.trim());
            }
        }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn data(&self) -> &Path {
        &self.data
    }

    pub(crate) fn is_new(&self) -> bool {
        self.is_new
    }

    pub(crate) fn target(&self) -> Option<GraphqlTarget> {
        self.target.clone()
    }

    /// Leaves log and data where they are, and returns the folder.
    pub fn keep(self) -> PathBuf {
        self.folder.keep()
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Kills the function's child processes as a crash does. Returns their ids.
    pub fn crash(&self, function: &str) -> anyhow::Result<Vec<u32>> {
        let me = self.process.id().context("it has ended")?;
        let processes = std::fs::read_dir("/proc")?.filter_map(Result::ok);
        let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let crashed: Vec<_> = ids.filter(|id| is_child(*id, me, function)).collect();
        ensure!(!crashed.is_empty(), "there is no process of {function}");
        for id in &crashed {
            signal(*id, "KILL")?;
        }
        Ok(crashed)
    }

    /// Stops it as Ctrl-C does. Returns how it ended, and what it printed since its start.
    pub async fn stop(&mut self) -> anyhow::Result<(ExitStatus, String)> {
        signal(self.process.id().context("it has ended already")?, "INT")?;
        let stopped = async {
            let printed = (&mut self.printed).await??;
            anyhow::Ok((self.process.wait().await?, printed))
        };
        let stopped = timeout(STOP, stopped).await;
        stopped.with_context(|| format!("it did not stop within {} s", STOP.as_secs()))?
    }
}

fn recipe_options(recipe: Recipe) -> Vec<OsString> {
    vec!["--recipe".into(), recipe.name.into()]
}

/// Reads stdout up to the line with the address.
async fn listening(stdout: &mut BufReader<ChildStdout>) -> anyhow::Result<String> {
    let mut line = String::new();
    loop {
        line.clear();
        ensure!(stdout.read_line(&mut line).await? > 0, "it ended");
        if let Some(url) = line.trim().strip_prefix("requests  ") {
            return Ok(url.trim_end_matches("/ingest").to_owned());
        }
    }
}

fn is_child(id: u32, parent: u32, function: &str) -> bool {
    let read = |file: &str| std::fs::read_to_string(format!("/proc/{id}/{file}")).unwrap_or_default();
    let status = read("status");
    let of = status.lines().find_map(|line| line.strip_prefix("PPid:")?.trim().parse().ok());
    of == Some(parent) && read("cmdline").split('\0').any(|argument| argument == function)
}

fn signal(id: u32, signal: &str) -> anyhow::Result<()> {
    let status = std::process::Command::new("kill").arg(format!("-{signal}")).arg(id.to_string()).status()?;
    ensure!(status.success(), "`kill -{signal} {id}` failed: {status}");
    Ok(())
}
