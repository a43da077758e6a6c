//! `tidegate trace`: prints where an event is.

use std::process::ExitCode;

use clap::Args;
use local::adapters::Plain;
use operate::trace::{Wanted, trace};
use shared::id::TenantId;
use shared::time::Timestamp;

use crate::open::{DeploymentOptions, with_deployment};
use crate::options::{ConfigOption, time};
use crate::terminal::{Bar, print};

#[derive(Args, Debug)]
pub(crate) struct TraceOptions {
    /// Id of the event, its admission id, the `Idempotency-Key` of its
    /// request, or the trace id of its request
    #[arg(value_name = "ID", verbatim_doc_comment)]
    id: String,
    #[command(flatten)]
    deployment: DeploymentOptions,
    /// The event's tenant [default: `tenants.default`, else any]
    #[arg(long, value_name = "TENANT", value_parser = TenantId::parse)]
    tenant: Option<TenantId>,
    /// Search all that was received from this time on: RFC 3339, or `2h` for
    /// two hours ago [default: 1h, and only if there is no item with this id]
    #[arg(long, value_name = "TIME", value_parser = time, verbatim_doc_comment)]
    from: Option<Timestamp>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigOption,
}

/// 0 if something was found, 1 if nothing was. An error if it could not be read.
pub(crate) async fn run(options: TraceOptions) -> anyhow::Result<ExitCode> {
    let TraceOptions { id, deployment, tenant, from, json, config } = options;
    let opened = deployment.open(&Plain).await?;
    let config = config.load()?;
    let bar = Bar::on_stderr();
    let progress = |what: &str, done, total| bar.show(what, done, total);
    let wanted = Wanted { id, tenant, from };
    let traced = with_deployment!(opened, deployment => {
        trace(deployment, &config, &wanted, &progress).await?
    });
    drop(bar);
    let text = if json { serde_json::to_string_pretty(&traced)? } else { traced.to_string() };
    print(text.trim_end())?;
    Ok(if traced.events.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
