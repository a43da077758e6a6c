//! `tidegate function`: one function, as a child of `tidegate local`. Hidden in the help.

use std::path::PathBuf;

use clap::Args;
use local::adapters::Adapters;
use local::functions::Function;
use local::logs::Logs;
use shared::telemetry::LogFormat;

use crate::options::GivenConfig;

#[derive(Args, Debug)]
pub(crate) struct FunctionOptions {
    #[arg(value_parser = named)]
    name: Function,
    #[arg(long)]
    data: PathBuf,
    #[command(flatten)]
    config: GivenConfig,
    #[arg(long)]
    log_json: bool,
    #[arg(long)]
    log_level: Option<String>,
}

fn named(name: &str) -> Result<Function, String> {
    let mut functions = Function::ALL.into_iter();
    functions.find(|function| function.name() == name).ok_or_else(|| "there is no such function".to_owned())
}

pub(crate) async fn run(options: FunctionOptions, adapters: &impl Adapters) -> anyhow::Result<()> {
    let FunctionOptions { name, data, config, log_json, log_level } = options;
    let logs = Logs { format: if log_json { LogFormat::Json } else { LogFormat::Text }, level: log_level };
    name.run(&data, &config.source(), &logs, adapters).await
}
