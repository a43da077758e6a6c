//! A terminal that shows one screen, drawn again and again, and is restored at the end, also after a panic.

use std::io::{Write, stdin, stdout};
use std::sync::Once;

use anyhow::Context;
use operate::status::Style;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

/// The other screen buffer, no cursor, and no line that continues in the next one.
const OPEN: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l";
const CLOSE: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";

/// Keys are read at once and not shown. Ctrl-C is still a signal.
pub(crate) struct Screen {
    before: Termios,
}

impl Screen {
    pub(crate) fn open() -> anyhow::Result<Self> {
        let before = tcgetattr(stdin()).context("the terminal's settings")?;
        let mut quiet = before.clone();
        quiet.local_modes -= LocalModes::ICANON | LocalModes::ECHO;
        restore_at_a_panic(before.clone());
        tcsetattr(stdin(), OptionalActions::Now, &quiet).context("the terminal's settings")?;
        let screen = Self { before };
        write(OPEN)?;
        Ok(screen)
    }

    /// As many lines as there is room for.
    pub(crate) fn draw(text: &str) -> anyhow::Result<()> {
        let rows = tcgetwinsize(stdout()).map_or(0, |size| usize::from(size.ws_row));
        let rows = if rows == 0 { usize::MAX } else { rows };
        let lines: Vec<_> = text.lines().take(rows).map(|line| format!("{line}\x1b[K")).collect();
        write(&format!("\x1b[H{}\x1b[J", lines.join("\r\n")))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore(&self.before);
    }
}

fn write(text: &str) -> anyhow::Result<()> {
    let mut out = stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("stdout")
}

fn restore(before: &Termios) {
    // A terminal that is gone needs no restoring.
    let _gone = write(CLOSE);
    let _gone = tcsetattr(stdin(), OptionalActions::Now, before);
}

/// The message of a panic is printed before values are dropped: without this it would be on the screen that is closed then.
fn restore_at_a_panic(before: Termios) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let print = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            restore(&before);
            print(panic);
        }));
    });
}

/// Colours, if stdout is a terminal and `NO_COLOR` is not set.
pub(crate) fn painter() -> impl Fn(Style, &str) -> String {
    let has_colours = std::io::IsTerminal::is_terminal(&stdout())
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    move |style, text| match style {
        Style::Good if has_colours => format!("\x1b[1m{text}\x1b[0m"),
        Style::Bad if has_colours => format!("\x1b[1;31m{text}\x1b[0m"),
        Style::Faint if has_colours => format!("\x1b[2m{text}\x1b[0m"),
        _ => text.to_owned(),
    }
}
