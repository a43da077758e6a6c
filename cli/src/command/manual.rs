//! `tidegate completions` and `tidegate man`: what shells and `man` know about the commands.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::Arguments;
use crate::terminal::{note, print};

const NAME: &str = "tidegate";

#[derive(Args, Debug)]
pub(crate) struct CompletionsOptions {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

#[derive(Args, Debug)]
pub(crate) struct ManOptions {
    /// The folder, which is created
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

pub(crate) fn completions(options: &CompletionsOptions) -> anyhow::Result<()> {
    // Into memory first: it panics where the reader has closed the pipe.
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut Arguments::command(), NAME, &mut script);
    print(String::from_utf8_lossy(&script).trim_end())
}

/// A page for the program, and one for each command.
pub(crate) fn pages(options: &ManOptions) -> anyhow::Result<()> {
    let folder = &options.folder;
    std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(Arguments::command(), folder))
        .with_context(|| format!("the manual cannot be written into `{}`", folder.display()))?;
    note(format_args!("The manual is in {}.", folder.display()));
    Ok(())
}
