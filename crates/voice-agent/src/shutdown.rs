//! From signals to the end of the worker.

use std::{convert::Infallible, process, time::Duration};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::sleep,
};
use tracing::{info, warn};

use crate::worker::Shutdown;

/// As a shell reports a process that SIGINT ended.
const INTERRUPTED: i32 = 130;

/// Turns SIGTERM and SIGINT into steps of the shutdown, and never returns.
///
/// The first signal drains; the second one, or the end of `drain_timeout`, hangs up; one more ends the
/// process where it stands.
///
/// # Panics
///
/// When the system has no room for a signal handler.
pub async fn follow_signals(shutdown: Shutdown, drain_timeout: Duration) -> Infallible {
    let listen = |kind| signal(kind).expect("handlers of SIGTERM and SIGINT can be set");
    let mut terminate = listen(SignalKind::terminate());
    let mut interrupt = listen(SignalKind::interrupt());
    next(&mut terminate, &mut interrupt).await;
    shutdown.drain.cancel();
    tokio::select! {
        () = sleep(drain_timeout) => {}
        () = next(&mut terminate, &mut interrupt) => {}
    }
    info!("hanging up");
    shutdown.hang_up.cancel();
    next(&mut terminate, &mut interrupt).await;
    warn!("ended by a signal while hanging up");
    process::exit(INTERRUPTED);
}

async fn next(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
