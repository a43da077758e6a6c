//! `tidegate config`: the effective configuration, printed or checked.

use clap::Args;
use local::functions::read_secrets;
use shared::config::ConfigSource;
use shared::environment;
use shared::time::Clock;

use crate::options::ConfigOption;
use crate::terminal::{note, print};

#[derive(Args, Debug)]
pub(crate) struct ConfigOptions {
    #[command(flatten)]
    config: ConfigOption,
    /// Only check it, with the files of secrets that it names
    #[arg(long)]
    check: bool,
    /// As the functions on AWS have it, which read secrets elsewhere
    #[arg(long)]
    deployed: bool,
}

/// An error has all that is wrong, one problem a line.
pub(crate) async fn run(options: ConfigOptions) -> anyhow::Result<()> {
    let source = options.config.source();
    let read = source.read_here()?;
    let read = if options.deployed { read.as_deployed()? } else { read };
    for unknown in environment::unknown_here() {
        note(format_args!("tidegate: warning: {unknown}"));
    }
    if !options.check {
        return print(read.to_string().trim_end());
    }
    if !options.deployed {
        read_secrets(&read.config, &Clock::system()).await?;
    }
    let name = match source {
        ConfigSource::Defaults => "the default configuration".to_owned(),
        ConfigSource::File(file) => format!("`{}`", file.display()),
        ConfigSource::Recipe(recipe) => format!("the recipe `{}`", recipe.name),
    };
    print(format_args!("{name} is a valid configuration"))
}
