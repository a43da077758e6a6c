//! The acceptance of the documents that Tidegate grew from, one for each recipe: each requirement is a line, with PASS or
//! FAIL and what was seen, or SKIP and what is missing to see it.
//!
//! | module | job |
//! |---|---|
//! | `recipe` | one file a document: its requirements in its order |
//! | `client` | HTTP requests, and what came back |
//! | `load` | requests at a steady rate, or all at once |
//! | `stored` | items, archive lines and objects, through the operator's port |
//! | `writes` | how many objects a load may make Tidegate write to S3, and how large they may be |
//! | `process` | a local run of a recipe, which can be crashed and stopped |
//! | `target` | the GraphQL API that events are dispatched to |
//! | `report` | the lines |

pub mod client;
mod load;
mod process;
mod recipe;
mod report;
mod stored;
mod target;
mod writes;

use std::net::SocketAddr;
use std::time::Duration;

use operate::deployment::Deployment;
use shared::config::{Config, Recipe};

pub use process::LocalRun;
pub use report::{Line, Summary, Verdict};

use client::Client;
use load::Pace;
use report::Report;
use stored::Stored;
use target::GraphqlTarget;

/// What a run of the acceptance needs to know.
pub struct Target<'a, D> {
    /// Of ingest.
    pub url: &'a str,
    /// The configuration that runs there.
    pub config: Config,
    /// How long each load takes.
    pub load: Duration,
    /// Requests a second of each load; the document's, if not given.
    pub rate: Option<f64>,
    /// How long it waits for what should be stored within seconds.
    pub wait: Duration,
    /// Time limits are multiplied by this: for debug builds, and for machines that others use.
    pub patience: u32,
    /// What it stores, if that can be read.
    pub deployment: Option<&'a D>,
    /// The process, if this command started it. It has a target of dispatch of its own.
    pub process: Option<&'a mut LocalRun>,
    /// Where to listen as the target of dispatch of the deployment at `url`.
    pub dispatch_target: Option<SocketAddr>,
}

/// Runs the acceptance of the recipe's document. `print` gets the lines one by one.
pub async fn accept<D: Deployment>(
    recipe: Recipe,
    target: Target<'_, D>,
    print: &mut dyn FnMut(&Line),
) -> anyhow::Result<Summary> {
    let client = Client::new(target.url)?;
    let mut config = target.config;
    let dispatch_target = match (&target.process, target.dispatch_target) {
        (Some(process), _) => {
            target::retry_fast(&mut config.dispatch);
            process.target()
        }
        (None, Some(listen)) => Some(GraphqlTarget::start(listen, config.dispatch.rate_per_second).await?),
        (None, None) => None,
    };
    let run = Run {
        suffix: if target.process.as_ref().is_some_and(|run| run.is_new()) {
            String::new()
        } else {
            suffix()
        },
        stored: target.deployment.map(Stored::new),
        client,
        config,
        load: target.load,
        rate: target.rate,
        wait: target.wait,
        patience: target.patience.max(1),
        process: target.process,
        dispatch_target,
        report: Report::new(print),
    };
    Ok(recipe::run(recipe, run).await)
}

/// One run of one acceptance.
struct Run<'a, D> {
    client: Client,
    config: Config,
    load: Duration,
    rate: Option<f64>,
    wait: Duration,
    patience: u32,
    stored: Option<Stored<'a, D>>,
    process: Option<&'a mut LocalRun>,
    dispatch_target: Option<GraphqlTarget>,
    report: Report<'a>,
    /// Makes ids and tenants new, for a deployment that has seen this acceptance before. Empty for a new one.
    suffix: String,
}

impl<D> Run<'_, D> {
    /// A name that no earlier run has used.
    fn new_name(&self, name: &str) -> String {
        format!("{name}{}", self.suffix)
    }

    /// A time limit of the document.
    fn limit(&self, limit: Duration) -> Duration {
        limit * self.patience
    }

    /// How long to wait for what should be stored within seconds.
    fn soon(&self) -> Duration {
        self.limit(self.wait)
    }

    /// A request every `every` satisfies the document, which asks for `document` requests a second.
    fn pace(&self, every: Duration, document: f64) -> Pace {
        Pace::new(every, document, self.rate, self.patience)
    }

    /// How many requests to send at the same time, where the document wants `count`: with a lower rate, at most as many as a
    /// load.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate is at most 10,000 a second"
    )]
    fn at_once(&self, count: usize) -> usize {
        self.rate.map_or(count, |rate| count.min((rate * self.load.as_secs_f64()) as usize).max(2))
    }
}

fn suffix() -> String {
    format!("-{:x}", shared::time::Clock::system().now().unix_ms())
}

/// Why a line is skipped that looks at stored data.
const NEEDS_DATA: &str = "needs --data DIR or --stack NAME (--features aws): it looks at stored data";
