//! `tidegate top`: how a local run stands, with charts, again each second.

use std::io::{IsTerminal, Read, stdin, stdout};
use std::time::Duration;

use anyhow::ensure;
use clap::Args;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use crate::http::{LocalRun, RunOptions};
use crate::terminal::{Screen, Stop, painter};

/// Between two looks.
const BETWEEN: Duration = Duration::from_secs(1);

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
    let run = options.run.run()?;
    // A run that does not answer is an error at the start; later it may come back.
    let first = run.state(None).await?;
    let mut stop = Stop::new()?;
    let mut keys = keys();
    let _screen = Screen::open()?;
    tokio::select! {
        never = show(&run, first) => never,
        () = stop.received() => Ok(()),
        () = quit(&mut keys) => Ok(()),
    }
}

async fn show(run: &LocalRun, mut state: operate::status::State) -> anyhow::Result<()> {
    let mut ticks = interval(BETWEEN);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    let mut note = String::new();
    loop {
        Screen::draw(&format!("{}\n{note}q ends it", state.charts(run.url(), &painter())))?;
        ticks.tick().await;
        match run.state(state.last()).await {
            Ok(newer) => {
                state.replace(newer);
                note.clear();
            }
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
