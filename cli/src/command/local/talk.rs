//! How much `tidegate local` says: lines for people on stdout, the log on stderr.

use std::io::{IsTerminal, stderr, stdout};

use clap::{ArgAction, Args, ValueEnum};
use local::logs::Logs;
use shared::config::Telemetry;
use shared::telemetry::LogFormat;

#[derive(Args, Debug)]
pub(crate) struct TalkOptions {
    /// Also show the log on a terminal; twice: each request and process
    #[arg(long, short, action = ArgAction::Count, conflicts_with = "quiet")]
    verbose: u8,
    /// Say only what is wrong
    #[arg(long, short)]
    quiet: bool,
    /// Form of the log, which is on stderr
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    log_format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// One JSON object a line, as on AWS
    Json,
}

/// What follows from the options.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Talk {
    pub(super) logs: Logs,
    /// A line for what is stored and refused.
    pub(super) has_lines: bool,
    pub(super) is_quiet: bool,
}

impl TalkOptions {
    pub(super) fn talk(&self, configured: &str) -> Talk {
        self.on(stdout().is_terminal(), stderr().is_terminal(), configured)
    }

    /// A terminal gets lines about what is stored. The log says the same at INFO and longer, so there it begins at WARN; but not if
    /// the configuration asks for something else than the default.
    fn on(&self, out_is_terminal: bool, log_is_terminal: bool, configured: &str) -> Talk {
        let has_lines = out_is_terminal && !self.quiet;
        let is_doubled = has_lines
            && log_is_terminal
            && self.log_format == Format::Text
            && configured == Telemetry::default().log_level;
        let level = match self.verbose {
            0 if self.quiet || is_doubled => Some("warn"),
            0 | 1 => None,
            2.. => Some("debug"),
        };
        let format = if self.log_format == Format::Json { LogFormat::Json } else { LogFormat::Text };
        let logs = Logs { format, level: level.map(str::to_owned) };
        Talk { logs, has_lines, is_quiet: self.quiet }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Arguments {
        #[command(flatten)]
        talk: TalkOptions,
    }

    fn talk(arguments: &[&str], terminals: (bool, bool), configured: &str) -> (bool, Option<String>) {
        let given =
            Arguments::try_parse_from(["test"].iter().chain(arguments)).map_err(|error| error.to_string());
        let Talk { logs, has_lines, .. } =
            given.map(|given| given.talk.on(terminals.0, terminals.1, configured)).unwrap();
        (has_lines, logs.level)
    }

    #[test]
    fn a_terminal_has_lines_instead_of_the_log_and_a_file_has_the_log() {
        let warn = || Some("warn".to_owned());
        let both = (true, true);
        assert_eq!(talk(&[], both, "info"), (true, warn()));
        assert_eq!(talk(&[], both, "debug"), (true, None), "what is asked for is there");
        assert_eq!(talk(&["-v"], both, "info"), (true, None));
        assert_eq!(talk(&["-vv"], both, "info"), (true, Some("debug".to_owned())));
        assert_eq!(talk(&["-q"], both, "info"), (false, warn()));
        assert_eq!(talk(&["--log-format", "json"], both, "info"), (true, None));
        assert_eq!(talk(&[], (true, false), "info"), (true, None), "the log goes to a file");
        assert_eq!(talk(&[], (false, true), "info"), (false, None));
        assert_eq!(talk(&[], (false, false), "info"), (false, None));
    }
}
