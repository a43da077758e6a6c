//! `tidegate top`: how a local run or a deployed stack stands, with charts, again and again.

use std::io::{IsTerminal, Read, stdin, stdout};

use anyhow::ensure;
use clap::Args;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use crate::http::{RunOptions, Watched};
use crate::terminal::{Screen, Stop, painter};

#[derive(Args, Debug)]
pub(crate) struct TopOptions {
    #[command(flatten)]
    run: RunOptions,
}

/// Until `q` or a signal.
pub(crate) async fn run(options: TopOptions) -> anyhow::Result<()> {
    ensure!(
        stdin().is_terminal() && stdout().is_terminal(),
        "`top` needs a terminal; `tidegate status` prints the same once"
    );
    let mut watched = options.run.open().await?;
    // One that does not answer is an error at the start; later it may come back.
    let first = watched.state().await?;
    let mut stop = Stop::new()?;
    let mut keys = keys();
    let _screen = Screen::open()?;
    tokio::select! {
        never = show(&mut watched, first) => never,
        () = stop.received() => Ok(()),
        () = quit(&mut keys) => Ok(()),
    }
}

async fn show(watched: &mut Watched, mut state: operate::status::State) -> anyhow::Result<()> {
    let mut ticks = interval(watched.pause());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    let mut note = String::new();
    loop {
        Screen::draw(&format!("{}\n{note}q ends it", state.charts(watched.name(), &painter())))?;
        ticks.tick().await;
        match watched.renew(&mut state).await {
            Ok(()) => note.clear(),
            Err(error) => note = format!("{error:#}\n"),
        }
    }
}

/// The keys that are pressed. The thread ends with the process: a read of a terminal cannot be cancelled.
fn keys() -> mpsc::UnboundedReceiver<u8> {
    let (pressed, keys) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        let mut key = [0];
        while stdin().read_exact(&mut key).is_ok() && pressed.send(key[0]).is_ok() {}
    });
    keys
}

/// Returns when `q` is pressed.
async fn quit(keys: &mut mpsc::UnboundedReceiver<u8>) {
    while let Some(key) = keys.recv().await {
        if matches!(key, b'q' | b'Q') {
            return;
        }
    }
    // Without a keyboard, a signal ends it.
    std::future::pending::<()>().await;
}
