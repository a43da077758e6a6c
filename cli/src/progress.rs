//! How far a command is, on stderr: a bar where somebody looks at it, nothing where nobody does.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// The bar is drawn so often at most.
const BETWEEN: Duration = Duration::from_millis(100);
const WIDTH: u64 = 30;

/// A bar. It is wiped off when it is dropped.
#[derive(Debug)]
pub(crate) struct Progress {
    is_shown: bool,
    last: Option<Instant>,
}

impl Progress {
    /// One that is shown if stderr is a terminal.
    pub(crate) fn on_terminal() -> Self {
        Self { is_shown: std::io::stderr().is_terminal(), last: None }
    }

    /// `done` of `total` are done; the total may not be known.
    pub(crate) fn tell(&mut self, what: &str, done: u64, total: Option<u64>) {
        let is_due = self.last.is_none_or(|last| last.elapsed() >= BETWEEN) || total == Some(done);
        if self.is_shown && is_due {
            self.last = Some(Instant::now());
            Self::draw(&line(what, done, total));
        }
    }

    fn draw(line: &str) {
        // Back to the first column; what stood there is wiped. A terminal that is gone is no reason to fail.
        let _gone = write!(std::io::stderr(), "\r\x1b[K{line}");
        let _gone = std::io::stderr().flush();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_shown && self.last.is_some() {
            Self::draw("");
        }
    }
}

fn line(what: &str, done: u64, total: Option<u64>) -> String {
    let Some(total) = total.filter(|total| *total > 0) else { return format!("{what}: {done}") };
    let bar: String =
        (0..WIDTH).map(|column| if column < done * WIDTH / total { '#' } else { '-' }).collect();
    format!("[{bar}] {what}: {done} of {total}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_fills_with_what_is_done() {
        assert_eq!(line("objects", 0, Some(4)), format!("[{}] objects: 0 of 4", "-".repeat(30)));
        assert_eq!(
            line("objects", 2, Some(4)),
            format!("[{0}{1}] objects: 2 of 4", "#".repeat(15), "-".repeat(15))
        );
        assert_eq!(line("objects", 4, Some(4)), format!("[{}] objects: 4 of 4", "#".repeat(30)));
        assert_eq!(line("records", 7, None), "records: 7");
    }
}
