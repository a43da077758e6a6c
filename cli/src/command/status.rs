//! `tidegate status`: how a local run or a deployed stack stands, on one screen.

use std::process::ExitCode;

use clap::Args;
use operate::status::Health;

use crate::http::RunOptions;
use crate::terminal::{painter, print};

#[derive(Args, Debug)]
pub(crate) struct StatusOptions {
    #[command(flatten)]
    run: RunOptions,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// 0 if it is well, 1 if not. An error if it does not answer.
pub(crate) async fn run(options: StatusOptions) -> anyhow::Result<ExitCode> {
    let mut watched = options.run.open().await?;
    let state = watched.state().await?;
    if options.json {
        print(serde_json::to_string_pretty(&state.json(watched.name()))?)?;
    } else {
        print(state.screen(watched.name(), &painter()).trim_end())?;
    }
    Ok(if state.status == Health::Ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
