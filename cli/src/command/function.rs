//! `tidegate function`: one function, as a child of `tidegate local`. Hidden in the help.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use local::adapters::Adapters;
use local::functions::Function;

#[derive(Args, Debug)]
pub(crate) struct FunctionOptions {
    name: FunctionName,
    #[arg(long)]
    data: PathBuf,
    #[arg(long)]
    config: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FunctionName {
    IngestFn,
    SpillDrain,
    ConsumerFn,
}

pub(crate) async fn run(options: FunctionOptions, adapters: &impl Adapters) -> anyhow::Result<()> {
    let function = match options.name {
        FunctionName::IngestFn => Function::Ingest,
        FunctionName::SpillDrain => Function::Drain,
        FunctionName::ConsumerFn => Function::Consumer,
    };
    function.run(&options.data, options.config.as_deref(), adapters).await
}
