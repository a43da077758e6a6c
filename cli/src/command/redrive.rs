//! `tidegate redrive`: puts what failed on the stream again, and prints what it did.

use anyhow::ensure;
use clap::{Args, ValueEnum};
use local::adapters::Adapters;
use operate::redrive::{FailureSource, ID_REUSED, Selection, redrive};
use shared::id::TenantId;

use crate::open::{DeploymentOptions, with_deployment};
use crate::options::{ConfigOption, SpanOptions};
use crate::terminal::{Bar, print};

#[derive(Args, Debug)]
pub(crate) struct RedriveOptions {
    #[command(flatten)]
    deployment: DeploymentOptions,
    /// Do it; without, only show what would be done
    #[arg(long)]
    apply: bool,
    /// Only events from this source; repeatable
    #[arg(long, value_name = "SOURCE")]
    source: Vec<SourceArgument>,
    /// Only events that failed for this reason; repeatable
    ///
    /// Events that would be quarantined again are left unless their reason
    /// is named: those with `id_reused`, and those with `work_too_long` whose
    /// text is still too long by the configuration (`--config`).
    #[arg(long, value_name = "REASON", verbatim_doc_comment)]
    reason: Vec<String>,
    /// With `--reason id_reused`: store each event under a new id
    ///
    /// The new id is the old one, `#` and 16 digits that follow from the
    /// content. So an event is stored once, however often this runs.
    #[arg(long, requires = "reason", verbatim_doc_comment)]
    as_new: bool,
    /// Only this tenant's events
    #[arg(long, value_name = "TENANT", value_parser = TenantId::parse)]
    tenant: Option<TenantId>,
    #[command(flatten)]
    pub(crate) span: SpanOptions,
    /// Most events a second
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    #[command(flatten)]
    config: ConfigOption,
}

/// Where failed events are read from.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum SourceArgument {
    /// Lines in quarantine (`errors/`)
    Quarantine,
    /// Batches that failed permanently (`aws/lambda/`)
    FailureDestination,
    /// Spilled messages that never reached the stream
    DeadLetters,
    /// Stored events that the target of dispatch refused
    Dispatch,
    /// Dropped events, on the stream (only if named)
    Stream,
}

impl From<SourceArgument> for FailureSource {
    fn from(source: SourceArgument) -> Self {
        match source {
            SourceArgument::Quarantine => Self::Quarantine,
            SourceArgument::FailureDestination => Self::FailureDestination,
            SourceArgument::DeadLetters => Self::DeadLetters,
            SourceArgument::Dispatch => Self::Dispatch,
            SourceArgument::Stream => Self::Stream,
        }
    }
}

pub(crate) async fn run(options: RedriveOptions, adapters: &impl Adapters) -> anyhow::Result<()> {
    let RedriveOptions { deployment, apply, source, reason, as_new, tenant, span, rate, config } = options;
    ensure!(!as_new || reason == [ID_REUSED], "--as-new is for `--reason {ID_REUSED}` alone");
    let opened = deployment.open(adapters).await?;
    let config = config.load()?;
    let selection = Selection {
        sources: source.into_iter().map(FailureSource::from).collect(),
        reasons: reason,
        tenant,
        from: span.from,
        to: span.to,
        as_new,
    };
    let bar = Bar::on_stderr();
    let progress = |what: &str, done, total| bar.show(what, done, total);
    let (report, ended) = with_deployment!(opened, deployment => {
        redrive(deployment, &config, selection, apply, rate, &progress).await
    });
    drop(bar);
    print(report.to_string().trim_end())?;
    ended
}
