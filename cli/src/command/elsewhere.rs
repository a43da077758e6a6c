//! Commands and options that only a build with AWS has: they are known, so that an error says how to get them.

use std::ffi::OsString;

use clap::Args;

const BUILD: &str = "cargo build --release --package tidegate --features aws";

/// Whatever is typed.
#[derive(Args, Debug)]
#[command(disable_help_flag = true)]
pub(crate) struct ElsewhereOptions {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    _typed: Vec<OsString>,
}

pub(crate) fn missing(command: &str) -> anyhow::Error {
    anyhow::anyhow!(
        "`{command}` works on a deployed stack, and this build has no AWS SDK; build one with `{BUILD}`"
    )
}

/// The value parser of an option for a deployed stack.
pub(crate) fn no_stack(_value: &str) -> Result<String, String> {
    Err(format!("this build has no AWS SDK; build one with `{BUILD}`"))
}
