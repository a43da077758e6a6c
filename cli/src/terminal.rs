//! All that a command prints, the progress bar on stderr, and the signals that stop a command.

mod screen;

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::fmt::{Display, Write as _};
use std::io::{BufWriter, ErrorKind, IsTerminal, StdoutLock, Write, stdout};
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::signal::unix::{Signal, SignalKind, signal};

pub(crate) use screen::{Screen, painter};

/// The bar is drawn at most this often.
const BETWEEN: Duration = Duration::from_millis(100);
/// How often a waiting command looks whether stdout is closed.
const BETWEEN_LOOKS: Duration = Duration::from_millis(500);
const WIDTH: u64 = 30;

/// Prints a line to stdout.
pub(crate) fn print(text: impl Display) -> anyhow::Result<()> {
    let mut out = lines_on_stdout();
    unless_closed(writeln!(out, "{text}").and_then(|()| out.flush()))
}

/// Prints a line to stderr. If that fails, there is no other place to say so.
pub(crate) fn note(text: impl Display) {
    let _gone = writeln!(std::io::stderr(), "{}", harmless(&text.to_string()));
}

/// Writes to stdout what events contain: exactly as it is, or without what would steer the terminal, if there is one. Each
/// write must end between two characters.
pub(crate) fn lines_on_stdout() -> Lines<BufWriter<StdoutLock<'static>>> {
    Lines { is_terminal: stdout().is_terminal(), out: BufWriter::new(stdout().lock()) }
}

#[derive(Debug)]
pub(crate) struct Lines<W> {
    is_terminal: bool,
    out: W,
}

impl<W: Write> Write for Lines<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.is_terminal {
            self.out.write_all(harmless(&String::from_utf8_lossy(bytes)).as_bytes())?;
        } else {
            self.out.write_all(bytes)?;
        }
        Ok(bytes.len())
    }

    /// One write, so that no character is split.
    fn write_fmt(&mut self, text: std::fmt::Arguments<'_>) -> std::io::Result<()> {
        self.write_all(text.to_string().as_bytes())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

/// The text with control characters and those that change the direction of writing as JSON escapes: a JSON line keeps its
/// meaning.
fn harmless(text: &str) -> Cow<'_, str> {
    let steers = |c: char| {
        (c.is_control() && !matches!(c, '\n' | '\t'))
            || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(steers) {
        return text.into();
    }
    text.chars()
        .fold(String::with_capacity(text.len()), |mut shown, c| {
            if steers(c) {
                // Writing to a string does not fail.
                let _written = write!(shown, "\\u{:04x}", u32::from(c));
            } else {
                shown.push(c);
            }
            shown
        })
        .into()
}

/// The result of writing to stdout. A reader that has closed the pipe is no error: `println!` would panic.
pub(crate) fn unless_closed(written: std::io::Result<()>) -> anyhow::Result<()> {
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("stdout"),
        _ => Ok(()),
    }
}

/// Returns when the reader of stdout has closed the pipe. A command that waits for events would not notice it until it
/// writes the next one.
pub(crate) async fn stdout_is_closed() {
    let stdout = stdout();
    loop {
        // Errors and a hang-up are reported without being asked for.
        let mut pipe = [PollFd::new(&stdout, PollFlags::empty())];
        let polled = poll(&mut pipe, Some(&Timespec::default()));
        if polled.is_ok() && pipe[0].revents().intersects(PollFlags::ERR | PollFlags::HUP) {
            return;
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
}

/// A bar, if stderr is a terminal. It is wiped off when it is dropped.
#[derive(Debug)]
pub(crate) struct Bar {
    is_shown: bool,
    drawn: Cell<Option<Instant>>,
    /// What is counted now, since when, and from which count on.
    phase: RefCell<Option<(String, Instant, u64)>>,
}

impl Bar {
    pub(crate) fn on_stderr() -> Self {
        Self { is_shown: std::io::stderr().is_terminal(), drawn: Cell::new(None), phase: RefCell::new(None) }
    }

    /// `done` of `total` are done; the total may be unknown.
    pub(crate) fn show(&self, what: &str, done: u64, total: Option<u64>) {
        let is_due = self.drawn.get().is_none_or(|drawn| drawn.elapsed() >= BETWEEN) || total == Some(done);
        if self.is_shown && is_due {
            self.drawn.set(Some(Instant::now()));
            draw(&line(what, done, total, self.rate(what, done)));
        }
    }

    /// Wipes it off, before a line is printed. It is drawn again when it is shown next.
    pub(crate) fn wipe(&self) {
        if self.drawn.take().is_some() {
            draw("");
        }
    }

    /// How many a second, since this is counted. `None` in the first second.
    fn rate(&self, what: &str, done: u64) -> Option<u64> {
        let mut phase = self.phase.borrow_mut();
        let (of, since, from) = phase.get_or_insert_with(|| (what.to_owned(), Instant::now(), done));
        if of != what {
            (*of, *since, *from) = (what.to_owned(), Instant::now(), done);
        }
        done.saturating_sub(*from).checked_div(since.elapsed().as_secs())
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.wipe();
    }
}

/// A line on stderr that is drawn anew each time, if stderr is a terminal. It is wiped off when it is dropped.
#[derive(Debug)]
pub(crate) struct StatusLine {
    is_shown: bool,
}

impl StatusLine {
    pub(crate) fn on_stderr() -> Self {
        Self { is_shown: std::io::stderr().is_terminal() }
    }

    pub(crate) fn is_shown(&self) -> bool {
        self.is_shown
    }

    pub(crate) fn show(&self, line: &str) {
        if self.is_shown {
            draw(line);
        }
    }
}

impl Drop for StatusLine {
    fn drop(&mut self) {
        if self.is_shown {
            draw("");
        }
    }
}

fn draw(line: &str) {
    // Back to the first column, and wipe the line. A terminal that is gone is no reason to fail.
    let _gone = write!(std::io::stderr(), "\r\x1b[K{line}");
    let _gone = std::io::stderr().flush();
}

fn line(what: &str, done: u64, total: Option<u64>, rate: Option<u64>) -> String {
    let rate = rate.map_or(String::new(), |rate| format!(", {rate}/s"));
    let Some(total) = total.filter(|total| *total > 0) else { return format!("{what}: {done}{rate}") };
    let bar: String =
        (0..WIDTH).map(|column| if column < done * WIDTH / total { '#' } else { '-' }).collect();
    format!("[{bar}] {what}: {done} of {total}{rate}")
}

/// The signals that stop a command: Ctrl-C and SIGTERM.
#[derive(Debug)]
pub(crate) struct Stop(Signal, Signal);

impl Stop {
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self(signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?))
    }

    pub(crate) async fn received(&mut self) {
        tokio::select! {
            _ = self.0.recv() => {}
            _ = self.1.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_pipe_is_no_error_and_a_full_disk_is_one() {
        let check = |kind: ErrorKind| unless_closed(Err(kind.into())).map_err(|error| format!("{error:#}"));
        assert_eq!(check(ErrorKind::BrokenPipe), Ok(()));
        assert_eq!(check(ErrorKind::StorageFull), Err("stdout: no storage space".to_owned()));
    }

    #[test]
    fn what_an_event_contains_does_not_steer_the_terminal_and_is_exact_elsewhere() {
        let line = "{\"text\":\"red \u{9b}31m, \u{202e}evil, \u{7f}, é\tü\"}\n";
        let written = |is_terminal| {
            let mut lines = Lines { is_terminal, out: Vec::new() };
            write!(lines, "{line}").unwrap();
            String::from_utf8(lines.out).unwrap()
        };
        assert_eq!(written(false), line);
        let shown = written(true);
        assert_eq!(shown, "{\"text\":\"red \\u009b31m, \\u202eevil, \\u007f, é\tü\"}\n");
        assert_eq!(harmless("\x1b]0;title\x07"), "\\u001b]0;title\\u0007");
    }

    #[test]
    fn a_bar_fills_with_what_is_done() {
        assert_eq!(line("objects", 0, Some(4), None), format!("[{}] objects: 0 of 4", "-".repeat(30)));
        assert_eq!(
            line("objects", 2, Some(4), Some(7)),
            format!("[{0}{1}] objects: 2 of 4, 7/s", "#".repeat(15), "-".repeat(15))
        );
        assert_eq!(line("objects", 4, Some(4), None), format!("[{}] objects: 4 of 4", "#".repeat(30)));
        assert_eq!(line("records", 7, None, None), "records: 7");
        assert_eq!(line("records", 7, None, Some(3)), "records: 7, 3/s");
    }
}
