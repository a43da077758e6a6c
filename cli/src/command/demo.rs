//! `tidegate demo`: a local run of its own, with traffic and faults, and what becomes of them.

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use ::load::demo::Demo;
use accept::LocalRun;
use anyhow::{Context, ensure};
use clap::Args;
use local::adapters::Plain;
use local::data::DataFolder;
use shared::config::AuthMode;

use crate::options::ConfigOption;
use crate::terminal::{Stop, note, print};

/// With --fast, as the tests have it: options of `tidegate local`.
const FAST: [&str; 8] =
    ["--poll-ms", "20", "--window-ms", "60", "--backoff-ms", "20", "--visibility-ms", "100"];

/// Characters of a line, beside the time.
const WIDTH: usize = 73;

#[derive(Args, Debug)]
pub(crate) struct DemoOptions {
    /// Seconds for which traffic is sent; the checks after it take about ten
    #[arg(long, value_name = "SECONDS", default_value_t = 50, value_parser = clap::value_parser!(u32).range(2..=3_600))]
    seconds: u32,
    /// Leave log and data where they are
    #[arg(long)]
    keep: bool,
    /// Polls and windows of milliseconds
    #[arg(long, hide = true)]
    fast: bool,
    #[command(flatten)]
    config: ConfigOption,
}

/// 0 if everything was stored as it should be, 1 if not. An error if it could not be run.
pub(crate) async fn run(options: DemoOptions) -> anyhow::Result<ExitCode> {
    let config = options.config.load()?;
    ensure!(
        config.auth.mode == AuthMode::None,
        "the demonstration sends without credentials: name a configuration with `auth.mode = \"none\"` by --config"
    );
    let mut stop = Stop::new()?;
    let program = std::env::current_exe().context("this program's own path")?;
    let mut local: Vec<OsString> = options.config.source().options();
    if options.fast {
        local.extend(FAST.map(OsString::from));
    }
    let mut run = LocalRun::with_options(&program, local).await?;
    print(format_args!(
        "A local run of its own, with its data in {}. Look at it while it runs:\n\n  {}/_/\n",
        run.data().display(),
        run.url()
    ))?;
    let begun = Instant::now();
    let told = |text: String| {
        let text = wrapped(&text).join("\n       ");
        drop(print(format_args!("{:>3} s  {text}\n", begun.elapsed().as_secs())));
    };
    let deployment = local::deployment::open(run.data(), &Plain).await?;
    let stream_away = DataFolder::open(run.data())?.stream_away_file();
    let demo = Demo {
        run: &run,
        deployment: &deployment,
        config: &config,
        during: Duration::from_secs(options.seconds.into()),
        stream_away: &stream_away,
        tell: &told,
    };
    let is_right = tokio::select! {
        shown = demo.show() => shown?,
        () = stop.received() => {
            note("Stopped.");
            return Ok(ExitCode::FAILURE);
        }
    };
    drop(deployment);
    run.stop().await?;
    if options.keep || !is_right {
        let folder = run.keep();
        print(format_args!("Log and data are in {}.", folder.display()))?;
    }
    Ok(if is_right { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The lines of a text, none longer than a terminal has beside the time, unless a word is.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        // A table has its own spaces.
        for word in paragraph.split_inclusive(' ') {
            if !line.is_empty() && line.chars().count() + word.trim_end().chars().count() > WIDTH {
                lines.push(std::mem::take(&mut line));
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    lines.iter().map(|line| line.trim_end().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_is_cut_between_words_and_a_table_stays_as_it_is() {
        let table = "source      reason     tenant";
        let long = "word ".repeat(30);
        let lines = wrapped(&format!("{table}\n{long}"));
        assert_eq!((lines.len(), lines[0].as_str()), (4, table));
        assert!(lines.iter().all(|line| line.chars().count() <= WIDTH), "{lines:?}");
    }
}
