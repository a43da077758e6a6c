//! What a local run answers to commands, over HTTP.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use clap::Args;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use operate::status::State;
use shared::time::Clock;
use tokio::time::timeout;

/// Until an answer begins, and until it is whole.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Which local run or stack a command asks.
#[derive(Args, Clone, Debug)]
pub(crate) struct RunOptions {
    /// Data folder of the local run
    #[arg(long, value_name = "DIR", default_value = ".tidegate")]
    data: PathBuf,
    /// Address of the local run [default: of the one that uses the folder]
    #[arg(long, value_name = "URL", conflicts_with = "data")]
    url: Option<String>,
    #[cfg(feature = "aws")]
    #[command(flatten)]
    stack: WatchedStack,
    /// Only in a build with AWS
    #[cfg(not(feature = "aws"))]
    #[arg(long = "stack", value_name = "NAME", hide = true, value_parser = crate::command::no_stack)]
    _stack: Option<String>,
}

#[cfg(feature = "aws")]
#[derive(Args, Clone, Debug)]
struct WatchedStack {
    /// CloudFormation name of a deployed stack, such as `Tidegate-dev`
    #[arg(long, value_name = "NAME", conflicts_with_all = ["data", "url"])]
    stack: Option<String>,
    /// Endpoint of AWS's APIs [default: `AWS_ENDPOINT_URL`, else AWS]
    #[arg(long, value_name = "URL", requires = "stack")]
    endpoint_url: Option<String>,
}

impl RunOptions {
    #[cfg_attr(not(feature = "aws"), expect(clippy::unused_async, reason = "a stack is found by calls"))]
    pub(crate) async fn open(&self) -> anyhow::Result<Watched> {
        #[cfg(feature = "aws")]
        if let Some(name) = &self.stack.stack {
            let sdk = aws::sdk(self.stack.endpoint_url.as_deref()).await;
            return Ok(Watched::Stack(Box::new(aws::status::StackStatus::open(&sdk, name).await?)));
        }
        match &self.url {
            Some(url) => Ok(Watched::Run(Box::new(LocalRun::at(url)))),
            None => Ok(Watched::Run(Box::new(LocalRun::of(&self.data)?))),
        }
    }
}

/// What `status` and `top` look at.
pub(crate) enum Watched {
    Run(Box<LocalRun>),
    #[cfg(feature = "aws")]
    Stack(Box<aws::status::StackStatus>),
}

impl Watched {
    /// What people call it.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Run(run) => run.url(),
            #[cfg(feature = "aws")]
            Self::Stack(stack) => stack.name(),
        }
    }

    pub(crate) async fn state(&mut self) -> anyhow::Result<State> {
        match self {
            Self::Run(run) => run.state(None).await,
            #[cfg(feature = "aws")]
            Self::Stack(stack) => stack.state().await,
        }
    }

    /// The same, later.
    pub(crate) async fn renew(&mut self, state: &mut State) -> anyhow::Result<()> {
        match self {
            Self::Run(run) => state.replace(run.state(state.last()).await?),
            #[cfg(feature = "aws")]
            Self::Stack(stack) => *state = stack.state().await?,
        }
        Ok(())
    }

    /// Between two looks.
    pub(crate) fn pause(&self) -> Duration {
        match self {
            Self::Run(_) => Duration::from_secs(1),
            // Metrics come once a minute; alarms and queues are seen sooner.
            #[cfg(feature = "aws")]
            Self::Stack(_) => Duration::from_secs(10),
        }
    }
}

/// A local run that another process is.
pub(crate) struct LocalRun {
    /// Without a slash at the end.
    url: String,
    client: Client<HttpConnector, Empty<Bytes>>,
}

impl LocalRun {
    /// The one that uses a data folder.
    pub(crate) fn of(data: &Path) -> anyhow::Result<Self> {
        local::data::address(data).map(|url| Self::at(&url))
    }

    fn at(url: &str) -> Self {
        let url = url.trim_end_matches('/').to_owned();
        Self { url, client: Client::builder(TokioExecutor::new()).build_http() }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// How it stands; with the metrics after a time only, if one is given.
    pub(crate) async fn state(&self, after: Option<i64>) -> anyhow::Result<State> {
        let after = after.map_or_else(String::new, |after| format!("?after={after}"));
        match self.get(&format!("/_/api/state{after}")).await? {
            (200, body) => State::read(&whole(body).await?),
            // It listens for other machines, too.
            (404, _) => {
                let health = whole(self.get("/health").await?.1).await?;
                let metrics = whole(self.get("/metrics").await?.1).await?;
                State::without_page(&health, &String::from_utf8_lossy(&metrics), Clock::system().now())
            }
            (status, body) => bail!("{} answered {status}: {}", self.url, text(body).await?),
        }
    }

    /// What ingest answers from now on, one JSON line for each event.
    pub(crate) async fn tap(&self) -> anyhow::Result<Incoming> {
        match self.get("/_/api/tap").await? {
            (200, body) => Ok(body),
            (404, _) => bail!("{} has nothing to tap, since other machines can connect there", self.url),
            (status, body) => bail!("{} answered {status}: {}", self.url, text(body).await?),
        }
    }

    /// The status of an answer, and its body, which arrives.
    async fn get(&self, path: &str) -> anyhow::Result<(u16, Incoming)> {
        let Self { url, client } = self;
        let uri = format!("{url}{path}").parse().with_context(|| format!("`{url}` is no URL"))?;
        let answered = timeout(TIMEOUT, client.get(uri)).await;
        let answered = answered.with_context(|| format!("{url} does not answer"))?;
        let answer = answered
            .with_context(|| format!("no local run answers at {url}; start it with `tidegate local`"))?;
        Ok((answer.status().as_u16(), answer.into_body()))
    }
}

async fn whole(body: Incoming) -> anyhow::Result<Bytes> {
    let whole = timeout(TIMEOUT, body.collect()).await.context("the answer does not end")?;
    Ok(whole.context("the answer broke off")?.to_bytes())
}

async fn text(body: Incoming) -> anyhow::Result<String> {
    Ok(String::from_utf8_lossy(&whole(body).await?).trim().to_owned())
}
